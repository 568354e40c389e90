// The float epilogue of all AVX-512 kernels, for a tile of pixels by sixteens of channels.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/avx512.h"
#include "kernels/product/epilogue.h"

namespace sbn::avx512 {

// Each step is taken for all vectors of the tile, so that what it depends on is looked at once, and
// its parameters, which `at` loads, serve all pixels.
#define SBN_EACH                         \
  SBN_UNROLL for (int p = 0; p < P; ++p) \
    SBN_UNROLL for (int i = 0; i < N; ++i)

template <int P, int N, class At>
SBN_TARGET_AVX512BW SBN_INLINE void activate(__m512 (&x)[P][N], const Activation& a,
                                             const At& at) {
  if (a.shift) SBN_EACH x[p][i] = _mm512_add_ps(x[p][i], at(a.shift, i));
  if (a.slope && a.gain) {
    SBN_EACH {
      const __mmask16 negative = _mm512_cmp_ps_mask(x[p][i], _mm512_setzero_ps(), _CMP_LT_OQ);
      const __m512 gained = _mm512_mul_ps(x[p][i], at(a.gain, i));
      x[p][i] = _mm512_mask_mul_ps(gained, negative, x[p][i], at(a.slope, i));
    }
  } else if (a.slope) {
    SBN_EACH {
      const __mmask16 negative = _mm512_cmp_ps_mask(x[p][i], _mm512_setzero_ps(), _CMP_LT_OQ);
      x[p][i] = _mm512_mask_mul_ps(x[p][i], negative, x[p][i], at(a.slope, i));
    }
  }
  if (a.offset) SBN_EACH x[p][i] = _mm512_add_ps(x[p][i], at(a.offset, i));
  // The second operand is the result where one is NaN or both are zero.
  if (a.low) SBN_EACH x[p][i] = _mm512_max_ps(at(a.low, i), x[p][i]);
  if (a.high) SBN_EACH x[p][i] = _mm512_min_ps(at(a.high, i), x[p][i]);
}

// Whole: all 16 * N channels are there, and nothing is masked.
template <class Signs, bool Whole, int P, int N>
SBN_TARGET_AVX512BW SBN_INLINE void finish_lanes(const Output& out, __m512i (&dot)[P][N],
                                                int64_t pixel, int64_t channel, int64_t count) {
  const Epilogue& e = out.epilogue;
  __mmask16 lanes[N];
  SBN_UNROLL
  for (int i = 0; i < N; ++i) lanes[i] = first_lanes(count - 16 * i);
  const auto load = [&](const float* from, int i) SBN_TARGET_AVX512BW {
    return Whole ? _mm512_loadu_ps(from + 16 * i) : _mm512_maskz_loadu_ps(lanes[i], from + 16 * i);
  };
  const auto at = [&](const float* from, int i) SBN_TARGET_AVX512BW {
    return load(from + channel, i);
  };
  const int64_t first = pixel * out.outputs + channel;
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[p][i] = _mm512_max_epi32(dot[p][i], _mm512_set1_epi32(e.dot_low));
      dot[p][i] = _mm512_min_epi32(dot[p][i], _mm512_set1_epi32(e.dot_high));
    }
  }
  __m512 v[P][N];
  if (e.dot_offset == 0) {
    SBN_EACH v[p][i] =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[p][i]), at(e.scale, i), at(e.bias, i));
  } else {
    SBN_EACH {
      const __m512i sum = _mm512_add_epi32(dot[p][i], _mm512_set1_epi32(e.dot_offset));
      const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), at(e.scale, i));
      v[p][i] = _mm512_add_ps(product, at(e.bias, i));
    }
  }
  if (out.inner) activate(v, e.inner, at);
  if (e.residual) {
    SBN_EACH v[p][i] = _mm512_add_ps(v[p][i], load(e.residual + first + p * out.outputs, i));
  }
  if (out.outer) activate(v, e.outer, at);
  if (e.integers) {
    SBN_EACH _mm256_mask_storeu_epi16(out.integers(pixel + p, channel + 16 * i), lanes[i],
                                      to_int16(v[p][i]));
    return;
  }
  SBN_EACH {
    float* to = static_cast<float*>(out.y) + first + p * out.outputs + 16 * i;
    if (Whole) {
      _mm512_storeu_ps(to, v[p][i]);
    } else {
      _mm512_mask_storeu_ps(to, lanes[i], v[p][i]);
    }
  }
  if (!e.signs) return;
  uint64_t negative[P] = {};
  const auto note = [&](int p, int i, __mmask16 found) SBN_TARGET_AVX512BW {
    const auto bits = static_cast<__mmask16>(Whole ? found : found & lanes[i]);
    negative[p] |= uint64_t{bits_of(bits)} << (16 * i);
  };
  if (e.sign_low) {
    SBN_EACH note(p, i, _mm512_cmp_ps_mask(v[p][i], at(e.sign_low, i), _CMP_LT_OQ));
  } else {
    SBN_EACH note(p, i, _mm512_cmp_ps_mask(v[p][i], _mm512_setzero_ps(), _CMP_LT_OQ));
  }
  if (e.sign_high) {
    SBN_EACH note(p, i, _mm512_cmp_ps_mask(v[p][i], at(e.sign_high, i), _CMP_GT_OQ));
  }
  SBN_UNROLL
  for (int p = 0; p < P; ++p) Signs::store(out, pixel + p, channel, negative[p]);
}

template <class Signs, int P, int N>
SBN_TARGET_AVX512BW SBN_INLINE void finish_tile(const Output& out, __m512i (&dot)[P][N],
                                                int64_t pixel, int64_t channel, int64_t count) {
  if (count >= 16 * N) {
    finish_lanes<Signs, true>(out, dot, pixel, channel, count);
  } else {
    finish_lanes<Signs, false>(out, dot, pixel, channel, count);
  }
}

// Writes the first `count` of 16 * N channels from `channel` on, of P pixels; where signs are
// wanted, Signs::store takes those of each pixel. A function of its own: inlined into a kernel it
// would take registers from the innermost loop.
template <class Signs, int P, int N>
SBN_TARGET_AVX512BW SBN_NOINLINE void finish(const Output& out, int64_t pixel, int64_t channel,
                                             int64_t count, __m512i (&dot)[P][N]) {
  finish_tile<Signs>(out, dot, pixel, channel, count);
}

// The same with the dot products of up to eight vectors in registers, pixel by pixel.
template <class Signs, int P, int N, class... Vectors>
SBN_TARGET_AVX512BW SBN_NOINLINE void finish_few(const Output& out, int64_t pixel,
                                                 int64_t channel, int64_t count,
                                                 Vectors... vectors) {
  static_assert(sizeof...(vectors) == P * N && P * N <= 8, "");
  __m512i dot[P][N] = {vectors...};
  finish_tile<Signs>(out, dot, pixel, channel, count);
}

#undef SBN_EACH

}  // namespace sbn::avx512
