#include <immintrin.h>

#include "base/avx512.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using Vector = __m512;

constexpr int64_t kLanes = 16;

SBN_TARGET_AVX512BW SBN_INLINE __mmask16 lanes_of(int64_t count) {
  return avx512::first_lanes(count);
}

template <bool whole>
SBN_TARGET_AVX512BW SBN_INLINE __m512 read(const float* from, __mmask16 lanes) {
  if (whole) return _mm512_loadu_ps(from);
  return _mm512_maskz_loadu_ps(lanes, from);
}

template <bool whole>
SBN_TARGET_AVX512BW SBN_INLINE void write(float* to, __mmask16 lanes, __m512 value) {
  if (whole) return _mm512_storeu_ps(to, value);
  _mm512_mask_storeu_ps(to, lanes, value);
}

SBN_TARGET_AVX512BW SBN_INLINE __m512 broadcast(float value) { return _mm512_set1_ps(value); }

SBN_TARGET_AVX512BW SBN_INLINE __m512 multiply_add(__m512 a, __m512 b, __m512 c) {
  return _mm512_fmadd_ps(a, b, c);
}

SBN_TARGET_AVX512BW SBN_INLINE __m512 larger(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }

#define SBN_WINDOW_TARGET SBN_TARGET_AVX512BW
#include "kernels/window/slide.inc"
#undef SBN_WINDOW_TARGET

}  // namespace

const FloatMaxPoolKernel float_max_pool_avx512bw = {pool};
const FloatDepthwiseConvKernel float_depthwise_conv_avx512bw = {conv};

}  // namespace sbn
