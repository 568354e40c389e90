#include "kernels/float_product/float_product.h"

#include "base/bits.h"

namespace sbn {

void float_product_pack(const FloatProductKernel& kernel, const FloatProductShape& s,
                        const float* w, int64_t term_step, int64_t column_step, void* packed) {
  auto* to = static_cast<float*>(packed);
  for (int64_t first = 0; first < s.columns; first += kernel.panel) {
    for (int64_t k = 0; k < s.terms; ++k) {
      for (int64_t c = first; c < first + kernel.panel; ++c) {
        *to++ = c < s.columns ? load<float>(w + k * term_step + c * column_step) : 0.0f;
      }
    }
  }
}

}  // namespace sbn
