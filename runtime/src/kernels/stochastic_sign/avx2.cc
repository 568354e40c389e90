// Eight pairs of channels a register: the four words of Threefry are the random numbers
// of 16 channels of four pixels, in order. The table is looked up byte by byte, 32
// channels at a time, in quarters of 16 entries.
#include <immintrin.h>

#include "base/avx2.h"
#include "base/bits.h"
#include "kernels/registry.h"
#include "kernels/stochastic_sign/threefry.h"

namespace sbn {
namespace {

using avx2::broadcast128;
using avx2::load256;

constexpr int64_t kLanes = 16;

// See threefry.h.
SBN_TARGET_AVX2 SBN_INLINE __m256i add(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
SBN_TARGET_AVX2 SBN_INLINE __m256i all(uint32_t word) {
  return _mm256_set1_epi32(static_cast<int>(word));
}
SBN_TARGET_AVX2 SBN_INLINE __m256i add_word(__m256i a, uint32_t word) { return add(a, all(word)); }
SBN_TARGET_AVX2 SBN_INLINE __m256i xor_word(__m256i a, uint32_t word) {
  return _mm256_xor_si256(a, all(word));
}
#define MIX(a, b, count)                                                               \
  _mm256_xor_si256(b, _mm256_or_si256(_mm256_slli_epi32(a, count), \
                                      _mm256_srli_epi32(a, 32 - (count))))

SBN_TARGET_AVX2 void random(const RandomKey& key, uint32_t pair, uint32_t group, int64_t channels,
                            RandomBlock* block) {
  const ThreefryStart start(key, pair, group);
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int64_t channel = 0; channel < channels; channel += kLanes) {
    __m256i x[4];
    SBN_THREEFRY(x, key, start, add_word(lanes, static_cast<uint32_t>(channel / 2)))
    SBN_UNROLL
    for (int i = 0; i < 4; ++i) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(block->values[i] + channel), x[i]);
    }
  }
}

// Bytes of a table of 64 at the indices of which the quarters were marked.
SBN_TARGET_AVX2 SBN_INLINE __m256i look_up(const uint8_t* table, const __m256i (&quarters)[4]) {
  __m256i found[4];
  SBN_UNROLL
  for (int q = 0; q < 4; ++q) {
    found[q] = _mm256_shuffle_epi8(broadcast128(table + 16 * q), quarters[q]);
  }
  return _mm256_or_si256(_mm256_or_si256(found[0], found[1]),
                         _mm256_or_si256(found[2], found[3]));
}

// Bits of 32 channels.
SBN_TARGET_AVX2 SBN_INLINE uint32_t signs(const SignTable& table, __m256i x0, __m256i x1,
                                          const uint16_t* random) {
  // All ones where x < 0, so that the subtraction makes |x|, but 32767 of 32768.
  const __m256i sign0 = _mm256_srai_epi16(x0, 15), sign1 = _mm256_srai_epi16(x1, 15);
  const __m256i k0 = _mm256_subs_epi16(_mm256_xor_si256(x0, sign0), sign0);
  const __m256i k1 = _mm256_subs_epi16(_mm256_xor_si256(x1, sign1), sign1);
  const __m256i i = _mm256_packus_epi16(_mm256_srli_epi16(k0, 9), _mm256_srli_epi16(k1, 9));
  // Indices of another quarter get their highest bit set, which looks up 0.
  __m256i quarters[4];
  SBN_UNROLL
  for (int q = 0; q < 4; ++q) {
    const __m256i index = q ? _mm256_xor_si256(i, _mm256_set1_epi8(static_cast<char>(16 * q))) : i;
    quarters[q] = _mm256_adds_epu8(index, _mm256_set1_epi8(0x70));
  }
  const __m256i start_low = look_up(table.planes[0], quarters);
  const __m256i start_high = look_up(table.planes[1], quarters);
  const __m256i rise_low = look_up(table.planes[2], quarters);
  const __m256i rise_high = look_up(table.planes[3], quarters);
  const auto negative = [&](__m256i sign, __m256i k, __m256i start, __m256i rise,
                        const uint16_t* r) SBN_TARGET_AVX2 {
    // j * 128, so that the high half of the product is rise * j / 512.
    const __m256i part = _mm256_mulhi_epu16(rise, _mm256_slli_epi16(k, 7));
    const __m256i limit = _mm256_xor_si256(_mm256_add_epi16(start, part), sign);
    const __m256i numbers = load256(r);
    return _mm256_cmpeq_epi16(_mm256_max_epu16(numbers, limit), numbers);
  };
  const __m256i first = negative(sign0, k0, _mm256_unpacklo_epi8(start_low, start_high),
                              _mm256_unpacklo_epi8(rise_low, rise_high), random);
  const __m256i second = negative(sign1, k1, _mm256_unpackhi_epi8(start_low, start_high),
                               _mm256_unpackhi_epi8(rise_low, rise_high), random + kLanes);
  const __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi16(first, second), 0xd8);
  return static_cast<uint32_t>(_mm256_movemask_epi8(both));
}

SBN_TARGET_AVX2 void draw(const SignTable& table, const RandomBlock& random_block,
                          const SignBlock& block) {
  const uint64_t used = low_bits(block.channels);
  for (int64_t image = 0; image < block.images; ++image) {
    for (int64_t pixel = 0; pixel < block.pixels; ++pixel) {
      const int16_t* x = block.x + image * block.image_values + pixel * block.pixel_values;
      alignas(32) int16_t copy[kRandomChannels];
      if (block.channels < kRandomChannels) {
        for (int64_t i = 0; i < block.channels; ++i) copy[i] = load<int16_t>(x + i);
        x = copy;
      }
      uint64_t word = 0;
      for (int64_t i = 0; i < block.channels; i += 2 * kLanes) {
        const __m256i x0 = load256(x + i), x1 = load256(x + i + kLanes);
        word |= uint64_t{signs(table, x0, x1, random_block.values[pixel] + i)} << i;
      }
      store(block.y + image * block.image_words + pixel * block.pixel_words, word & used);
    }
  }
}

}  // namespace

const StochasticSignKernel stochastic_sign_avx2 = {random, draw};

}  // namespace sbn
