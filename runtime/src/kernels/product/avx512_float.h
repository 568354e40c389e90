// The float epilogues of all AVX-512 kernels, sixteen channels at a time.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/avx512.h"
#include "kernels/product/epilogue.h"

namespace sbn::avx512 {

// Each step is taken for N registers of sixteen channels, so that what it depends on is looked at
// once. `at` loads their parameters.
#define SBN_EACH SBN_UNROLL for (int i = 0; i < N; ++i)

template <int N, class At>
SBN_TARGET_AVX512BW SBN_INLINE void activate(__m512 (&x)[N], const Activation& a, const At& at) {
  if (a.shift) SBN_EACH x[i] = _mm512_add_ps(x[i], at(a.shift, i));
  if (a.slope) {
    SBN_EACH {
      const __mmask16 negative = _mm512_cmp_ps_mask(x[i], _mm512_setzero_ps(), _CMP_LT_OQ);
      const __m512 gained = a.gain ? _mm512_mul_ps(x[i], at(a.gain, i)) : x[i];
      x[i] = _mm512_mask_mul_ps(gained, negative, x[i], at(a.slope, i));
    }
  }
  if (a.offset) SBN_EACH x[i] = _mm512_add_ps(x[i], at(a.offset, i));
  // The second operand is the result where one is NaN or both are zero.
  if (a.low) SBN_EACH x[i] = _mm512_max_ps(at(a.low, i), x[i]);
  if (a.high) SBN_EACH x[i] = _mm512_min_ps(at(a.high, i), x[i]);
}

// Writes the first `count` of 16 * N channels. Returns which results are negative where the signs
// are wanted.
template <int N>
SBN_TARGET_AVX512BW SBN_INLINE uint64_t finish_sixteens(const Output& out, __m512i (&dot)[N],
                                                        int64_t pixel, int64_t channel,
                                                        int64_t count) {
  const Epilogue& e = out.epilogue;
  __mmask16 lanes[N];
  SBN_EACH lanes[i] = first_lanes(count - 16 * i);
  const auto at = [&](const float* from, int i) SBN_TARGET_AVX512BW {
    return _mm512_maskz_loadu_ps(lanes[i], from + channel + 16 * i);
  };
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[i] = _mm512_max_epi32(dot[i], _mm512_set1_epi32(e.dot_low));
      dot[i] = _mm512_min_epi32(dot[i], _mm512_set1_epi32(e.dot_high));
    }
  }
  __m512 v[N];
  if (e.dot_offset == 0) {
    SBN_EACH v[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[i]), at(e.scale, i), at(e.bias, i));
  } else {
    SBN_EACH {
      dot[i] = _mm512_add_epi32(dot[i], _mm512_set1_epi32(e.dot_offset));
      const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[i]), at(e.scale, i));
      v[i] = _mm512_add_ps(product, at(e.bias, i));
    }
  }
  if (out.inner) activate(v, e.inner, at);
  if (e.residual) {
    const float* shortcut = e.residual + pixel * out.outputs;
    SBN_EACH v[i] = _mm512_add_ps(v[i], at(shortcut, i));
  }
  if (out.outer) activate(v, e.outer, at);
  if (e.integers) {
    SBN_EACH _mm256_mask_storeu_epi16(out.integers(pixel, channel + 16 * i), lanes[i],
                                      to_int16(v[i]));
    return 0;
  }
  SBN_EACH _mm512_mask_storeu_ps(out.floats(pixel, channel + 16 * i), lanes[i], v[i]);
  if (!e.signs) return 0;
  uint64_t negative = 0;
  SBN_EACH {
    const __m512 low = e.sign_low ? at(e.sign_low, i) : _mm512_setzero_ps();
    uint64_t bits = bits_of(_mm512_mask_cmp_ps_mask(lanes[i], v[i], low, _CMP_LT_OQ));
    if (e.sign_high) {
      bits |= bits_of(_mm512_mask_cmp_ps_mask(lanes[i], v[i], at(e.sign_high, i), _CMP_GT_OQ));
    }
    negative |= bits << (16 * i);
  }
  return negative;
}

// All 16 * N channels of an epilogue that is straight.
template <int N>
SBN_TARGET_AVX512BW SBN_INLINE uint64_t finish_straight(const Output& out, __m512i (&dot)[N],
                                                        int64_t pixel, int64_t channel) {
  const Epilogue& e = out.epilogue;
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[i] = _mm512_max_epi32(dot[i], _mm512_set1_epi32(e.dot_low));
      dot[i] = _mm512_min_epi32(dot[i], _mm512_set1_epi32(e.dot_high));
    }
  }
  const auto at = [](const float* from, int i) SBN_TARGET_AVX512BW {
    return _mm512_loadu_ps(from + 16 * i);
  };
  const int64_t first = pixel * out.outputs + channel;
  __m512 v[N];
  SBN_EACH {
    v[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[i]), at(e.scale + channel, i),
                           at(e.bias + channel, i));
  }
  if (e.residual) SBN_EACH v[i] = _mm512_add_ps(v[i], at(e.residual + first, i));
  float* to = static_cast<float*>(out.y) + first;
  SBN_EACH _mm512_storeu_ps(to + 16 * i, v[i]);
  if (!e.signs) return 0;
  uint64_t negative = 0;
  SBN_EACH {
    const auto below = _mm512_cmp_ps_mask(v[i], _mm512_setzero_ps(), _CMP_LT_OQ);
    negative |= uint64_t{bits_of(below)} << (16 * i);
  }
  return negative;
}

#undef SBN_EACH

}  // namespace sbn::avx512
