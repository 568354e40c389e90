// Pooling, and depthwise convolutions.
#pragma once

#include "check.h"
#include "reference.h"

namespace sbn::test {

inline void test_max_pool(const KernelRow& row, Random& random, int64_t channels) {
  MaxPoolShape s = {};
  s.batch = uniform(random, 1, 3), s.height = uniform(random, 1, 9);
  const bool packed = row.op == Op::max_pool;
  s.width = uniform(random, 1, 9), s.elements = packed ? words_of(channels) : channels;
  s.kernel_h = uniform(random, 1, 4), s.kernel_w = uniform(random, 1, 4);
  s.stride_h = uniform(random, 1, 3), s.stride_w = uniform(random, 1, 3);
  s.pad_top = uniform(random, 0, s.kernel_h - 1), s.pad_left = uniform(random, 0, s.kernel_w - 1);
  const int64_t bottom = uniform(random, 0, s.kernel_h - 1);
  const int64_t right = uniform(random, 0, s.kernel_w - 1);
  s.out_h = (s.height + s.pad_top + bottom - s.kernel_h) / s.stride_h + 1;
  s.out_w = (s.width + s.pad_left + right - s.kernel_w) / s.stride_w + 1;
  if (s.height + s.pad_top + bottom < s.kernel_h || s.width + s.pad_left + right < s.kernel_w) {
    return;
  }
  const size_t slack = random_slack(random);
  const size_t size = packed ? 8 : 2;
  const int64_t pixels = s.batch * s.height * s.width;
  const Guarded x(bytes_of(pixels * s.elements, size), slack);
  const Guarded minimum(bytes_of(words_of(channels), 8), slack);
  if (packed) {
    fill_bits(random, x.as<void>(), pixels, channels);
  } else {
    fill_integers(random, x.as<void>(), pixels * channels);
  }
  fill_bits(random, minimum.as<void>(), 1, channels);
  Guarded y(bytes_of(s.batch * s.out_h * s.out_w * s.elements, size), slack);
  memset(y.as<char>(), 0x5a, y.size());
  const int64_t rows = s.batch * s.out_h;
  const Range halves[] = {{0, rows / 2}, {rows / 2, rows}};
  for (const Range& half : halves) {
    const auto* turned = minimum.as<const uint64_t>();
    if (packed) {
      static_cast<const MaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const uint64_t>(), turned, y.as<uint64_t>(), half);
    } else {
      static_cast<const QuantizedMaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const int16_t>(), turned, y.as<int16_t>(), half);
    }
  }

  std::vector<char> wanted(y.size());
  for (int64_t out = 0; out < rows * s.out_w; ++out) {
    const int64_t image = out / s.out_w / s.out_h;
    const int64_t top = out / s.out_w % s.out_h * s.stride_h - s.pad_top;
    const int64_t left = out % s.out_w * s.stride_w - s.pad_left;
    for (int64_t c = 0; c < channels; ++c) {
      int least = INT16_MAX, most = INT16_MIN;
      for (int64_t i = max(top, 0); i < min(top + s.kernel_h, s.height); ++i) {
        for (int64_t j = max(left, 0); j < min(left + s.kernel_w, s.width); ++j) {
          const int64_t pixel = (image * s.height + i) * s.width + j;
          const int here = packed ? sign_at(x.as<void>(), pixel * s.elements * 64 + c)
                                  : load<int16_t>(x.as<int16_t>() + pixel * channels + c);
          least = here < least ? here : least;
          most = here > most ? here : most;
        }
      }
      const int pooled = sign_at(minimum.as<void>(), c) < 0 ? least : most;
      if (packed) {
        auto* word = reinterpret_cast<uint64_t*>(wanted.data()) + out * s.elements + c / 64;
        store(word, load<uint64_t>(word) | uint64_t{pooled < 0} << c % 64);
      } else {
        store(reinterpret_cast<int16_t*>(wanted.data()) + out * channels + c,
              static_cast<int16_t>(pooled));
      }
    }
  }
  check(row, y.as<char>(), wanted.data(), y.size(),
        "C N H W kernel stride pads: " + describe(channels, s.batch, s.height, s.width, s.kernel_h,
                                                  s.kernel_w, s.stride_h, s.stride_w, s.pad_top,
                                                  s.pad_left, bottom, right));
}

inline WindowShape random_window(Random& random, bool dilated, int64_t channels) {
  WindowShape s = {};
  s.batch = uniform(random, 1, 3), s.channels = channels;
  s.height = uniform(random, 1, 9), s.width = uniform(random, 1, 15);
  s.kernel_h = uniform(random, 1, 4), s.kernel_w = uniform(random, 1, 4);
  s.stride_h = uniform(random, 1, 3), s.stride_w = uniform(random, 1, 3);
  s.dilation_h = dilated ? uniform(random, 1, 3) : 1;
  s.dilation_w = dilated ? uniform(random, 1, 3) : 1;
  // Windows of a convolution may lie beyond the border as a whole.
  const int64_t tall = dilated ? 5 : s.kernel_h - 1, wide = dilated ? 5 : s.kernel_w - 1;
  s.pad_top = uniform(random, 0, tall), s.pad_bottom = uniform(random, 0, tall);
  s.pad_left = uniform(random, 0, wide), s.pad_right = uniform(random, 0, wide);
  return s;
}

// FloatMaxPool and FloatDepthwiseConv.
inline void test_window(const KernelRow& row, Random& random, int64_t channels) {
  const bool pools = row.op == Op::float_max_pool;
  WindowShape s = random_window(random, !pools, channels);
  if (!resize(&s)) return;
  const size_t slack = random_slack(random);
  const int64_t pixels = s.batch * s.height * s.width, taps = s.kernel_h * s.kernel_w;
  const Guarded x(bytes_of(pixels * channels, 4), slack);
  const Guarded w(bytes_of(taps * channels, 4), slack), bias(bytes_of(channels, 4), slack);
  fill_floats(random, x.as<void>(), pixels * channels);
  fill_floats(random, w.as<void>(), taps * channels);
  fill_floats(random, bias.as<void>(), channels);
  const bool relu = random() % 2;
  if (pools) {
    for (int i = 0; i < 3; ++i) {
      store(x.as<float>() + uniform(random, 0, pixels * channels - 1), i ? NAN : -INFINITY);
    }
  }
  const int64_t rows = s.batch * s.out_h;
  Guarded y(bytes_of(rows * s.out_w * channels, 4), slack);
  memset(y.as<char>(), 0x5a, y.size());
  const Range halves[] = {{0, rows / 2}, {rows / 2, rows}};
  for (const Range& half : halves) {
    if (pools) {
      static_cast<const FloatMaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const float>(), relu ? 0.0f : -INFINITY, y.as<float>(), half);
    } else {
      static_cast<const FloatDepthwiseConvKernel*>(row.kernel)
          ->run(s, x.as<const float>(), w.as<const float>(), bias.as<const float>(),
                y.as<float>(), half);
    }
  }

  std::vector<char> wanted(y.size());
  for (int64_t out = 0; out < rows * s.out_w; ++out) {
    const int64_t image = out / s.out_w / s.out_h;
    for (int64_t c = 0; c < channels; ++c) {
      float value = pools ? -INFINITY : load<float>(bias.as<float>() + c);
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t i = out / s.out_w % s.out_h * s.stride_h - s.pad_top +
                          tap / s.kernel_w * s.dilation_h;
        const int64_t j =
            out % s.out_w * s.stride_w - s.pad_left + tap % s.kernel_w * s.dilation_w;
        if (i < 0 || i >= s.height || j < 0 || j >= s.width) continue;
        const int64_t pixel = (image * s.height + i) * s.width + j;
        const float here = load<float>(x.as<float>() + pixel * channels + c);
        if (!pools) {
          value = fused(here, load<float>(w.as<float>() + tap * channels + c), value);
        } else if (here > value) {
          value = here;
        }
      }
      if (pools && relu && value <= 0) value = 0.0f;
      store(reinterpret_cast<float*>(wanted.data()) + out * channels + c, value);
    }
  }
  check(row, y.as<char>(), wanted.data(), y.size(),
        "C N H W kernel stride dilation pads: " +
            describe(channels, s.batch, s.height, s.width, s.kernel_h, s.kernel_w, s.stride_h,
                     s.stride_w, s.dilation_h, s.dilation_w, s.pad_top, s.pad_left, s.pad_bottom,
                     s.pad_right));
}

}  // namespace sbn::test
