// Unaligned 256-bit loads and stores, and rounding.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/bits.h"

namespace sbn::avx2 {

SBN_TARGET_AVX2 SBN_INLINE __m256i load256(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

SBN_TARGET_AVX2 SBN_INLINE __m256i broadcast128(const void* from) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(from)));
}

SBN_TARGET_AVX2 SBN_INLINE void store256(void* to, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}

// Eight floats to the nearest int16: ties to even, saturated, NaN to 32767.
SBN_TARGET_AVX2 SBN_INLINE __m128i to_int16(__m256 v) {
  // The second operand is the result where one is NaN. What lies below all int32
  // becomes the least of them.
  const __m256i whole = _mm256_cvtps_epi32(_mm256_min_ps(v, _mm256_set1_ps(32767.0f)));
  return _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
}

// The first `count` of eight int16; count may be above 8.
SBN_TARGET_AVX2 SBN_INLINE void store_int16(int16_t* to, __m128i values, int64_t count) {
  if (count >= 8) return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), values);
  alignas(16) int16_t all[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(all), values);
  for (int64_t i = 0; i < count; ++i) store(to + i, all[i]);
}

}  // namespace sbn::avx2
