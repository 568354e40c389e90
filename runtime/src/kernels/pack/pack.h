// Packing floats to sign bits and back, and rounding them to 16 bits. Rows lie one after
// the other; a row of `channels` signs takes words_of(channels) words, unused bits being 0.
#pragma once

#include <stdint.h>

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

}  // namespace sbn
