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

using avx2::load256;

constexpr int64_t kLanes = 16;

SBN_TARGET_AVX2 SBN_INLINE __m256i rotate(__m256i a, int count) {
  return _mm256_or_si256(_mm256_slli_epi32(a, count), _mm256_srli_epi32(a, 32 - count));
}

SBN_THREEFRY_WORDS(SBN_TARGET_AVX2, __m256i, _mm256_add_epi32, _mm256_xor_si256, rotate,
                   _mm256_set1_epi32)

// Makes the numbers of 32 channels at a time, some of them for none.
SBN_TARGET_AVX2 void random(const RandomKey& key, uint32_t pair, uint32_t group, int64_t channels,
                            RandomBlock* block) {
  constexpr int kRegisters = 2;
  const ThreefryStart start(key, pair, group);
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int64_t channel = 0; channel < channels; channel += kRegisters * kLanes) {
    Words<kRegisters> pairs, x[4];
    SBN_UNROLL
    for (int r = 0; r < kRegisters; ++r) {
      const auto first = static_cast<int>((channel + r * kLanes) / 2);
      pairs.r[r] = _mm256_add_epi32(lanes, _mm256_set1_epi32(first));
    }
    SBN_THREEFRY(x, key, start, pairs)
    SBN_UNROLL
    for (int i = 0; i < 4; ++i) {
      SBN_UNROLL
      for (int r = 0; r < kRegisters; ++r) {
        avx2::store256(block->values[i] + channel + r * kLanes, x[i].r[r]);
      }
    }
  }
}

// Bytes of a table of 64 at the indices of which the quarters were marked. The loads are
// volatile: gcc 12 would move them out of the loops and keep them on the stack.
SBN_TARGET_AVX2 SBN_INLINE __m256i look_up(const uint8_t* table, const __m256i (&quarters)[4]) {
  __m256i all_found;
  SBN_UNROLL
  for (int q = 0; q < 4; ++q) {
    __m256i entries;
    const auto* from = reinterpret_cast<const uint8_t(*)[16]>(table + 16 * q);
    __asm__ volatile("vbroadcasti128 %1, %0" : "=x"(entries) : "m"(*from));
    const __m256i found = _mm256_shuffle_epi8(entries, quarters[q]);
    all_found = q ? _mm256_or_si256(all_found, found) : found;
  }
  return all_found;
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
  const SignBlock b = block;  // which the words written cannot change
  const uint64_t used = low_bits(b.channels);
  for (int64_t image = 0; image < b.images; ++image) {
    const int16_t* x = b.x + image * b.image_values;
    uint64_t* y = b.y + image * b.image_words;
    for (int64_t pixel = 0; pixel < b.pixels; ++pixel) {
      const int16_t* from = x;
      alignas(32) int16_t copy[kRandomChannels];
      if (b.channels < kRandomChannels) {
        for (int64_t i = 0; i < b.channels; ++i) copy[i] = load<int16_t>(x + i);
        from = copy;
      }
      uint64_t word = 0;
      for (int64_t i = 0; i < b.channels; i += 2 * kLanes) {
        const __m256i x0 = load256(from + i), x1 = load256(from + i + kLanes);
        word |= uint64_t{signs(table, x0, x1, random_block.values[pixel] + i)} << i;
      }
      store(y, word & used);
      x += b.pixel_values, y += b.pixel_words;
    }
  }
}

}  // namespace

const StochasticSignKernel stochastic_sign_avx2 = {random, draw};

}  // namespace sbn
