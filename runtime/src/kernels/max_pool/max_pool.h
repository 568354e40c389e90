// Max-pool of packed signs: an AND of the window, since bit 1 means -1. Channels
// with a bit in `minimum` are min-pooled: an OR, done as an AND of inverted bits.
// Max-pool of 16-bit integers: there too, the minimum is done by inverting bits.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"

namespace sbn {

struct MaxPoolShape {
  int64_t batch, height, width;
  int64_t elements;  // of a pixel: words of signs, or integers
  int64_t kernel_h, kernel_w, stride_h, stride_w;
  int64_t pad_top, pad_left;
  int64_t out_h, out_w;
};

struct MaxPoolKernel {
  // Computes the output rows `rows` of batch * out_h.
  void (*run)(const MaxPoolShape& shape, const uint64_t* x, const uint64_t* minimum, uint64_t* y,
              Range rows);
};

struct QuantizedMaxPoolKernel {
  // The same for integers; `minimum` has a bit for each channel.
  void (*run)(const MaxPoolShape& shape, const int16_t* x, const uint64_t* minimum, int16_t* y,
              Range rows);
};

// The part of the window at output index `at` that lies inside the input.
SBN_INLINE Range pool_window(int64_t at, int64_t stride, int64_t pad, int64_t kernel, int64_t size) {
  const int64_t first = at * stride - pad;
  return {max(first, 0), min(first + kernel, size)};
}

}  // namespace sbn
