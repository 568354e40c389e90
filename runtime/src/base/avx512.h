// Mask registers.
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

// The first `count` of 16 lanes; count may be negative or above 16.
SBN_TARGET_AVX512BW SBN_INLINE __mmask16 first_lanes(int64_t count) {
  if (count >= 16) return 0xffff;
  return static_cast<__mmask16>(count > 0 ? (1u << count) - 1 : 0);
}

}  // namespace sbn::avx512
