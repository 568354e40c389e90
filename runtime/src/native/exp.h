// e^x, the same on every machine.
#pragma once

#include "base/attributes.h"
#include "base/bits.h"

namespace sbn::native {

// Within 1 ulp of e^x for x <= 0; 0 below -87, NaN for NaN.
SBN_INLINE float exp_of_negative(float x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double low = x < -87.0f ? -87.0 : static_cast<double>(x);
  const double shifted = low * kLog2E + kMagic;
  const double r = low - (shifted - kMagic) * kLn2;
  double sum = 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  // The lowest bits of `shifted` are the power of two, in two's complement.
  const uint64_t power = load<uint64_t>(&shifted) << 52;
  const double scale = [](uint64_t bits) {
    return load<double>(&bits);
  }(power + (uint64_t{1023} << 52));
  const float result = static_cast<float>(sum * scale);
  return x < -87.0f ? 0.0f : result;
}

}  // namespace sbn::native
