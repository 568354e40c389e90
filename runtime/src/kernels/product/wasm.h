// The product of WebAssembly: look-ups for pairs of pixels (product/pairs.h), 16 channels a
// register. It has population counts of bytes too, but x86 has not: an engine makes about eight
// instructions of one there, for 128 MAC. A look-up becomes two, or one on ARM, and does as many for
// a pair.
#pragma once

#include "base/wasm.h"
#include "kernels/product/epilogue.h"
#include "kernels/product/pairs.h"

namespace sbn::wasm {

using Vector = v128_t;
constexpr int64_t kChannels = 16;  // of a register

SBN_INLINE Vector load_vector(const void* from) { return load<Vector>(from); }
SBN_INLINE Vector broadcast128(const void* from) { return load<Vector>(from); }

// As nibbles.inc and dense/bytes.inc spell them.
SBN_INLINE Vector set1_epi8(int x) { return wasm_i8x16_splat(static_cast<int8_t>(x)); }
SBN_INLINE Vector set1_epi16(int x) { return wasm_i16x8_splat(static_cast<int16_t>(x)); }
SBN_INLINE Vector add_epi8(Vector a, Vector b) { return wasm_i8x16_add(a, b); }
SBN_INLINE Vector add_epi16(Vector a, Vector b) { return wasm_i16x8_add(a, b); }
SBN_INLINE Vector sub_epi16(Vector a, Vector b) { return wasm_i16x8_sub(a, b); }
SBN_INLINE Vector slli_epi16(Vector a, uint32_t count) { return wasm_i16x8_shl(a, count); }
SBN_INLINE Vector srli_epi16(Vector a, uint32_t count) { return wasm_u16x8_shr(a, count); }
SBN_INLINE Vector shuffle_epi8(Vector table, Vector index) {
  return wasm_i8x16_swizzle(table, index);
}

#define SBN_VECTOR(operation) operation
#define SBN_PRODUCT_TARGET
#include "kernels/product/nibbles.inc"
#undef SBN_PRODUCT_TARGET
#undef SBN_VECTOR

// Pairs of a tile: both sums, the partial ones, tables and weights are 15 registers.
constexpr int pairs_in_tile(int registers) { return 4 / registers; }

// The channel of a block that a lane computes.
constexpr int64_t channel_of_lane(int64_t lane) { return lane; }

// Adds `Count` <= 3 nibbles. index[p] holds the offsets of their tables for a pair, and `w`
// Registers * 16 weight nibbles for each.
template <int Count, int Pairs, int Registers>
SBN_INLINE void add_nibbles(Sums<Pairs, Registers>& sums, const uint16_t* const (&index)[Pairs],
                            const uint8_t* w) {
  const auto* tables = reinterpret_cast<const uint8_t*>(pairs::kPairTables<Digits>.entries);
  Vector s[Pairs][Registers];
  SBN_UNROLL
  for (int i = 0; i < Count; ++i) {
    Vector weights[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      weights[r] = load<Vector>(w + (i * Registers + r) * kChannels);
    }
    SBN_UNROLL
    for (int p = 0; p < Pairs; ++p) {
      const Vector table = load<Vector>(tables + index[p][i]);
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) {
        const Vector found = wasm_i8x16_swizzle(table, weights[r]);
        s[p][r] = i ? wasm_i8x16_add(s[p][r], found) : found;
      }
    }
  }
  SBN_UNROLL
  for (int p = 0; p < Pairs; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      sums.a[p][r] = wasm_i8x16_add(sums.a[p][r], s[p][r]);
      sums.b[p][r] = wasm_i8x16_add(sums.b[p][r], wasm_u16x8_shr(s[p][r], 4));
    }
  }
}

// Adds a run of `nibbles`, and moves `index` and `w` to its end.
template <int Pairs, int Registers>
SBN_INLINE void add_run(Sums<Pairs, Registers>& sums, const uint16_t* (&index)[Pairs],
                        const uint8_t*& w, int64_t nibbles) {
  for (; nibbles >= 3; nibbles -= 3, w += 3 * Registers * kChannels) {
    add_nibbles<3>(sums, index, w);
    SBN_UNROLL
    for (int p = 0; p < Pairs; ++p) index[p] += 3;
  }
  if (nibbles == 1) add_nibbles<1>(sums, index, w);
  if (nibbles == 2) add_nibbles<2>(sums, index, w);
  w += nibbles * Registers * kChannels;
}

// Epilogues: what becomes of the counts of output channels [channel, channel + count) of a pixel.
// `slot` counts registers of channels from the first channel on.
SBN_INLINE void store_bits(const Output& out, int64_t pixel, int64_t channel, uint32_t bits) {
  uint64_t* to = out.bits(pixel);
  if (out.merge) return merge_bits(to, channel, bits);
  store(reinterpret_cast<char*>(to) + channel / 8, static_cast<uint16_t>(bits));
}

struct Threshold : ThresholdOffsets {
  // Offsets: for each slot eight int16 of the even channels, then the odd ones.
  static void pack_offsets(int64_t groups, int64_t group_outputs, const int32_t* offsets,
                           void* packed) {
    auto* to = static_cast<int16_t*>(packed);
    for (int64_t group = 0; group < groups; ++group, offsets += group_outputs) {
      for (int64_t first = 0; first < group_outputs; first += kChannels) {
        for (int64_t lane = 0; lane < kChannels; ++lane) {
          const int64_t channel = first + lane % 8 * 2 + lane / 8;
          *to++ = channel < group_outputs ? static_cast<int16_t>(offsets[channel]) : 0;
        }
      }
    }
  }

  SBN_INLINE void operator()(const Counts& counts, const void* offsets, int64_t slot,
                             int64_t pixel, int64_t channel, int64_t count) const {
    const auto* limits = static_cast<const int16_t*>(offsets) + slot * kChannels;
    const Vector even = wasm_i16x8_gt(counts.even, load<Vector>(limits));
    const Vector odd = wasm_i16x8_gt(counts.odd, load<Vector>(limits + 8));
    const Vector set = wasm_v128_bitselect(even, odd, wasm_i16x8_const_splat(255));
    store_bits(out, pixel, channel,
               wasm_i8x16_bitmask(set) & static_cast<uint32_t>(low_bits(count)));
  }
};

// Each step is taken for N registers of four channels, so that what it depends on is looked at
// once. `at` loads their parameters.
#define SBN_EACH SBN_UNROLL for (int i = 0; i < N; ++i)

template <int N, class At>
SBN_INLINE void activate(Vector (&x)[N], const Activation& a, const At& at) {
  const auto chosen = [](Vector mask, Vector a, Vector b) {
    return wasm_v128_bitselect(a, b, mask);
  };
  if (a.shift) SBN_EACH x[i] = wasm_f32x4_add(x[i], at(a.shift, i));
  if (a.slope) {
    SBN_EACH {
      const Vector gained = a.gain ? wasm_f32x4_mul(x[i], at(a.gain, i)) : x[i];
      const Vector negative = wasm_f32x4_lt(x[i], wasm_f32x4_const_splat(0));
      x[i] = chosen(negative, wasm_f32x4_mul(x[i], at(a.slope, i)), gained);
    }
  }
  if (a.offset) SBN_EACH x[i] = wasm_f32x4_add(x[i], at(a.offset, i));
  if (a.low) SBN_EACH x[i] = chosen(wasm_f32x4_lt(x[i], at(a.low, i)), at(a.low, i), x[i]);
  if (a.high) SBN_EACH x[i] = chosen(wasm_f32x4_gt(x[i], at(a.high, i)), at(a.high, i), x[i]);
}

// Writes the first `count` of 4 * N channels of a pixel from their dot products. Returns which
// results are negative where the signs are wanted. A function of its own: inlined into a kernel it
// would take registers from the innermost loop.
template <int N>
SBN_NOINLINE uint32_t finish(const Output& out, Vector (&dot)[N], int64_t pixel, int64_t channel,
                             int64_t count) {
  const Epilogue& e = out.epilogue;
  const auto at = [&](const float* from, int i) {
    return load_first(from + channel + 4 * i, count - 4 * i);
  };
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[i] = wasm_i32x4_max(dot[i], wasm_i32x4_splat(e.dot_low));
      dot[i] = wasm_i32x4_min(dot[i], wasm_i32x4_splat(e.dot_high));
    }
  }
  Vector v[N];
  if (e.dot_offset == 0) {
    SBN_EACH {
      v[i] = multiply_add(wasm_f32x4_convert_i32x4(dot[i]), at(e.scale, i), at(e.bias, i));
    }
  } else {
    SBN_EACH {
      const Vector sum = wasm_i32x4_add(dot[i], wasm_i32x4_splat(e.dot_offset));
      const Vector scaled = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sum), at(e.scale, i));
      v[i] = wasm_f32x4_add(scaled, at(e.bias, i));
    }
  }
  if (out.inner) activate(v, e.inner, at);
  if (e.residual) {
    const float* shortcut = e.residual + pixel * out.outputs;
    SBN_EACH v[i] = wasm_f32x4_add(v[i], at(shortcut, i));
  }
  if (out.outer) activate(v, e.outer, at);
  if (e.integers) {
    SBN_EACH store_first(out.integers(pixel, channel + 4 * i), to_int16(v[i]), count - 4 * i, 4);
    return 0;
  }
  SBN_EACH store_first(out.floats(pixel, channel + 4 * i), v[i], count - 4 * i);
  if (!e.signs) return 0;
  uint32_t negative = 0;
  SBN_EACH {
    const Vector low = e.sign_low ? at(e.sign_low, i) : wasm_f32x4_const_splat(0);
    Vector outside = wasm_f32x4_lt(v[i], low);
    if (e.sign_high) {
      outside = wasm_v128_or(outside, wasm_f32x4_gt(v[i], at(e.sign_high, i)));
    }
    negative |= wasm_i32x4_bitmask(outside) << (4 * i);
  }
  return negative & static_cast<uint32_t>(low_bits(max(count, 0)));
}

#undef SBN_EACH

struct Float : FloatOffsets {
  static constexpr bool kTakesPairs = false;

  SBN_INLINE void operator()(const Counts& counts, const void* offsets, int64_t, int64_t pixel,
                             int64_t channel, int64_t count) const {
    const auto* products = static_cast<const int32_t*>(offsets) + channel;
    const Vector eights[] = {
        wasm_i16x8_shuffle(counts.even, counts.odd, 0, 8, 1, 9, 2, 10, 3, 11),
        wasm_i16x8_shuffle(counts.even, counts.odd, 4, 12, 5, 13, 6, 14, 7, 15)};
    Vector dot[4];
    SBN_UNROLL
    for (int i = 0; i < 4; ++i) {
      const Vector four = i % 2 ? wasm_u32x4_extend_high_u16x8(eights[i / 2])
                                : wasm_u32x4_extend_low_u16x8(eights[i / 2]);
      dot[i] = wasm_i32x4_sub(load<Vector>(products + 4 * i), wasm_i32x4_shl(four, 1));
    }
    const uint32_t negative = finish(out, dot, pixel, channel, count);
    if (out.epilogue.signs) store_bits(out, pixel, channel, negative);
  }
};

}  // namespace sbn::wasm
