// Mask registers.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "base/attributes.h"

namespace sbn::avx512 {

// The bits of a mask. Written as an instruction: where gcc 12 runs out of registers
// it stores the 16 bits of a widened mask and loads 32 bits back.
SBN_TARGET_AVX512 SBN_INLINE uint32_t bits_of(__mmask16 mask) {
  uint32_t bits;
  __asm__("kmovw %1, %0" : "=r"(bits) : "k"(mask));
  return bits;
}

// The first `count` of 16 lanes; count may be negative or above 16.
SBN_TARGET_AVX512 SBN_INLINE __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(low_bits(clamp(count, 0, 16)));
}

}  // namespace sbn::avx512
