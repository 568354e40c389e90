// Functions of float numbers, the same on every machine: a C library's are not.
#pragma once

#include "base/attributes.h"
#include "base/bits.h"

namespace sbn::native {

constexpr float kInfinity = __builtin_inff();

SBN_INLINE bool is_nan(float x) { return x != x; }

// e^x for x in [-700, 700], within 1e-8 of it.
SBN_INLINE double exp_of_double(double x) {
  constexpr double kLog2E = 1.4426950408889634, kLn2 = 0.6931471805599453;
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double shifted = x * kLog2E + kMagic;
  const double r = x - (shifted - kMagic) * kLn2;
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
  return sum * scale;
}

// Within 1 ulp of e^x for x <= 0; 0 below -87, NaN for NaN.
SBN_INLINE float exp_of_negative(float x) {
  const double low = x < -87.0f ? -87.0 : static_cast<double>(x);
  const auto result = static_cast<float>(exp_of_double(low));
  return x < -87.0f ? 0.0f : result;
}

// Within 1 ulp of e^x; 0 below -87, infinite where no float is as large, NaN for NaN.
SBN_INLINE float exp_of(float x) {
  constexpr float kMost = 88.72284f;  // beyond it no float is as large
  const float low = x > kMost ? kMost : x < -87.0f ? -87.0f : x;
  const auto result = static_cast<float>(exp_of_double(static_cast<double>(low)));
  return x > kMost ? kInfinity : x < -87.0f ? 0.0f : result;
}

// e^x - 1, exact to rounding near 0 too, for x <= 0.
SBN_INLINE float exp_minus_1_of_negative(float x) {
  const double low = x < -87.0f ? -87.0 : static_cast<double>(x);
  return static_cast<float>(exp_of_double(low) - 1.0);
}

SBN_INLINE float sigmoid_of(float x) {
  const float e = exp_of_negative(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

SBN_INLINE float tanh_of(float x) {
  const double size = static_cast<double>(x < 0 ? -x : x);
  const double e = exp_of_double(size > 40 ? -80.0 : -2 * size);
  const auto result = static_cast<float>((1 - e) / (1 + e));
  return x < 0 ? -result : result;
}

// The natural logarithm of a positive finite number that is no denormal, in double.
SBN_INLINE double log_of_double(double x) {
  constexpr double kLn2 = 0.6931471805599453;
  constexpr uint64_t kHalf = 0x3fe6a09e667f3bcd;  // the bits of sqrt(1/2)
  // x = m 2^k with m in [sqrt(1/2), sqrt(2)).
  const uint64_t bits = load<uint64_t>(&x);
  const auto k = static_cast<int64_t>(bits - kHalf) >> 52;
  const uint64_t rest = bits - (static_cast<uint64_t>(k) << 52);
  const auto m = load<double>(&rest);
  const double s = (m - 1) / (m + 1), s2 = s * s;
  double sum = 1.0 / 13;
  sum = sum * s2 + 1.0 / 11;
  sum = sum * s2 + 1.0 / 9;
  sum = sum * s2 + 1.0 / 7;
  sum = sum * s2 + 1.0 / 5;
  sum = sum * s2 + 1.0 / 3;
  sum = sum * s2 + 1.0;
  return 2 * s * sum + static_cast<double>(k) * kLn2;
}

SBN_INLINE float log_of(float x) {
  const bool positive = x > 0 && x < kInfinity;
  const auto result = static_cast<float>(log_of_double(positive ? static_cast<double>(x) : 1.0));
  return positive ? result : x == 0 ? -kInfinity : x < 0 ? __builtin_nanf("") : x;
}

// The error function: its series near 0, and elsewhere formula 7.1.26 of Abramowitz and Stegun,
// within 1.5e-7.
SBN_INLINE float erf_of(float x) {
  const double size = static_cast<double>(x < 0 ? -x : x), square = size * size;
  double near = -1.0 / 1320;
  near = near * square + 1.0 / 216;
  near = near * square - 1.0 / 42;
  near = near * square + 1.0 / 10;
  near = near * square - 1.0 / 3;
  near = (near * square + 1.0) * size * 1.1283791670955126;  // 2 / sqrt(pi)
  const double t = 1 / (1 + 0.3275911 * size);
  double far = 1.061405429;
  far = far * t - 1.453152027;
  far = far * t + 1.421413741;
  far = far * t - 0.284496736;
  far = far * t + 0.254829592;
  far = 1 - far * t * exp_of_double(size > 20 ? -400.0 : -square);
  const auto result = static_cast<float>(size < 0.5 ? near : far);
  return x < 0 ? -result : result;
}

// To the nearest integer, of two the even one.
SBN_INLINE float round_of(float x) {
  constexpr float kWhole = 8388608.0f;  // 2^23: numbers of that size have no fraction
  const float size = x < 0 ? -x : x;
  const float result = size < kWhole ? (size + kWhole) - kWhole : size;
  return x < 0 ? -result : is_nan(x) ? x : result;
}

SBN_INLINE float floor_of(float x) {
  const float nearest = round_of(x);
  return nearest > x ? nearest - 1 : nearest;
}

SBN_INLINE float ceil_of(float x) {
  const float nearest = round_of(x);
  return nearest < x ? nearest + 1 : nearest;
}

// a^b. Integer powers of negative numbers are signed as they should be.
SBN_INLINE float pow_of(float a, float b) {
  if (b == 0 || a == 1) return 1;
  if (b == 1) return a;
  if (b == 2) return a * a;
  if (b == 3) return a * a * a;
  if (is_nan(a) || is_nan(b)) return a + b;
  const bool whole = round_of(b) == b, odd = whole && round_of(b / 2) != b / 2;
  const float size = a < 0 ? -a : a;
  if (a < 0 && !whole) return __builtin_nanf("");
  const float sign = a < 0 && odd ? -1.0f : 1.0f;
  if (size == 0 || size == kInfinity) return (size == 0) == (b < 0) ? sign * kInfinity : 0.0f;
  const double exponent = log_of_double(static_cast<double>(size)) * static_cast<double>(b);
  if (!(exponent < 89)) return sign * kInfinity;
  if (exponent < -87) return 0;
  return sign * static_cast<float>(exp_of_double(exponent));
}

}  // namespace sbn::native
