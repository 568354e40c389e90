#include <immintrin.h>

#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

SBN_TARGET_AVX512 void run(const MaxPoolShape& s, const uint64_t* x, const uint64_t* minimum,
                           uint64_t* y, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const uint64_t* image = x + row / s.out_h * s.height * s.width * s.words;
    const Range ys = pool_window(row % s.out_h, s.stride_h, s.pad_top, s.kernel_h, s.height);
    for (int64_t word = 0; word < s.words; word += 8) {
      const auto lanes = static_cast<__mmask8>(low_bits(min(s.words - word, 8)));
      const __m512i turned = _mm512_maskz_loadu_epi64(lanes, minimum + word);
      for (int64_t column = 0; column < s.out_w; ++column) {
        const Range xs = pool_window(column, s.stride_w, s.pad_left, s.kernel_w, s.width);
        __m512i all = _mm512_set1_epi64(-1);
        for (int64_t i = ys.begin; i < ys.end; ++i) {
          for (int64_t j = xs.begin; j < xs.end; ++j) {
            const uint64_t* at = image + (i * s.width + j) * s.words + word;
            const __m512i here = _mm512_maskz_loadu_epi64(lanes, at);
            all = _mm512_and_si512(all, _mm512_xor_si512(here, turned));
          }
        }
        _mm512_mask_storeu_epi64(y + (row * s.out_w + column) * s.words + word, lanes,
                                 _mm512_xor_si512(all, turned));
      }
    }
  }
}

}  // namespace

const MaxPoolKernel max_pool_avx512 = {run};

}  // namespace sbn
