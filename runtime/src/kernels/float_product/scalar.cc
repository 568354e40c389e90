#include "base/bits.h"
#include "base/exact_fma.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

constexpr int64_t kPanel = 8;

void run(const FloatProductShape& s, const float* x, int64_t x_step, const void* weights,
         const float* bias, float* y, int64_t y_step, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < s.columns; ++c) {
      const float* w =
          static_cast<const float*>(weights) + c / kPanel * kPanel * s.terms + c % kPanel;
      float sum = load<float>(bias + c);
      for (int64_t first = 0; first < s.terms; first += kSliceTerms) {
        float slice = 0;
        for (int64_t k = first; k < min(first + kSliceTerms, s.terms); ++k) {
          slice = exact_fma(load<float>(x + row * x_step + k), w[k * kPanel], slice);
        }
        sum += slice;
      }
      store(y + row * y_step + c, sum);
    }
  }
}

}  // namespace

const FloatProductKernel float_product_scalar = {kPanel, run};

}  // namespace sbn
