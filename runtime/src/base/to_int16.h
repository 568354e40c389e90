// A float to the nearest int16.
#pragma once

#include <stdint.h>

#include "base/attributes.h"

namespace sbn {

// Ties go to even, what is too large saturates, NaN gives 32767.
SBN_INLINE int16_t to_int16(float v) {
  v = v < 32767.0f ? v : 32767.0f;
  v = v > -32768.0f ? v : -32768.0f;
  // Between 2^23 and 2^24 floats are the integers: the addition rounds.
  constexpr float kWhole = 12582912.0f;
  return static_cast<int16_t>((v + kWhole) - kWhole);
}

}  // namespace sbn
