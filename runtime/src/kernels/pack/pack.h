// Packing floats to sign bits and back, and rounding them to 16 and to 8 bits. Rows lie one after
// the other; a row of `channels` signs takes words_of(channels) words, unused bits being 0.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"

namespace sbn {

struct PackKernel {
  // Bit 1 where x < 0.
  void (*run)(const float* x, uint64_t* y, int64_t rows, int64_t channels);
};

struct PackThresholdKernel {
  // Bit 1 where x < low[c] or x > high[c].
  void (*run)(const float* x, const float* low, const float* high, uint64_t* y, int64_t rows,
              int64_t channels);
};

struct UnpackKernel {
  // -1 for a set bit, else +1.
  void (*run)(const uint64_t* x, float* y, int64_t rows, int64_t channels);
};

struct QuantizeKernel {
  // x * scale[c] + bias[c], rounded once, then to the nearest int16.
  void (*run)(const float* x, const float* scale, const float* bias, int16_t* y, int64_t rows,
              int64_t channels);
};

// What x / scale is rounded to, the nearest integer and of two the even one, is kept from `low` to
// `high`, and `zero` is added. The sum is an int8 or a uint8.
struct LinearRange {
  float scale, low, high;
  int32_t zero;
};

struct QuantizeLinearKernel {
  // NaN becomes the lowest number.
  void (*run)(const LinearRange& range, const float* x, uint8_t* y, int64_t count);
};

// One element.
SBN_INLINE uint8_t quantize_linear(const LinearRange& range, float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  float v = x / range.scale;
  v = v > range.low ? v : range.low;
  v = v < range.high ? v : range.high;
  return static_cast<uint8_t>(static_cast<int32_t>((v + kMagic) - kMagic) + range.zero);
}

}  // namespace sbn
