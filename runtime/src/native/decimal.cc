#include "native/decimal.h"

#include "base/arithmetic.h"
#include "base/bits.h"

namespace sbn::native {
namespace {

constexpr int kMostDigits = 100;
constexpr int kMostExponent = 450;  // beyond it, either way, no double is left

// A natural number of at most 2,560 bits, 32 in each word, the lowest first. That is enough: 100
// digits and 450 zeroes are 1,828 bits, and 65 are shifted in.
struct Natural {
  static constexpr int kWords = 80;
  uint32_t words[kWords] = {};

  void multiply_add(uint32_t factor, uint32_t summand) {
    uint64_t carry = summand;
    for (uint32_t& word : words) {
      carry += uint64_t{word} * factor;
      word = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
  }

  int bits() const {
    int i = kWords - 1;
    while (i > 0 && words[i] == 0) --i;
    return words[i] ? 32 * i + 32 - __builtin_clz(words[i]) : 0;
  }

  void shift_up(int count) {
    const int whole = count / 32, rest = count % 32;
    for (int i = kWords - 1; i >= 0; --i) {
      const uint64_t high = i >= whole ? words[i - whole] : 0;
      const uint64_t low = i > whole ? words[i - whole - 1] : 0;
      words[i] = static_cast<uint32_t>((high << 32 | low) >> (32 - rest));
    }
  }

  bool less_than(const Natural& other) const {
    int i = kWords - 1;
    while (i > 0 && words[i] == other.words[i]) --i;
    return words[i] < other.words[i];
  }

  void subtract(const Natural& other) {
    uint64_t borrow = 0;
    for (int i = 0; i < kWords; ++i) {
      const uint64_t difference = uint64_t{words[i]} - other.words[i] - borrow;
      words[i] = static_cast<uint32_t>(difference);
      borrow = difference >> 63;
    }
  }
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The double nearest to above / below, which are positive; false where it is too large.
bool nearest(Natural above, Natural below, double* number) {
  constexpr int kPrecision = 53, kBias = 1023;
  // The quotient of both, times 2^shift, has 64 or 65 bits.
  const int shift = 64 + below.bits() - above.bits();
  if (shift >= 0) {
    above.shift_up(shift);
  } else {
    below.shift_up(-shift);
  }
  unsigned __int128 quotient = 0;
  below.shift_up(64);
  for (int i = 64; i >= 0; --i) {
    quotient <<= 1;
    if (!above.less_than(below)) {
      above.subtract(below);
      quotient |= 1;
    }
    above.shift_up(1);
  }
  const int length = quotient >> 64 ? 65 : 64, dropped = length - kPrecision;
  int exponent = length - 1 - shift;
  auto mantissa = static_cast<uint64_t>(quotient >> dropped);
  const auto rest = static_cast<uint64_t>(quotient) & ((uint64_t{1} << dropped) - 1);
  const uint64_t half = uint64_t{1} << (dropped - 1);
  const bool more = above.bits() > 0;
  if (rest > half || (rest == half && (more || mantissa & 1))) ++mantissa;
  if (mantissa >> kPrecision) mantissa >>= 1, ++exponent;
  if (exponent > kBias) return false;
  const uint64_t fraction = mantissa & ((uint64_t{1} << (kPrecision - 1)) - 1);
  const uint64_t all = static_cast<uint64_t>(exponent + kBias) << (kPrecision - 1) | fraction;
  *number = exponent <= -kBias ? 0.0 : load<double>(&all);
  return true;
}

}  // namespace

bool read_decimal(const char* text, double* number, const char** behind) {
  const char* at = text;
  const bool negative = *at == '-';
  if (negative) ++at;
  if (!is_digit(*at)) return false;
  Natural digits;
  int count = 0, exponent = 0;
  const auto read_digits = [&](bool fraction) {
    for (; is_digit(*at); ++at) {
      if (count > 0 || *at != '0') ++count;
      if (count > kMostDigits) return false;
      digits.multiply_add(10, static_cast<uint32_t>(*at - '0'));
      if (fraction && --exponent < -kMostExponent) return false;
    }
    return true;
  };
  if (!read_digits(false)) return false;
  if (*at == '.' && is_digit(at[1])) {
    ++at;
    if (!read_digits(true)) return false;
  }
  const bool has_sign = (*at == 'e' || *at == 'E') && (at[1] == '-' || at[1] == '+');
  if ((*at == 'e' || *at == 'E') && is_digit(at[has_sign ? 2 : 1])) {
    const bool down = at[1] == '-';
    constexpr int kMost = 10000;
    int power = 0;
    for (at += has_sign ? 2 : 1; is_digit(*at); ++at) {
      if (power < kMost) power = power * 10 + (*at - '0');
    }
    exponent += down ? -power : power;
  }
  *behind = at;
  *number = 0;
  if (count > 0 && exponent > -kMostExponent) {
    if (exponent > kMostExponent) return false;
    Natural below;
    below.words[0] = 1;
    for (int i = 0; i < exponent; ++i) digits.multiply_add(10, 0);
    for (int i = 0; i > exponent; --i) below.multiply_add(10, 0);
    if (!nearest(digits, below, number)) return false;
  }
  if (negative) *number = -*number;
  return true;
}

}  // namespace sbn::native
