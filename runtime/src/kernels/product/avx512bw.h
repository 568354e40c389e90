// The product of AVX-512 without VPOPCNTDQ: look-ups for pairs of pixels
// (product/pairs.h), 64 channels a register. Eight instructions do 1536 MAC, and two
// ports take them on Intel: 384 a cycle.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "base/attributes.h"
#include "base/avx512.h"
#include "base/bits.h"
#include "kernels/product/avx512_float.h"
#include "kernels/product/pairs.h"

namespace sbn::avx512bw {

using avx512::bits_of;
using avx512::first_lanes;
using pairs::kMaxProducts;
using Digits = pairs::Nibbles;

constexpr int64_t kChannels = 64;  // of a register
constexpr int64_t kRegisters = 2;  // of a block
constexpr int64_t kBlock = kChannels * kRegisters;

constexpr int pairs_in_tile(int) { return 4; }

// Even lanes compute the first 32 channels of a register and odd ones the others, so
// that 16-bit counts are in order.
constexpr int64_t channel_of_lane(int64_t lane) {
  return lane / kChannels * kChannels + lane % kChannels / 2 + lane % 2 * 32;
}

template <int Pairs, int Registers>
struct Sums {
  __m512i a[Pairs][Registers];
  __m512i b[Pairs][Registers];
};

template <int Pairs, int Registers>
SBN_TARGET_AVX512BW SBN_INLINE void clear(Sums<Pairs, Registers>& sums) {
  SBN_UNROLL
  for (int p = 0; p < Pairs; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums.a[p][r] = sums.b[p][r] = _mm512_setzero_si512();
  }
}

// Adds `Count` <= 3 nibbles. index[p] holds the offsets of their tables for a pair, and
// `w` Registers * 64 weight nibbles for each.
template <int Count, int Pairs, int Registers>
SBN_TARGET_AVX512BW SBN_INLINE void add_nibbles(Sums<Pairs, Registers>& sums,
                                                const uint16_t* const (&index)[Pairs],
                                                const uint8_t* w) {
  const auto* tables = reinterpret_cast<const char*>(pairs::kPairTables<Digits>.entries);
  __m512i s[Pairs][Registers];
  SBN_UNROLL
  for (int i = 0; i < Count; ++i) {
    __m512i weights[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      weights[r] = _mm512_loadu_si512(w + (i * Registers + r) * kChannels);
    }
    SBN_UNROLL
    for (int p = 0; p < Pairs; ++p) {
      const auto* entry = reinterpret_cast<const __m128i*>(tables + index[p][i]);
      const __m512i table = _mm512_broadcast_i32x4(_mm_load_si128(entry));
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) {
        const __m512i found = _mm512_shuffle_epi8(table, weights[r]);
        s[p][r] = i ? _mm512_add_epi8(s[p][r], found) : found;
      }
    }
  }
  SBN_UNROLL
  for (int p = 0; p < Pairs; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      sums.a[p][r] = _mm512_add_epi8(sums.a[p][r], s[p][r]);
      sums.b[p][r] = _mm512_add_epi8(sums.b[p][r], _mm512_srli_epi16(s[p][r], 4));
    }
  }
}

// Adds a run of `nibbles`, and moves `index` and `w` to its end.
template <int Pairs, int Registers>
SBN_TARGET_AVX512BW SBN_INLINE void add_run(Sums<Pairs, Registers>& sums,
                                            const uint16_t* (&index)[Pairs], const uint8_t*& w,
                                            int64_t nibbles) {
  for (; nibbles >= 3; nibbles -= 3, w += 3 * Registers * kChannels) {
    add_nibbles<3>(sums, index, w);
    SBN_UNROLL
    for (int p = 0; p < Pairs; ++p) index[p] += 3;
  }
  if (nibbles == 1) add_nibbles<1>(sums, index, w);
  if (nibbles == 2) add_nibbles<2>(sums, index, w);
  w += nibbles * Registers * kChannels;
}

// Mismatches of 64 output channels of one pixel, in 16-bit lanes.
struct Counts {
  __m512i even;  // channels 0 to 31
  __m512i odd;   // channels 32 to 63
};

SBN_TARGET_AVX512BW SBN_INLINE __m512i add16(__m512i a, __m512i b) {
  return _mm512_add_epi16(a, b);
}

// The true sums of a pair of pixels: see avx2.h.
SBN_TARGET_AVX512BW SBN_INLINE void flush(__m512i a, __m512i b, Counts& first, Counts& second) {
  const __m512i byte = _mm512_set1_epi16(255);
  const __m512i o2 = _mm512_srli_epi16(b, 8);
  const __m512i o1 = _mm512_srli_epi16(_mm512_sub_epi16(a, _mm512_slli_epi16(o2, 12)), 8);
  const __m512i e2 = _mm512_and_si512(_mm512_sub_epi16(b, _mm512_slli_epi16(o1, 4)), byte);
  const __m512i e1 = _mm512_and_si512(_mm512_sub_epi16(a, _mm512_slli_epi16(e2, 4)), byte);
  first = {e1, o1};
  second = {e2, o2};
}

// Epilogues: what becomes of the counts of output channels [channel, channel + count) of
// a pixel. `slot` counts registers of channels from the first channel on. A slot of bits
// is a word, unless fewer channels are used.
SBN_TARGET_AVX512BW SBN_INLINE void store_bits(const Output& out, int64_t pixel, int64_t channel,
                                               uint64_t bits) {
  uint64_t* to = out.bits(pixel);
  if (!out.merge) return store(to + channel / 64, bits);
  merge_bits(to, channel, bits);
}

struct Threshold {
  Output out;

  // Offsets: for each slot 64 int16.
  static int64_t offset_bytes(int64_t groups, int64_t group_outputs) {
    return groups * div_up(group_outputs, kChannels) * kChannels * 2;
  }

  static void pack_offsets(int64_t groups, int64_t group_outputs, const int32_t* offsets,
                           void* packed) {
    auto* to = static_cast<int16_t*>(packed);
    for (int64_t group = 0; group < groups; ++group, offsets += group_outputs) {
      const int64_t lanes = div_up(group_outputs, kChannels) * kChannels;
      for (int64_t o = 0; o < lanes; ++o) {
        *to++ = o < group_outputs ? static_cast<int16_t>(offsets[o]) : 0;
      }
    }
  }

  SBN_TARGET_AVX512BW SBN_INLINE void operator()(const Counts& counts, const void* offsets,
                                                 int64_t slot, int64_t pixel, int64_t channel,
                                                 int64_t count) const {
    const auto* limits = static_cast<const int16_t*>(offsets) + slot * kChannels;
    const uint64_t low =
        bits_of(_mm512_cmpgt_epi16_mask(counts.even, _mm512_loadu_si512(limits)));
    const uint64_t high =
        bits_of(_mm512_cmpgt_epi16_mask(counts.odd, _mm512_loadu_si512(limits + 32)));
    store_bits(out, pixel, channel, (low | high << 32) & low_bits(count));
  }
};

template <Finish finish>
struct Float {
  Output out;

  // Offsets: one int32 for each channel, readable in whole slots.
  static int64_t offset_bytes(int64_t groups, int64_t group_outputs) {
    return (groups * group_outputs + kChannels) * 4;
  }

  static void pack_offsets(int64_t groups, int64_t group_outputs, const int32_t* offsets,
                           void* packed) {
    auto* to = static_cast<int32_t*>(packed);
    const int64_t outputs = groups * group_outputs;
    for (int64_t o = 0; o < outputs + kChannels; ++o) to[o] = o < outputs ? offsets[o] : 0;
  }

  SBN_TARGET_AVX512BW SBN_INLINE void operator()(const Counts& counts, const void* offsets,
                                                 int64_t, int64_t pixel, int64_t channel,
                                                 int64_t count) const {
    const auto* products = static_cast<const int32_t*>(offsets) + channel;
    const __m256i sixteens[] = {
        _mm512_castsi512_si256(counts.even), _mm512_extracti64x4_epi64(counts.even, 1),
        _mm512_castsi512_si256(counts.odd), _mm512_extracti64x4_epi64(counts.odd, 1)};
    uint64_t negative = 0;
    SBN_UNROLL
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t first = 16 * i;
      if (first >= count) break;
      const __m512i twice = _mm512_slli_epi32(_mm512_cvtepu16_epi32(sixteens[i]), 1);
      const __m512i dot = _mm512_sub_epi32(_mm512_loadu_si512(products + first), twice);
      negative |= uint64_t{avx512::finish_sixteen<finish>(out, dot, pixel, channel + first,
                                                          first_lanes(count - first))}
                  << first;
    }
    if (finish == Finish::kResidual) store_bits(out, pixel, channel, negative);
  }
};

}  // namespace sbn::avx512bw
