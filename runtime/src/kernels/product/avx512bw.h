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
using avx512::broadcast128;
using avx512::first_lanes;
using avx512::load512;

using Vector = __m512i;
constexpr int64_t kChannels = 64;  // of a register

SBN_TARGET_AVX512BW SBN_INLINE Vector load_vector(const void* from) { return load512(from); }

#define SBN_VECTOR(operation) _mm512_##operation
#define SBN_PRODUCT_TARGET SBN_TARGET_AVX512BW
#include "kernels/product/nibbles.inc"
#undef SBN_PRODUCT_TARGET
#undef SBN_VECTOR

constexpr int pairs_in_tile(int) { return 4; }

// Even lanes compute the first 32 channels of a register and odd ones the others, so
// that 16-bit counts are in order.
constexpr int64_t channel_of_lane(int64_t lane) {
  return lane / kChannels * kChannels + lane % kChannels / 2 + lane % 2 * 32;
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
    for (int r = 0; r < Registers; ++r) weights[r] = load512(w + (i * Registers + r) * kChannels);
    SBN_UNROLL
    for (int p = 0; p < Pairs; ++p) {
      const __m512i table = broadcast128(tables + index[p][i]);
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

// Epilogues: what becomes of the counts of output channels [channel, channel + count) of
// a pixel. `slot` counts registers of channels from the first channel on. A slot of bits
// is a word, unless fewer channels are used.
SBN_TARGET_AVX512BW SBN_INLINE void store_bits(const Output& out, int64_t pixel, int64_t channel,
                                               uint64_t bits) {
  uint64_t* to = out.bits(pixel);
  if (!out.merge) return store(to + channel / 64, bits);
  merge_bits(to, channel, bits);
}

struct Threshold : ThresholdOffsets {
  // Offsets: for each slot 64 int16.
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
    const uint64_t low = bits_of(_mm512_cmpgt_epi16_mask(counts.even, load512(limits)));
    const uint64_t high = bits_of(_mm512_cmpgt_epi16_mask(counts.odd, load512(limits + 32)));
    store_bits(out, pixel, channel, (low | high << 32) & low_bits(count));
  }
};

struct SlotSigns {
  static SBN_TARGET_AVX512BW SBN_INLINE void store(const Output& out, int64_t pixel,
                                                   int64_t channel, uint64_t bits) {
    store_bits(out, pixel, channel, bits);
  }
};

struct Float : FloatOffsets {
  static constexpr bool kTakesPairs = true;

  SBN_TARGET_AVX512BW SBN_INLINE void operator()(const Counts& counts, const void* offsets,
                                                 int64_t, int64_t pixel, int64_t channel,
                                                 int64_t count) const {
    const Dots d(counts, offsets, channel);
    avx512::finish_few<SlotSigns, 1, 4>(out, pixel, channel, count, d.dot[0], d.dot[1], d.dot[2],
                                        d.dot[3]);
  }
  // Pixels [pixel, pixel + 2).
  SBN_TARGET_AVX512BW SBN_INLINE void pair(const Counts (&counts)[2],
                                           const char* const (&offsets)[2], int64_t pixel,
                                           int64_t channel, int64_t count) const {
    const Dots a(counts[0], offsets[0], channel), b(counts[1], offsets[1], channel);
    avx512::finish_few<SlotSigns, 2, 4>(out, pixel, channel, count, a.dot[0], a.dot[1], a.dot[2],
                                        a.dot[3], b.dot[0], b.dot[1], b.dot[2], b.dot[3]);
  }

 private:
  struct Dots {
    __m512i dot[4];

    SBN_TARGET_AVX512BW SBN_INLINE Dots(const Counts& counts, const void* offsets,
                                        int64_t channel) {
      const auto* products = static_cast<const int32_t*>(offsets) + channel;
      const __m256i sixteens[] = {
          _mm512_castsi512_si256(counts.even), _mm512_extracti64x4_epi64(counts.even, 1),
          _mm512_castsi512_si256(counts.odd), _mm512_extracti64x4_epi64(counts.odd, 1)};
      SBN_UNROLL
      for (int i = 0; i < 4; ++i) {
        const __m512i twice = _mm512_slli_epi32(_mm512_cvtepu16_epi32(sixteens[i]), 1);
        dot[i] = _mm512_sub_epi32(load512(products + 16 * i), twice);
      }
    }
  };
};

}  // namespace sbn::avx512bw
