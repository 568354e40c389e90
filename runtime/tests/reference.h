// What each op computes, element by element, straight from its definition.
#pragma once

#include <math.h>
#include <stdint.h>

#include "problem.h"

namespace sbn::test {

inline int sign_at(const void* words, int64_t bit) {
  return load<uint64_t>(static_cast<const uint64_t*>(words) + bit / 64) >> bit % 64 & 1 ? -1 : 1;
}

// The nearest int16, ties to even; NaN gives 32767.
inline int16_t rounded(float v) {
  return static_cast<int16_t>(isnan(v) ? 32767 : nearbyintf(fmaxf(fminf(v, 32767), -32768)));
}

inline float reference_activation(float x, const Activation& a, int64_t channel) {
  const auto at = [&](const float* row, float neutral) {
    return row ? load<float>(row + channel) : neutral;
  };
  // Not with 0 for what is not there: that changes the sign of -0.
  if (a.shift) x += at(a.shift, 0);
  x *= x < 0 ? at(a.slope, 1) : at(a.gain, 1);
  if (a.offset) x += at(a.offset, 0);
  const float low = at(a.low, -INFINITY), high = at(a.high, INFINITY);
  x = x < low ? low : x;
  return x > high ? high : x;
}

// Writes output element `channel` of pixel `pixel`; Y and the signs were zeroed.
inline void reference_epilogue(const EpilogueProblem& p, int64_t outputs, int64_t dot,
                               int64_t pixel, int64_t channel, void* y, void* signs) {
  const auto set_bit = [&](void* words) {
    uint64_t* word = static_cast<uint64_t*>(words) + pixel * words_of(outputs) + channel / 64;
    store(word, load<uint64_t>(word) | uint64_t{1} << channel % 64);
  };
  if (is_threshold(p.op)) {
    if (dot < load<int32_t>(p.threshold.as<int32_t>() + channel)) set_bit(y);
    return;
  }
  const auto at = [&](const Guarded& values) { return load<float>(values.as<float>() + channel); };
  const int64_t at_least = max(dot, p.dot_low);
  const auto ranged = static_cast<float>(min(at_least, p.dot_high));
  float v = fused(ranged, at(p.scale), at(p.bias));
  if (p.dot_offset) v = (ranged + static_cast<float>(p.dot_offset)) * at(p.scale) + at(p.bias);
  const int64_t element = pixel * outputs + channel;
  v = reference_activation(v, p.inner, channel);
  if (p.adds) v += load<float>(p.residual.as<float>() + element);
  v = reference_activation(v, p.outer, channel);
  if (p.signs) {
    const Epilogue e = p.epilogue(signs);
    const float low = e.sign_low ? load<float>(e.sign_low + channel) : 0;
    if (v < low || (e.sign_high && v > load<float>(e.sign_high + channel))) set_bit(signs);
  }
  if (p.integers) {
    store(static_cast<int16_t*>(y) + element, rounded(v));
  } else {
    store(static_cast<float*>(y) + element, v);
  }
}

inline void reference(const ConvProblem& p, void* y, void* signs) {
  const ConvShape& s = p.shape;
  const int64_t pixel_bits = s.input_words * 64;
  const int64_t tap_bits = s.group_words * 64;
  int64_t pixel = 0;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t oy = 0; oy < s.out_h; ++oy) {
      for (int64_t ox = 0; ox < s.out_w; ++ox, ++pixel) {
        for (int64_t o = 0; o < s.outputs; ++o) {
          const int64_t group = o / s.group_outputs;
          int64_t dot = 0;
          for (int64_t i = 0; i < s.kernel_h; ++i) {
            for (int64_t j = 0; j < s.kernel_w; ++j) {
              const int64_t yy = oy * s.stride_h + i * s.dilation_h - s.pad_top;
              const int64_t xx = ox * s.stride_w + j * s.dilation_w - s.pad_left;
              const bool inside = yy >= 0 && yy < s.height && xx >= 0 && xx < s.width;
              const int64_t tap = (o * s.kernel_h + i) * s.kernel_w + j;
              for (int64_t c = 0; c < s.group_channels; ++c) {
                const int64_t at = ((n * s.height + yy) * s.width + xx) * pixel_bits;
                const int64_t value =
                    inside ? sign_at(p.x.as<void>(), at + group * s.group_channels + c)
                           : s.pad_value;
                dot += value * sign_at(p.w.as<void>(), tap * tap_bits + c);
              }
            }
          }
          reference_epilogue(p.epilogue, s.outputs, dot, pixel, o, y, signs);
        }
      }
    }
  }
}

inline void reference(const DenseProblem& p, void* y, void* signs) {
  const DenseShape& s = p.shape;
  for (int64_t row = 0; row < s.rows; ++row) {
    for (int64_t o = 0; o < s.outputs; ++o) {
      int64_t dot = 0;
      for (int64_t k = 0; k < s.products; ++k) {
        dot += sign_at(p.x.as<void>(), row * s.words * 64 + k) *
               sign_at(p.w.as<void>(), o * s.words * 64 + k);
      }
      reference_epilogue(p.epilogue, s.outputs, dot, row, o, y, signs);
    }
  }
}

inline void reference(const PixelConvProblem& p, void* y, void* signs) {
  const PixelConvShape& s = p.shape;
  int64_t pixel = 0;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t oy = 0; oy < s.out_h; ++oy) {
      for (int64_t ox = 0; ox < s.out_w; ++ox, ++pixel) {
        for (int64_t o = 0; o < s.outputs; ++o) {
          const int8_t* w = p.w.as<int8_t>() + o * s.products;
          int64_t sum = 0;
          for (int64_t i = 0; i < s.kernel_h; ++i) {
            for (int64_t j = 0; j < s.kernel_w; ++j) {
              const int64_t yy = oy * s.stride_h + i * s.dilation_h - s.pad_top;
              const int64_t xx = ox * s.stride_w + j * s.dilation_w - s.pad_left;
              const bool inside = yy >= 0 && yy < s.height && xx >= 0 && xx < s.width;
              const int64_t at = ((n * s.height + yy) * s.width + xx) * s.channels;
              for (int64_t c = 0; c < s.channels; ++c) {
                sum += (inside ? p.x.as<uint8_t>()[at + c] : s.pad_value) * *w++;
              }
            }
          }
          reference_epilogue(p.epilogue, s.outputs, sum, pixel, o, y, signs);
        }
      }
    }
  }
}

}  // namespace sbn::test
