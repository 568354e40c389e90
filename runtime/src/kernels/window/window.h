// Ops that slide a window over channels-last floats: FloatMaxPool and
// FloatDepthwiseConv. Vector lanes are channels, so no ISA changes the order in
// which the elements of a window are taken: rows first.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"
#include "kernels/resize.h"

namespace sbn {

struct WindowShape {
  int64_t batch, height, width, channels;
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
  int64_t out_h, out_w;
};

struct FloatMaxPoolKernel {
  // Computes the output rows `rows` of batch * out_h. The maximum starts from
  // `lowest`: -inf, or +0.0 where a ReLU follows.
  void (*run)(const WindowShape& shape, const float* x, float lowest, float* y, Range rows);
};

struct FloatDepthwiseConvKernel {
  // Computes the output rows `rows` of batch * out_h.
  void (*run)(const WindowShape& shape, const float* x, const float* w, const float* bias,
              float* y, Range rows);
};

// The elements along one axis of the window, whose first lies at `first`, that lie
// inside the input. May be empty.
SBN_INLINE Range window_taps(int64_t first, int64_t kernel, int64_t dilation, int64_t size) {
  const int64_t begin = first < 0 ? div_up(-first, dilation) : 0;
  const int64_t end = first < size ? div_up(size - first, dilation) : 0;
  return {begin, max(begin, min(kernel, end))};
}

// The columns of the output whose windows lie inside the input from left to right.
SBN_INLINE Range inner_columns(const WindowShape& s) {
  const int64_t begin = min(div_up(s.pad_left, s.stride_w), s.out_w);
  const int64_t last = s.width - 1 - (s.kernel_w - 1) * s.dilation_w + s.pad_left;
  const int64_t end = last < 0 ? 0 : min(last / s.stride_w + 1, s.out_w);
  return {begin, max(begin, end)};
}

// What the windows of neighbouring outputs in one row read.
struct Windows {
  const float* image;
  int64_t top;       // of the windows, in rows; may lie above the image
  int64_t left;      // of the first window, in columns
  Range ys, xs;      // elements inside the image, the same for all of them
  const float* w;    // FloatDepthwiseConv
  const float* bias;
  float lowest;      // FloatMaxPool
};

}  // namespace sbn
