#include <immintrin.h>

#include "base/avx2.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using Vector = __m256;

constexpr int64_t kLanes = 8;

SBN_TARGET_AVX2 SBN_INLINE __m256i lanes_of(int64_t count) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(min(count, kLanes))), index);
}

template <bool whole>
SBN_TARGET_AVX2 SBN_INLINE __m256 read(const float* from, __m256i lanes) {
  if (whole) return _mm256_loadu_ps(from);
  return _mm256_maskload_ps(from, lanes);
}

template <bool whole>
SBN_TARGET_AVX2 SBN_INLINE void write(float* to, __m256i lanes, __m256 value) {
  if (whole) return _mm256_storeu_ps(to, value);
  _mm256_maskstore_ps(to, lanes, value);
}

SBN_TARGET_AVX2 SBN_INLINE __m256 broadcast(float value) { return _mm256_set1_ps(value); }

SBN_TARGET_AVX2 SBN_INLINE __m256 multiply_add(__m256 a, __m256 b, __m256 c) {
  return _mm256_fmadd_ps(a, b, c);
}

SBN_TARGET_AVX2 SBN_INLINE __m256 larger(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }

#define SBN_WINDOW_TARGET SBN_TARGET_AVX2
#include "kernels/window/slide.inc"
#undef SBN_WINDOW_TARGET

}  // namespace

const FloatMaxPoolKernel float_max_pool_avx2 = {pool};
const FloatDepthwiseConvKernel float_depthwise_conv_avx2 = {conv};

}  // namespace sbn
