// Unaligned 512-bit loads, mask registers, and rounding.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "base/attributes.h"

namespace sbn::avx512 {

// The bits of a mask. Written as an instruction: where gcc 12 runs out of registers
// it stores a mask and loads back twice as many bits.
SBN_TARGET_AVX512BW SBN_INLINE uint32_t bits_of(__mmask16 mask) {
  uint32_t bits;
  __asm__("kmovw %1, %0" : "=r"(bits) : "k"(mask));
  return bits;
}

SBN_TARGET_AVX512BW SBN_INLINE uint32_t bits_of(__mmask32 mask) {
  uint32_t bits;
  __asm__("kmovd %1, %0" : "=r"(bits) : "k"(mask));
  return bits;
}

SBN_TARGET_AVX512BW SBN_INLINE __m512i load512(const void* from) {
  return _mm512_loadu_si512(from);
}

SBN_TARGET_AVX512BW SBN_INLINE __m512i broadcast128(const void* from) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(from)));
}

// The first `count` of 16 lanes; count may be negative or above 16.
SBN_TARGET_AVX512BW SBN_INLINE __mmask16 first_lanes(int64_t count) {
  if (count >= 16) return 0xffff;
  return static_cast<__mmask16>(count > 0 ? (1u << count) - 1 : 0);
}

// Sixteen floats to the nearest int16: ties to even, saturated, NaN to 32767.
SBN_TARGET_AVX512BW SBN_INLINE __m256i to_int16(__m512 v) {
  // The second operand is the result where one is NaN. What lies below all int32
  // becomes the least of them.
  const __m512 bounded = _mm512_min_ps(v, _mm512_set1_ps(32767.0f));
  return _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(bounded));
}

}  // namespace sbn::avx512
