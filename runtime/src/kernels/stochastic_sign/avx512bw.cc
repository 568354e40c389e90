// Sixteen pairs of channels a register: the four words of Threefry are the random
// numbers of 32 channels of four pixels, in order. A word is bound by the ports of
// 512-bit operations: about 90 of them for 128 numbers, and 16 for 32 signs.
#include <immintrin.h>

#include "base/avx512.h"
#include "base/bits.h"
#include "kernels/registry.h"
#include "kernels/stochastic_sign/threefry.h"

namespace sbn {
namespace {

using avx512::bits_of;

constexpr int64_t kLanes = 32;

// See threefry.h.
SBN_TARGET_AVX512BW SBN_INLINE __m512i add(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
SBN_TARGET_AVX512BW SBN_INLINE __m512i all(uint32_t word) {
  return _mm512_set1_epi32(static_cast<int>(word));
}
SBN_TARGET_AVX512BW SBN_INLINE __m512i add_word(__m512i a, uint32_t word) {
  return add(a, all(word));
}
SBN_TARGET_AVX512BW SBN_INLINE __m512i xor_word(__m512i a, uint32_t word) {
  return _mm512_xor_si512(a, all(word));
}

#define MIX(a, b, count) _mm512_xor_si512(_mm512_rol_epi32(a, count), b)

template <int Registers>
SBN_TARGET_AVX512BW SBN_INLINE void random_registers(const RandomKey& key, uint32_t pair,
                                                     uint32_t group, RandomBlock* block) {
  const ThreefryStart start(key, pair, group);
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  SBN_UNROLL
  for (int r = 0; r < Registers; ++r) {
    __m512i x[4];
    SBN_THREEFRY(x, key, start, add_word(lanes, static_cast<uint32_t>(16 * r)))
    SBN_UNROLL
    for (int i = 0; i < 4; ++i) _mm512_store_si512(block->values[i] + r * kLanes, x[i]);
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
SBN_TARGET_AVX512BW SBN_INLINE uint32_t signs(const Table& table, __m512i x, const uint16_t* random) {
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

SBN_TARGET_AVX512BW void draw(const SignTable& table, const RandomBlock& random_block,
                              const SignBlock& block) {
  const Table t = {{_mm512_loadu_si512(table.start), _mm512_loadu_si512(table.start + kLanes)},
                   {_mm512_loadu_si512(table.rise), _mm512_loadu_si512(table.rise + kLanes)}};
  const uint64_t used = low_bits(block.channels);
  const auto low = static_cast<__mmask32>(used), high = static_cast<__mmask32>(used >> kLanes);
  for (int64_t image = 0; image < block.images; ++image) {
    for (int64_t pixel = 0; pixel < block.pixels; ++pixel) {
      const int16_t* x = block.x + image * block.image_values + pixel * block.pixel_values;
      const uint16_t* random_row = random_block.values[pixel];
      uint64_t word = signs(t, _mm512_maskz_loadu_epi16(low, x), random_row);
      if (high) {
        const __m512i second = _mm512_maskz_loadu_epi16(high, x + kLanes);
        word |= uint64_t{signs(t, second, random_row + kLanes)} << kLanes;
      }
      store(block.y + image * block.image_words + pixel * block.pixel_words, word & used);
    }
  }
}

}  // namespace

const StochasticSignKernel stochastic_sign_avx512bw = {random, draw};

}  // namespace sbn
