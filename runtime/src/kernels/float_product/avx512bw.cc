#include <immintrin.h>

#include "base/avx512.h"
#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using Vector = __m512;

constexpr int64_t kLanes = 16;
constexpr int kRows = 12;

SBN_TARGET_AVX512BW SBN_INLINE __mmask16 lanes_of(int64_t count) {
  return avx512::first_lanes(count);
}

SBN_TARGET_AVX512BW SBN_INLINE __m512 read(const float* from, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, from);
}

SBN_TARGET_AVX512BW SBN_INLINE void write(float* to, __mmask16 lanes, __m512 value) {
  _mm512_mask_storeu_ps(to, lanes, value);
}

SBN_TARGET_AVX512BW SBN_INLINE __m512 read_all(const float* from) { return _mm512_loadu_ps(from); }

SBN_TARGET_AVX512BW SBN_INLINE __m512 broadcast(float value) { return _mm512_set1_ps(value); }

SBN_TARGET_AVX512BW SBN_INLINE __m512 plus(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }

SBN_TARGET_AVX512BW SBN_INLINE __m512 multiply_add(__m512 a, __m512 b, __m512 c) {
  return _mm512_fmadd_ps(a, b, c);
}

#define SBN_PRODUCT_TARGET SBN_TARGET_AVX512BW
#include "kernels/float_product/tiles.inc"
#undef SBN_PRODUCT_TARGET

}  // namespace

const FloatProductKernel float_product_avx512bw = {kPanel, run};

}  // namespace sbn
