// x * scale + bias, rounded once, without a fused multiply-add instruction.
#pragma once

#include <stdint.h>

#include "base/attributes.h"

namespace sbn {

// x is a float, or an integer of at most 29 bits: its product with a float is exact in double.
// The sum is rounded to odd (Boldo and Melquiond, 2008), so that rounding it
// again to float gives what a single rounding would.
SBN_INLINE float exact_fma(double x, float scale, float bias) {
  const double product = x * static_cast<double>(scale);
  const double addend = bias;
  double sum = product + addend;
  const double virtual_addend = sum - product;
  const double error = (product - (sum - virtual_addend)) + (addend - virtual_addend);
  uint64_t bits;
  __builtin_memcpy(&bits, &sum, sizeof bits);
  const bool finite = (bits & 0x7ff0000000000000) != 0x7ff0000000000000;
  if (error != 0 && finite && (bits & 1) == 0) {
    bits += (error > 0) == (sum > 0) ? 1 : -1;
    __builtin_memcpy(&sum, &bits, sizeof sum);
  }
  return static_cast<float>(sum);
}

}  // namespace sbn
