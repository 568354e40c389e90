// Probabilities are looked up in four tables of 16 bytes each.
#include "base/wasm.h"
#include "kernels/registry.h"
#include "kernels/stochastic_sign/threefry.h"

namespace sbn {
namespace {

constexpr int64_t kLanes = 8;

#define SBN_ROTATE(a, count) \
  wasm_v128_or(wasm_i32x4_shl(a, count), wasm_u32x4_shr(a, 32 - (count)))
SBN_THREEFRY_WORDS(, v128_t, wasm_i32x4_add, wasm_v128_xor, SBN_ROTATE, wasm_i32x4_splat)
#undef SBN_ROTATE

// Makes the numbers of 16 channels at a time, some of them for none.
void random(const RandomKey& key, uint32_t pair, uint32_t group, int64_t channels,
            RandomBlock* block) {
  constexpr int kRegisters = 2;
  const ThreefryStart start(key, pair, group);
  const v128_t lanes = wasm_i32x4_const(0, 1, 2, 3);
  for (int64_t channel = 0; channel < channels; channel += kRegisters * kLanes) {
    Words<kRegisters> pairs, x[4];
    SBN_UNROLL
    for (int r = 0; r < kRegisters; ++r) {
      const auto first = static_cast<int32_t>((channel + r * kLanes) / 2);
      pairs.r[r] = wasm_i32x4_add(lanes, wasm_i32x4_splat(first));
    }
    SBN_THREEFRY(x, key, start, pairs)
    SBN_UNROLL
    for (int i = 0; i < 4; ++i) {
      SBN_UNROLL
      for (int r = 0; r < kRegisters; ++r) {
        store(block->values[i] + channel + r * kLanes, x[i].r[r]);
      }
    }
  }
}

// Entries of a table of 64 bytes.
SBN_INLINE v128_t look_up(const v128_t (&table)[4], const v128_t (&index)[4]) {
  // Of an index beyond 15 a look-up gives 0.
  v128_t found = wasm_i8x16_swizzle(table[0], index[0]);
  SBN_UNROLL
  for (int i = 1; i < 4; ++i) {
    found = wasm_v128_or(found, wasm_i8x16_swizzle(table[i], index[i]));
  }
  return found;
}

// Bits of 16 channels.
SBN_INLINE uint32_t signs(const v128_t (&planes)[4][4], const int16_t* x, const uint16_t* random) {
  v128_t sign[2], k[2];
  SBN_UNROLL
  for (int i = 0; i < 2; ++i) {
    const auto some = load<v128_t>(x + i * kLanes);
    sign[i] = wasm_i16x8_shr(some, 15);
    // But 32767 of -32768.
    k[i] = wasm_u16x8_min(wasm_i16x8_abs(some), wasm_i16x8_const_splat(32767));
  }
  const v128_t entry =
      wasm_u8x16_narrow_i16x8(wasm_u16x8_shr(k[0], 9), wasm_u16x8_shr(k[1], 9));
  v128_t index[4];
  SBN_UNROLL
  for (int i = 0; i < 4; ++i) {
    index[i] = wasm_i8x16_sub(entry, wasm_i8x16_splat(static_cast<int8_t>(16 * i)));
  }
  v128_t bytes[4];
  SBN_UNROLL
  for (int i = 0; i < 4; ++i) bytes[i] = look_up(planes[i], index);
  const auto lower = [](v128_t low, v128_t high) {
    return wasm_i8x16_shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  };
  const auto upper = [](v128_t low, v128_t high) {
    return wasm_i8x16_shuffle(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                              31);
  };
  const v128_t start[] = {lower(bytes[0], bytes[1]), upper(bytes[0], bytes[1])};
  const v128_t rise[] = {lower(bytes[2], bytes[3]), upper(bytes[2], bytes[3])};
  v128_t negative[2];
  SBN_UNROLL
  for (int i = 0; i < 2; ++i) {
    const v128_t j = wasm_v128_and(k[i], wasm_i16x8_const_splat(511));
    const v128_t low = wasm_u32x4_shr(wasm_u32x4_extmul_low_u16x8(rise[i], j), 9);
    const v128_t high = wasm_u32x4_shr(wasm_u32x4_extmul_high_u16x8(rise[i], j), 9);
    const v128_t part = wasm_i16x8_shuffle(low, high, 0, 2, 4, 6, 8, 10, 12, 14);
    const v128_t limit = wasm_v128_xor(wasm_i16x8_add(start[i], part), sign[i]);
    negative[i] = wasm_u16x8_ge(load<v128_t>(random + i * kLanes), limit);
  }
  return wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(negative[0], negative[1]));
}

void draw(const SignTable& table, const RandomBlock& random_block, const SignBlock& block) {
  const SignBlock b = block;  // which the words written cannot change
  v128_t planes[4][4];
  SBN_UNROLL
  for (int i = 0; i < 4; ++i) {
    SBN_UNROLL
    for (int part = 0; part < 4; ++part) {
      planes[i][part] = load<v128_t>(table.planes[i] + 16 * part);
    }
  }
  const uint64_t used = low_bits(b.channels);
  for (int64_t image = 0; image < b.images; ++image) {
    const int16_t* x = b.x + image * b.image_values;
    uint64_t* y = b.y + image * b.image_words;
    for (int64_t pixel = 0; pixel < b.pixels; ++pixel) {
      const int16_t* from = x;
      int16_t copy[kRandomChannels];
      if (b.channels < kRandomChannels) {
        for (int64_t i = 0; i < b.channels; ++i) copy[i] = load<int16_t>(x + i);
        from = copy;
      }
      uint64_t word = 0;
      for (int64_t i = 0; i < b.channels; i += 2 * kLanes) {
        word |= uint64_t{signs(planes, from + i, random_block.values[pixel] + i)} << i;
      }
      store(y, word & used);
      x += b.pixel_values, y += b.pixel_words;
    }
  }
}

}  // namespace

const StochasticSignKernel stochastic_sign_wasm = {random, draw};

}  // namespace sbn
