#include "base/neon.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

constexpr int64_t kLanes = 4;
constexpr int kPixels = 4;  // outputs that share the loads of weights
constexpr int kVectors = 2;

// `whole`: all lanes are wanted, else `count`.
template <bool whole>
SBN_INLINE float32x4_t read(const float* from, int64_t count) {
  return whole ? load<float32x4_t>(from) : neon::load_first<float32x4_t>(from, count);
}

// `pixels` neighbouring outputs, each `vectors` vectors of channels from c on; the last
// lanes of a single vector may lie beyond the channels.
template <bool kConv, int pixels, int vectors>
SBN_INLINE void block(const WindowShape& s, const Windows& at, float* y, int64_t c) {
  constexpr bool whole = vectors > 1;
  const int64_t count = s.channels - c;
  float32x4_t sum[pixels][vectors];
  SBN_UNROLL for (int v = 0; v < vectors; ++v) {
    const float32x4_t start =
        kConv ? read<whole>(at.bias + c + v * kLanes, count) : vdupq_n_f32(at.lowest);
    SBN_UNROLL for (int p = 0; p < pixels; ++p) sum[p][v] = start;
  }
  const int64_t stride = s.stride_w * s.channels;
  for (int64_t i = at.ys.begin; i < at.ys.end; ++i) {
    const int64_t line = (at.top + i * s.dilation_h) * s.width;
    for (int64_t j = at.xs.begin; j < at.xs.end; ++j) {
      const float* x = at.image + (line + at.left + j * s.dilation_w) * s.channels + c;
      SBN_UNROLL for (int v = 0; v < vectors; ++v) {
        float32x4_t w = vdupq_n_f32(0.0f);
        if (kConv) {
          w = read<whole>(at.w + (i * s.kernel_w + j) * s.channels + c + v * kLanes, count);
        }
        SBN_UNROLL for (int p = 0; p < pixels; ++p) {
          const float32x4_t here = read<whole>(x + p * stride + v * kLanes, count);
          // Not the maximum, which orders the zeros and hands on NaN.
          sum[p][v] = kConv ? vfmaq_f32(sum[p][v], here, w)
                            : vbslq_f32(vcgtq_f32(here, sum[p][v]), here, sum[p][v]);
        }
      }
    }
  }
  SBN_UNROLL for (int p = 0; p < pixels; ++p) {
    SBN_UNROLL for (int v = 0; v < vectors; ++v) {
      float* to = y + p * s.channels + c + v * kLanes;
      neon::store_first(to, sum[p][v], whole ? kLanes : count);
    }
  }
}

template <bool kConv, int pixels>
SBN_INLINE void all_channels(const WindowShape& s, const Windows& at, float* y) {
  int64_t c = 0;
  for (; c + kVectors * kLanes <= s.channels; c += kVectors * kLanes) {
    block<kConv, pixels, kVectors>(s, at, y, c);
  }
  for (; c < s.channels; c += kLanes) block<kConv, pixels, 1>(s, at, y, c);
}

template <bool kConv>
SBN_INLINE void slide(const WindowShape& s, const float* x, Windows at, float* y, Range rows) {
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

void pool(const WindowShape& s, const float* x, float lowest, float* y, Range rows) {
  Windows at = {};
  at.lowest = lowest;
  slide<false>(s, x, at, y, rows);
}

void conv(const WindowShape& s, const float* x, const float* w, const float* bias, float* y,
          Range rows) {
  Windows at = {};
  at.w = w, at.bias = bias;
  slide<true>(s, x, at, y, rows);
}

}  // namespace

const FloatMaxPoolKernel float_max_pool_neon = {pool};
const FloatDepthwiseConvKernel float_depthwise_conv_neon = {conv};

}  // namespace sbn
