#include "base/wasm.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

struct Sign {
  SBN_INLINE v128_t operator()(v128_t x, int64_t) const {
    return wasm_f32x4_lt(x, wasm_f32x4_const_splat(0));
  }
  SBN_INLINE bool operator()(float x, int64_t) const { return x < 0; }
};

struct OutsideInterval {
  const float* low;
  const float* high;

  SBN_INLINE v128_t operator()(v128_t x, int64_t channel) const {
    return wasm_v128_or(wasm_f32x4_lt(x, load<v128_t>(low + channel)),
                        wasm_f32x4_gt(x, load<v128_t>(high + channel)));
  }
  SBN_INLINE bool operator()(float x, int64_t channel) const {
    return x < load<float>(low + channel) || x > load<float>(high + channel);
  }
};

template <class Negative>
SBN_INLINE void pack_rows(const float* x, uint64_t* y, int64_t rows, int64_t channels,
                          Negative negative) {
  for (int64_t row = 0; row < rows; ++row, x += channels) {
    for (int64_t first = 0; first < channels; first += 64) {
      const int64_t end = min(first + 64, channels);
      uint64_t word = 0;
      int64_t channel = first;
      for (; channel + 16 <= end; channel += 16) {
        v128_t masks[4];
        SBN_UNROLL
        for (int i = 0; i < 4; ++i) {
          masks[i] = negative(load<v128_t>(x + channel + 4 * i), channel + 4 * i);
        }
        word |= uint64_t{wasm_i8x16_bitmask(wasm::bytes_of(masks))} << (channel - first);
      }
      for (; channel < end; ++channel) {
        word |= uint64_t{negative(load<float>(x + channel), channel)} << (channel - first);
      }
      store(y++, word);
    }
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
  const v128_t each = wasm_i32x4_const(1, 2, 4, 8);
  const v128_t plus = wasm_f32x4_const_splat(1), minus = wasm_f32x4_const_splat(-1);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < channels; first += 64) {
      const uint64_t word = load<uint64_t>(x++);
      const int64_t count = min(channels - first, 64);
      for (int64_t part = 0; part < count; part += 4) {
        const v128_t bits = wasm_i32x4_splat(static_cast<int32_t>(word >> part));
        const v128_t set = wasm_i32x4_eq(wasm_v128_and(bits, each), each);
        wasm::store_first(y + part, wasm_v128_bitselect(minus, plus, set), count - part);
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
        return wasm::load_first(from + c, channels - c);
      };
      const v128_t v = wasm::multiply_add(at(x), at(scale), at(bias));
      wasm::store_first(y + c, wasm::to_int16(v), channels - c, 4);
    }
    x += channels, y += channels;
  }
}

void quantize_linear(const LinearRange& range, const float* x, uint8_t* y, int64_t count) {
  const v128_t scale = wasm_f32x4_splat(range.scale);
  const v128_t low = wasm_f32x4_splat(range.low), high = wasm_f32x4_splat(range.high);
  const v128_t zero = wasm_i32x4_splat(range.zero), byte = wasm_i32x4_const_splat(0xff);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    v128_t parts[4];
    SBN_UNROLL
    for (int j = 0; j < 4; ++j) {
      const v128_t v = wasm_f32x4_div(load<v128_t>(x + i + 4 * j), scale);
      // Of NaN and a number, the first.
      const v128_t kept = wasm_f32x4_pmin(high, wasm_f32x4_pmax(low, v));
      const v128_t whole = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(kept));
      parts[j] = wasm_v128_and(wasm_i32x4_add(whole, zero), byte);
    }
    const v128_t first = wasm_u16x8_narrow_i32x4(parts[0], parts[1]);
    const v128_t second = wasm_u16x8_narrow_i32x4(parts[2], parts[3]);
    store(y + i, wasm_u8x16_narrow_i16x8(first, second));
  }
  for (; i < count; ++i) y[i] = quantize_linear(range, load<float>(x + i));
}

}  // namespace

const PackKernel pack_wasm = {pack};
const PackThresholdKernel pack_threshold_wasm = {pack_threshold};
const UnpackKernel unpack_wasm = {unpack};
const QuantizeKernel quantize_wasm = {quantize};
const QuantizeLinearKernel quantize_linear_wasm = {quantize_linear};

}  // namespace sbn
