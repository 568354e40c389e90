// The float epilogues of all AVX-512 kernels, sixteen channels at a time.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/avx512.h"
#include "kernels/product/epilogue.h"

namespace sbn::avx512 {

// Writes the channels in `lanes`. Returns which results are negative where the signs
// are wanted.
template <Finish finish>
SBN_TARGET_AVX512BW SBN_INLINE uint32_t finish_sixteen(const Output& out, __m512i dot,
                                                       int64_t pixel, int64_t channel,
                                                       __mmask16 lanes) {
  const Epilogue& e = out.epilogue;
  const auto at = [&](const float* from) SBN_TARGET_AVX512BW {
    return _mm512_maskz_loadu_ps(lanes, from + channel);
  };
  if (out.clamps_dot()) {
    dot = _mm512_max_epi32(dot, _mm512_set1_epi32(e.dot_low));
    dot = _mm512_min_epi32(dot, _mm512_set1_epi32(e.dot_high));
  }
  __m512 v;
  if (e.dot_offset == 0) {
    v = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), at(e.scale), at(e.bias));
  } else {
    dot = _mm512_add_epi32(dot, _mm512_set1_epi32(e.dot_offset));
    v = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(dot), at(e.scale)), at(e.bias));
  }
  if (finish == Finish::kClamp) {
    // The second operand is the result where one is NaN or both are zero.
    v = _mm512_min_ps(at(e.high), _mm512_max_ps(at(e.low), v));
  }
  if (finish == Finish::kPRelu) {
    const __mmask16 negative = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ);
    v = _mm512_mask_mul_ps(v, negative, v, at(e.slope));
  }
  if (finish == Finish::kResidual) v = _mm512_add_ps(v, at(e.residual + pixel * out.outputs));
  if (finish == Finish::kQuantize) {
    _mm256_mask_storeu_epi16(out.integers(pixel, channel), lanes, to_int16(v));
    return 0;
  }
  _mm512_mask_storeu_ps(out.floats(pixel, channel), lanes, v);
  if (finish != Finish::kResidual) return 0;
  return bits_of(_mm512_mask_cmp_ps_mask(lanes, v, _mm512_setzero_ps(), _CMP_LT_OQ));
}

}  // namespace sbn::avx512
