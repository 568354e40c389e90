// Unaligned 256-bit loads and stores.
#pragma once

#include <immintrin.h>

#include "base/attributes.h"

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

}  // namespace sbn::avx2
