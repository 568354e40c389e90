// Products of float matrices, Y = X W + bias: what it computes, and the interface of its kernels.
//
// The terms of a sum are cut into slices of kSliceTerms. Within a slice they are added in their
// order, by fused multiply-adds that begin with 0; then the slices are added to the bias in theirs.
// Vector lanes are columns of Y, so that no ISA changes this. onnxruntime 1.31 does the
// same on x86-64 where W is constant.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"

namespace sbn {

constexpr int64_t kSliceTerms = 256;

struct FloatProductShape {
  int64_t terms;    // columns of X and rows of W
  int64_t columns;  // of W and Y
};

struct FloatProductKernel {
  // Columns of W that lie side by side: packed weights are [panel][term][column of the panel],
  // with zeroes where there is no such column.
  int64_t panel;

  // Computes `rows` rows of Y, `y_step` floats apart, of rows of X that are `x_step` apart.
  void (*run)(const FloatProductShape& shape, const float* x, int64_t x_step, const void* weights,
              const float* bias, float* y, int64_t y_step, int64_t rows);

  // Whether a kernel of a lower set is slower; null: always.
  bool (*gains)(const FloatProductShape& shape) = nullptr;
};

SBN_INLINE bool fits(const FloatProductKernel& kernel, const FloatProductShape& s) {
  return !kernel.gains || kernel.gains(s);
}

SBN_INLINE int64_t float_product_bytes(const FloatProductKernel& kernel,
                                       const FloatProductShape& s) {
  return div_up(s.columns, kernel.panel) * kernel.panel * s.terms * 4;
}

// Packs weights: that of term k and column c is w[k * term_step + c * column_step].
void float_product_pack(const FloatProductKernel& kernel, const FloatProductShape& shape,
                        const float* w, int64_t term_step, int64_t column_step, void* packed);

}  // namespace sbn
