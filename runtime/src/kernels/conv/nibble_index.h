// The index of a convolution by look-ups of nibbles.
#pragma once

#include "base/avx2.h"
#include "base/bits.h"
#include "kernels/conv/pairs.h"

namespace sbn::pairs {

// The index entries of 16 nibbles of two pixels: tables for even nibbles and odd ones,
// each in the low or high half of a byte.
SBN_TARGET_AVX2 SBN_INLINE void store_entries(__m128i nibbles, uint16_t* to) {
  ::sbn::avx2::store256(to, _mm256_slli_epi16(_mm256_cvtepu8_epi16(nibbles), 4));
}

// Entry c of a row: offsets of the tables for the nibbles of the pixels c and
// c + stride_w, which the same tap sees for two neighbouring outputs.
SBN_TARGET_AVX2 inline void build_index(const ConvShape& s, const uint64_t* padded_row,
                                        int64_t row, void* index) {
  auto* to = reinterpret_cast<uint16_t*>(static_cast<char*>(index) + row * index_bytes<Nibbles>(s));
  const int64_t words = s.groups * s.group_words;
  const int64_t per_tap = digits_per_tap<Nibbles>(s);
  const __m128i low = _mm_set1_epi8(15);
  const auto even = [&](__m128i a, __m128i b) SBN_TARGET_AVX2 {
    return _mm_or_si128(_mm_and_si128(a, low), _mm_andnot_si128(low, _mm_slli_epi16(b, 4)));
  };
  const auto odd = [&](__m128i a, __m128i b) SBN_TARGET_AVX2 {
    return _mm_or_si128(_mm_and_si128(_mm_srli_epi16(a, 4), low), _mm_andnot_si128(low, b));
  };
  for (int64_t column = 0; column < s.padded_w; ++column) {
    const uint64_t* first = padded_row + column * words;
    const uint64_t* second = padded_row + min(column + s.stride_w, s.padded_w - 1) * words;
    for (int64_t group = 0; group < s.groups; ++group, to += per_tap) {
      int64_t word = 0;
      for (; word + 2 <= s.group_words; word += 2, first += 2, second += 2) {
        const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first));
        const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second));
        store_entries(_mm_unpacklo_epi8(even(a, b), odd(a, b)), to + 16 * word);
        store_entries(_mm_unpackhi_epi8(even(a, b), odd(a, b)), to + 16 * word + 16);
      }
      if (word == s.group_words) continue;
      const __m128i a = _mm_cvtsi64_si128(load<int64_t>(first++));
      const __m128i b = _mm_cvtsi64_si128(load<int64_t>(second++));
      store_entries(_mm_unpacklo_epi8(even(a, b), odd(a, b)), to + 16 * word);
    }
  }
}

}  // namespace sbn::pairs
