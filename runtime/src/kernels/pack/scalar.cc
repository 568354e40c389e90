#include "base/arithmetic.h"
#include "base/bits.h"
#include "base/exact_fma.h"
#include "base/to_int16.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

// Packs rows; `negative(value, channel)` says which bits are set.
template <class Negative>
SBN_INLINE void pack_rows(const float* x, uint64_t* y, int64_t rows, int64_t channels,
                          Negative negative) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < channels; first += 64) {
      const int64_t count = min(channels - first, 64);
      uint64_t word = 0;
      for (int64_t i = 0; i < count; ++i) {
        word |= uint64_t{negative(load<float>(x + first + i), first + i)} << i;
      }
      store(y++, word);
    }
    x += channels;
  }
}

void pack(const float* x, uint64_t* y, int64_t rows, int64_t channels) {
  pack_rows(x, y, rows, channels, [](float value, int64_t) { return value < 0; });
}

void pack_threshold(const float* x, const float* low, const float* high, uint64_t* y, int64_t rows,
                    int64_t channels) {
  pack_rows(x, y, rows, channels, [=](float value, int64_t channel) {
    return value < load<float>(low + channel) || value > load<float>(high + channel);
  });
}

void unpack(const uint64_t* x, float* y, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < channels; first += 64) {
      const uint64_t word = load<uint64_t>(x++);
      const int64_t count = min(channels - first, 64);
      for (int64_t i = 0; i < count; ++i) store(y++, word >> i & 1 ? -1.0f : 1.0f);
    }
  }
}

void quantize(const float* x, const float* scale, const float* bias, int16_t* y, int64_t rows,
              int64_t channels) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; ++c) {
      const float v = exact_fma(load<float>(x++), load<float>(scale + c), load<float>(bias + c));
      store(y++, to_int16(v));
    }
  }
}

void quantize_linear(const LinearRange& range, const float* x, uint8_t* y, int64_t count) {
  const LinearRange r = range;  // which y does not lie in
  for (int64_t i = 0; i < count; ++i) y[i] = quantize_linear(r, load<float>(x + i));
}

}  // namespace

const PackKernel pack_scalar = {pack};
const PackThresholdKernel pack_threshold_scalar = {pack_threshold};
const UnpackKernel unpack_scalar = {unpack};
const QuantizeKernel quantize_scalar = {quantize};
const QuantizeLinearKernel quantize_linear_scalar = {quantize_linear};

}  // namespace sbn
