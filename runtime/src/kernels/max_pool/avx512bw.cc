// Pooling of integers, 32 channels at a time. Packed signs gain nothing over AVX2.
#include <immintrin.h>

#include "base/avx512.h"
#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

SBN_TARGET_AVX512BW void run_quantized(const MaxPoolShape& s, const int16_t* x,
                                       const uint64_t* minimum, int16_t* y, Range rows) {
  constexpr int64_t kLanes = 32;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int16_t* image = x + row / s.out_h * s.height * s.width * s.elements;
    const Range ys = pool_window(row % s.out_h, s.stride_h, s.pad_top, s.kernel_h, s.height);
    for (int64_t column = 0; column < s.out_w; ++column) {
      const Range xs = pool_window(column, s.stride_w, s.pad_left, s.kernel_w, s.width);
      int16_t* pixel = y + (row * s.out_w + column) * s.elements;
      for (int64_t c = 0; c < s.elements; c += kLanes) {
        const auto used = static_cast<__mmask32>(low_bits(s.elements - c));
        const uint64_t bits = load<uint64_t>(minimum + c / 64) >> c % 64;
        const __m512i turned = _mm512_movm_epi16(static_cast<__mmask32>(bits));
        __m512i most = _mm512_set1_epi16(INT16_MIN);
        for (int64_t i = ys.begin; i < ys.end; ++i) {
          for (int64_t j = xs.begin; j < xs.end; ++j) {
            const int16_t* from = image + (i * s.width + j) * s.elements + c;
            const __m512i here = _mm512_maskz_loadu_epi16(used, from);
            most = _mm512_max_epi16(most, _mm512_xor_si512(here, turned));
          }
        }
        _mm512_mask_storeu_epi16(pixel + c, used, _mm512_xor_si512(most, turned));
      }
    }
  }
}

}  // namespace

const QuantizedMaxPoolKernel quantized_max_pool_avx512bw = {run_quantized};

}  // namespace sbn
