// Sixteen pairs of channels a register: the four words of Threefry are the random
// numbers of 32 channels of four pixels, in order. Both loops are bound by the two ports
// of 512-bit operations: about 80 of them make 128 numbers, and 16 draw 32 signs.
#include <immintrin.h>

#include "base/avx512.h"
#include "base/bits.h"
#include "kernels/registry.h"
#include "kernels/stochastic_sign/threefry.h"

namespace sbn {
namespace {

using avx512::bits_of;

constexpr int64_t kLanes = 32;

SBN_THREEFRY_WORDS(SBN_TARGET_AVX512BW, __m512i, _mm512_add_epi32, _mm512_xor_si512,
                   _mm512_rol_epi32, _mm512_set1_epi32)

template <int Registers>
SBN_TARGET_AVX512BW SBN_INLINE void random_registers(const RandomKey& key, uint32_t pair,
                                                     uint32_t group, RandomBlock* block) {
  const ThreefryStart start(key, pair, group);
  Words<Registers> pairs, x[4];
  SBN_UNROLL
  for (int r = 0; r < Registers; ++r) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    pairs.r[r] = _mm512_add_epi32(lanes, _mm512_set1_epi32(16 * r));
  }
  SBN_THREEFRY(x, key, start, pairs)
  SBN_UNROLL
  for (int i = 0; i < 4; ++i) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      _mm512_store_si512(block->values[i] + r * kLanes, x[i].r[r]);
    }
  }
}

SBN_TARGET_AVX512BW void random(const RandomKey& key, uint32_t pair, uint32_t group,
                                int64_t channels, RandomBlock* block) {
  if (channels > kLanes) {
    random_registers<2>(key, pair, group, block);
  } else {
    random_registers<1>(key, pair, group, block);
  }
}

struct Table {
  __m512i start[2], rise[2];
};

// Bits of 32 channels.
SBN_TARGET_AVX512BW SBN_INLINE uint32_t signs(const Table& table, __m512i x,
                                              const uint16_t* random) {
  // All ones where x < 0, so that the subtraction makes |x|, but 32767 of 32768.
  const __m512i sign = _mm512_srai_epi16(x, 15);
  const __m512i k = _mm512_subs_epi16(_mm512_xor_si512(x, sign), sign);
  const __m512i i = _mm512_srli_epi16(k, 9);
  const __m512i start = _mm512_permutex2var_epi16(table.start[0], i, table.start[1]);
  const __m512i rise = _mm512_permutex2var_epi16(table.rise[0], i, table.rise[1]);
  // j * 128, so that the high half of the product is rise * j / 512.
  const __m512i part = _mm512_mulhi_epu16(rise, _mm512_slli_epi16(k, 7));
  const __m512i limit = _mm512_xor_si512(_mm512_add_epi16(start, part), sign);
  return bits_of(_mm512_cmple_epu16_mask(limit, _mm512_load_si512(random)));
}

template <bool whole>
SBN_TARGET_AVX512BW SBN_INLINE void draw_words(const SignTable& table,
                                               const RandomBlock& random_block,
                                               const SignBlock& block) {
  const SignBlock b = block;  // which the words written cannot change
  const Table t = {{_mm512_loadu_si512(table.start), _mm512_loadu_si512(table.start + kLanes)},
                   {_mm512_loadu_si512(table.rise), _mm512_loadu_si512(table.rise + kLanes)}};
  const uint64_t used = low_bits(b.channels);
  const auto load_half = [&](const int16_t* from, int half) SBN_TARGET_AVX512BW {
    const auto lanes = static_cast<__mmask32>(used >> half * kLanes);
    from += half * kLanes;
    return whole ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi16(lanes, from);
  };
  for (int64_t image = 0; image < b.images; ++image) {
    const int16_t* x = b.x + image * b.image_values;
    uint64_t* y = b.y + image * b.image_words;
    for (int64_t pixel = 0; pixel < b.pixels; ++pixel) {
      const uint16_t* random_row = random_block.values[pixel];
      uint64_t word = signs(t, load_half(x, 0), random_row);
      if (whole || b.channels > kLanes) {
        word |= uint64_t{signs(t, load_half(x, 1), random_row + kLanes)} << kLanes;
      }
      store(y, word & used);
      x += b.pixel_values, y += b.pixel_words;
    }
  }
}

SBN_TARGET_AVX512BW void draw(const SignTable& table, const RandomBlock& random_block,
                              const SignBlock& block) {
  if (block.channels == kRandomChannels) {
    draw_words<true>(table, random_block, block);
  } else {
    draw_words<false>(table, random_block, block);
  }
}

}  // namespace

const StochasticSignKernel stochastic_sign_avx512bw = {random, draw};

}  // namespace sbn
