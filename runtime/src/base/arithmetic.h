// Integer helpers. Everything that sizes memory is checked for overflow.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

namespace sbn {

SBN_INLINE constexpr int64_t div_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }
SBN_INLINE constexpr int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
SBN_INLINE constexpr int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
SBN_INLINE constexpr int64_t clamp(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

// The 64-bit words that hold `bits` bits.
SBN_INLINE constexpr int64_t words_of(int64_t bits) { return div_up(bits, 64); }

// The `count` lowest bits set; count in [0, 64].
SBN_INLINE constexpr uint64_t low_bits(int64_t count) {
  return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

SBN_INLINE constexpr size_t align_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// A non-negative size that remembers whether computing it overflowed 2^62.
class Size {
 public:
  constexpr Size(int64_t value) : value_(value), valid_(value >= 0) {}

  constexpr Size operator*(Size other) const { return combine(other, true); }
  constexpr Size operator+(Size other) const { return combine(other, false); }

  constexpr bool valid() const { return valid_; }
  constexpr int64_t value() const { return value_; }

 private:
  constexpr Size combine(Size other, bool product) const {
    int64_t result = 0;
    const bool overflow = product ? __builtin_mul_overflow(value_, other.value_, &result)
                                  : __builtin_add_overflow(value_, other.value_, &result);
    Size size(result);
    size.valid_ = valid_ && other.valid_ && !overflow && result >= 0 && result <= kLimit;
    return size;
  }

  static constexpr int64_t kLimit = int64_t{1} << 62;
  int64_t value_;
  bool valid_;
};

// A half-open range of indices.
struct Range {
  int64_t begin;
  int64_t end;
};

// Part `index` of `count` nearly equal parts of [0, total).
SBN_INLINE constexpr Range part_of(int64_t total, int64_t index, int64_t count) {
  const int64_t quotient = total / count;
  const int64_t remainder = total % count;
  const int64_t begin = index * quotient + min(index, remainder);
  return {begin, begin + quotient + (index < remainder)};
}

}  // namespace sbn
