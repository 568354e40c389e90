// What each op computes, element by element, straight from its definition.
#pragma once

#include <math.h>
#include <stdint.h>

#include "problem.h"

namespace sbn::test {

inline int sign_at(const void* words, int64_t bit) {
  return load<uint64_t>(static_cast<const uint64_t*>(words) + bit / 64) >> bit % 64 & 1 ? -1 : 1;
}

// Writes output element `channel` of pixel `pixel`; Y was zeroed.
template <class Problem>
void reference_epilogue(const Problem& p, bool to_bits, int64_t dot, int64_t pixel,
                        int64_t channel, void* y) {
  if (to_bits) {
    if (dot < load<int32_t>(p.threshold.template as<int32_t>() + channel)) {
      uint64_t* word = static_cast<uint64_t*>(y) + pixel * p.shape.output_words + channel / 64;
      store(word, load<uint64_t>(word) | uint64_t{1} << channel % 64);
    }
    return;
  }
  const float value = fmaf(static_cast<float>(dot), load<float>(p.scale.template as<float>() + channel),
                           load<float>(p.bias.template as<float>() + channel));
  store(static_cast<float*>(y) + pixel * p.shape.outputs + channel, value);
}

inline void reference(const ConvProblem& p, bool to_bits, void* y) {
  const ConvShape& s = p.shape;
  const int64_t pixel_bits = s.input_words * 64;
  const int64_t tap_bits = s.group_words * 64;
  memset(y, 0, p.output_bytes(to_bits));
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
          reference_epilogue(p, to_bits, dot, pixel, o, y);
        }
      }
    }
  }
}

inline void reference(const DenseProblem& p, bool to_bits, void* y) {
  const DenseShape& s = p.shape;
  memset(y, 0, p.output_bytes(to_bits));
  for (int64_t row = 0; row < s.rows; ++row) {
    for (int64_t o = 0; o < s.outputs; ++o) {
      int64_t dot = 0;
      for (int64_t k = 0; k < s.products; ++k) {
        dot += sign_at(p.x.as<void>(), row * s.words * 64 + k) *
               sign_at(p.w.as<void>(), o * s.words * 64 + k);
      }
      reference_epilogue(p, to_bits, dot, row, o, y);
    }
  }
}

}  // namespace sbn::test
