#include <immintrin.h>

#include "base/avx2.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

constexpr int64_t kLanes = 8;
constexpr int kPixels = 4;  // outputs that share the loads of weights
constexpr int kVectors = 2;

SBN_TARGET_AVX2 SBN_INLINE __m256i lanes_of(int64_t count) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(min(count, kLanes))), index);
}

// `whole`: all lanes are wanted.
template <bool whole>
SBN_TARGET_AVX2 SBN_INLINE __m256 read(const float* from, __m256i lanes) {
  if (whole) return _mm256_loadu_ps(from);
  return _mm256_maskload_ps(from, lanes);
}

template <bool whole>
SBN_TARGET_AVX2 SBN_INLINE void write(float* to, __m256i lanes, __m256 value) {
  if (whole) return _mm256_storeu_ps(to, value);
  _mm256_maskstore_ps(to, lanes, value);
}

// `pixels` neighbouring outputs, each `vectors` vectors of channels from c on; the last
// lanes of a single vector may lie beyond the channels.
template <bool kConv, int pixels, int vectors>
SBN_TARGET_AVX2 SBN_INLINE void block(const WindowShape& s, const Windows& at,
                                             float* y, int64_t c) {
  constexpr bool whole = vectors > 1;
  const auto lanes = lanes_of(s.channels - c);
  __m256 sum[pixels][vectors];
  SBN_UNROLL for (int v = 0; v < vectors; ++v) {
    const __m256 start =
        kConv ? read<whole>(at.bias + c + v * kLanes, lanes) : _mm256_set1_ps(at.lowest);
    SBN_UNROLL for (int p = 0; p < pixels; ++p) sum[p][v] = start;
  }
  const int64_t stride = s.stride_w * s.channels;
  for (int64_t i = at.ys.begin; i < at.ys.end; ++i) {
    const int64_t line = (at.top + i * s.dilation_h) * s.width;
    for (int64_t j = at.xs.begin; j < at.xs.end; ++j) {
      const float* x = at.image + (line + at.left + j * s.dilation_w) * s.channels + c;
      SBN_UNROLL for (int v = 0; v < vectors; ++v) {
        __m256 w = _mm256_setzero_ps();
        if (kConv) {
          w = read<whole>(at.w + (i * s.kernel_w + j) * s.channels + c + v * kLanes, lanes);
        }
        SBN_UNROLL for (int p = 0; p < pixels; ++p) {
          const __m256 here = read<whole>(x + p * stride + v * kLanes, lanes);
          // The maximum is its second operand where the first is NaN or equal.
          sum[p][v] =
              kConv ? _mm256_fmadd_ps(here, w, sum[p][v]) : _mm256_max_ps(here, sum[p][v]);
        }
      }
    }
  }
  SBN_UNROLL for (int p = 0; p < pixels; ++p) {
    SBN_UNROLL for (int v = 0; v < vectors; ++v) {
      write<whole>(y + p * s.channels + c + v * kLanes, lanes, sum[p][v]);
    }
  }
}

template <bool kConv, int pixels>
SBN_TARGET_AVX2 SBN_INLINE void all_channels(const WindowShape& s, const Windows& at, float* y) {
  int64_t c = 0;
  for (; c + kVectors * kLanes <= s.channels; c += kVectors * kLanes) {
    block<kConv, pixels, kVectors>(s, at, y, c);
  }
  for (; c < s.channels; c += kLanes) block<kConv, pixels, 1>(s, at, y, c);
}

template <bool kConv>
SBN_TARGET_AVX2 SBN_INLINE void slide(const WindowShape& s, const float* x, Windows at,
                                             float* y, Range rows) {
  const Range inner = inner_columns(s);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    at.image = x + row / s.out_h * s.height * s.width * s.channels;
    at.top = row % s.out_h * s.stride_h - s.pad_top;
    at.ys = window_taps(at.top, s.kernel_h, s.dilation_h, s.height);
    float* out = y + row * s.out_w * s.channels;
    for (int64_t column = 0; column < s.out_w;) {
      at.left = column * s.stride_w - s.pad_left;
      if (column >= inner.begin && column + kPixels <= inner.end) {
        at.xs = {0, s.kernel_w};
        all_channels<kConv, kPixels>(s, at, out + column * s.channels);
        column += kPixels;
      } else {
        at.xs = window_taps(at.left, s.kernel_w, s.dilation_w, s.width);
        all_channels<kConv, 1>(s, at, out + column * s.channels);
        ++column;
      }
    }
  }
}

SBN_TARGET_AVX2 void pool(const WindowShape& s, const float* x, float lowest, float* y,
                              Range rows) {
  Windows at = {};
  at.lowest = lowest;
  slide<false>(s, x, at, y, rows);
}

SBN_TARGET_AVX2 void conv(const WindowShape& s, const float* x, const float* w,
                              const float* bias, float* y, Range rows) {
  Windows at = {};
  at.w = w, at.bias = bias;
  slide<true>(s, x, at, y, rows);
}

}  // namespace

const FloatMaxPoolKernel float_max_pool_avx2 = {pool};
const FloatDepthwiseConvKernel float_depthwise_conv_avx2 = {conv};

}  // namespace sbn
