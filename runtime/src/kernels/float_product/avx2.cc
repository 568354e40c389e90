#include "base/avx2.h"

#include <immintrin.h>

#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using Vector = __m256;

constexpr int64_t kLanes = 8;
constexpr int kRows = 6;

SBN_TARGET_AVX2 SBN_INLINE __m256i lanes_of(int64_t count) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const auto bound = static_cast<int>(clamp(count, 0, kLanes));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(bound), index);
}

SBN_TARGET_AVX2 SBN_INLINE __m256 read(const float* from, __m256i lanes) {
  return _mm256_maskload_ps(from, lanes);
}

SBN_TARGET_AVX2 SBN_INLINE void write(float* to, __m256i lanes, __m256 value) {
  _mm256_maskstore_ps(to, lanes, value);
}

SBN_TARGET_AVX2 SBN_INLINE __m256 read_all(const float* from) { return _mm256_loadu_ps(from); }

SBN_TARGET_AVX2 SBN_INLINE __m256 broadcast(float value) { return _mm256_set1_ps(value); }

SBN_TARGET_AVX2 SBN_INLINE __m256 plus(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }

SBN_TARGET_AVX2 SBN_INLINE __m256 multiply_add(__m256 a, __m256 b, __m256 c) {
  return _mm256_fmadd_ps(a, b, c);
}

#define SBN_PRODUCT_TARGET SBN_TARGET_AVX2
#include "kernels/float_product/tiles.inc"
#undef SBN_PRODUCT_TARGET

}  // namespace

const FloatProductKernel float_product_avx2 = {kPanel, run};

}  // namespace sbn
