#include "base/arithmetic.h"
#include "base/neon.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

struct Sign {
  SBN_INLINE uint32x4_t operator()(float32x4_t x, int64_t) const { return vcltzq_f32(x); }
  SBN_INLINE bool operator()(float x, int64_t) const { return x < 0; }
};

struct OutsideInterval {
  const float* low;
  const float* high;

  SBN_INLINE uint32x4_t operator()(float32x4_t x, int64_t channel) const {
    return vorrq_u32(vcltq_f32(x, load<float32x4_t>(low + channel)),
                     vcgtq_f32(x, load<float32x4_t>(high + channel)));
  }
  SBN_INLINE bool operator()(float x, int64_t channel) const {
    return x < load<float>(low + channel) || x > load<float>(high + channel);
  }
};

// The masks of 16 channels as bytes.
template <class Negative>
SBN_INLINE uint8x16_t sixteen(const float* x, int64_t channel, Negative negative) {
  uint16x8_t halves[2];
  SBN_UNROLL
  for (int i = 0; i < 2; ++i) {
    const int64_t at = channel + 8 * i;
    const uint32x4_t low = negative(load<float32x4_t>(x + at), at);
    const uint32x4_t high = negative(load<float32x4_t>(x + at + 4), at + 4);
    halves[i] = vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
  }
  return neon::narrow(halves[0], halves[1]);
}

template <class Negative>
SBN_INLINE void pack_rows(const float* x, uint64_t* y, int64_t rows, int64_t channels,
                          Negative negative) {
  for (int64_t row = 0; row < rows; ++row) {
    int64_t first = 0;
    for (; first + 64 <= channels; first += 64) {
      uint8x16_t lanes[4];
      SBN_UNROLL
      for (int i = 0; i < 4; ++i) lanes[i] = sixteen(x, first + 16 * i, negative);
      store(y++, neon::bits_of(lanes));
    }
    if (first < channels) {
      uint64_t word = 0;
      int64_t channel = first;
      for (; channel + 16 <= channels; channel += 16) {
        word |= uint64_t{neon::bits_of(sixteen(x, channel, negative))} << (channel - first);
      }
      for (; channel < channels; ++channel) {
        word |= uint64_t{negative(load<float>(x + channel), channel)} << (channel - first);
      }
      store(y++, word);
    }
    x += channels;
  }
}

void pack(const float* x, uint64_t* y, int64_t rows, int64_t channels) {
  pack_rows(x, y, rows, channels, Sign{});
}

void pack_threshold(const float* x, const float* low, const float* high, uint64_t* y, int64_t rows,
                    int64_t channels) {
  pack_rows(x, y, rows, channels, OutsideInterval{low, high});
}

void unpack(const uint64_t* x, float* y, int64_t rows, int64_t channels) {
  const uint32x4_t each = {1, 2, 4, 8};
  const float32x4_t plus = vdupq_n_f32(1.0f), minus = vdupq_n_f32(-1.0f);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < channels; first += 64) {
      const uint64_t word = load<uint64_t>(x++);
      const int64_t count = min(channels - first, 64);
      for (int64_t part = 0; part < count; part += 4) {
        const uint32x4_t set = vtstq_u32(vdupq_n_u32(static_cast<uint32_t>(word >> part)), each);
        neon::store_first(y + part, vbslq_f32(set, minus, plus), count - part);
      }
      y += count;
    }
  }
}

void quantize(const float* x, const float* scale, const float* bias, int16_t* y, int64_t rows,
              int64_t channels) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; c += 4) {
      const auto at = [&](const float* from) {
        return neon::load_first<float32x4_t>(from + c, channels - c);
      };
      const float32x4_t v = vfmaq_f32(at(bias), at(x), at(scale));
      neon::store_first(y + c, neon::to_int16(v), channels - c);
    }
    x += channels, y += channels;
  }
}

void quantize_linear(const LinearRange& range, const float* x, uint8_t* y, int64_t count) {
  const float32x4_t scale = vdupq_n_f32(range.scale);
  const float32x4_t low = vdupq_n_f32(range.low), high = vdupq_n_f32(range.high);
  const int32x4_t zero = vdupq_n_s32(range.zero);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    uint16x8_t halves[4];
    SBN_UNROLL
    for (int j = 0; j < 4; ++j) {
      const float32x4_t v = vdivq_f32(load<float32x4_t>(x + i + 4 * j), scale);
      // Of NaN and a number, the number.
      const float32x4_t kept = vminnmq_f32(vmaxnmq_f32(v, low), high);
      halves[j] = vreinterpretq_u16_s32(vaddq_s32(vcvtnq_s32_f32(kept), zero));
    }
    const uint8x16_t first = vreinterpretq_u8_u16(vuzp1q_u16(halves[0], halves[1]));
    const uint8x16_t second = vreinterpretq_u8_u16(vuzp1q_u16(halves[2], halves[3]));
    store(y + i, vuzp1q_u8(first, second));
  }
  for (; i < count; ++i) y[i] = quantize_linear(range, load<float>(x + i));
}

}  // namespace

const PackKernel pack_neon = {pack};
const PackThresholdKernel pack_threshold_neon = {pack_threshold};
const UnpackKernel unpack_neon = {unpack};
const QuantizeKernel quantize_neon = {quantize};
const QuantizeLinearKernel quantize_linear_neon = {quantize_linear};

}  // namespace sbn
