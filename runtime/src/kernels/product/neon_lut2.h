// The NEON product by look-ups for pairs of pixels (product/pairs.h), 16 channels a
// register, in tables of two registers. Seven instructions do 480 MAC, and two pipes take
// them since Cortex-A76: 137 a cycle. Cores that take longer over such tables had better
// count bits (product/neon.h).
#pragma once

#include "base/neon.h"
#include "kernels/product/neon_epilogue.h"
#include "kernels/product/pairs.h"

namespace sbn::neon_lut2 {

using Digits = pairs::Quintets;

constexpr int64_t kChannels = 16;  // of a register
constexpr int64_t kRegisters = 4;  // of a block
constexpr int64_t kBlock = kChannels * kRegisters;

// More of them make gcc 12 keep tables on the stack.
constexpr int pairs_in_tile(int) { return 1; }

// The channel of a block that a lane computes.
constexpr int64_t channel_of_lane(int64_t lane) { return lane; }

template <int Pairs, int Registers>
struct Sums {
  uint8x16_t a[Pairs][Registers];
  uint8x16_t b[Pairs][Registers];
};

template <int Pairs, int Registers>
SBN_INLINE void clear(Sums<Pairs, Registers>& sums) {
  SBN_UNROLL
  for (int p = 0; p < Pairs; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums.a[p][r] = sums.b[p][r] = vdupq_n_u8(0);
  }
}

// Adds `Count` <= 3 digits. index[p] holds the offsets of their tables for a pair, and `w`
// Registers * 16 weight digits for each.
template <int Count, int Pairs, int Registers>
SBN_INLINE void add_digits(Sums<Pairs, Registers>& sums, const uint16_t* const (&index)[Pairs],
                           const uint8_t* w) {
  const auto* tables = reinterpret_cast<const uint8_t*>(pairs::kPairTables<Digits>.entries);
  uint8x16_t s[Pairs][Registers];
  SBN_UNROLL
  for (int i = 0; i < Count; ++i) {
    uint8x16_t weights[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      weights[r] = load<uint8x16_t>(w + (i * Registers + r) * kChannels);
    }
    SBN_UNROLL
    for (int p = 0; p < Pairs; ++p) {
      const uint8x16x2_t table = vld1q_u8_x2(tables + index[p][i]);
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) {
        const uint8x16_t found = vqtbl2q_u8(table, weights[r]);
        s[p][r] = i ? vaddq_u8(s[p][r], found) : found;
      }
    }
  }
  SBN_UNROLL
  for (int p = 0; p < Pairs; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      sums.a[p][r] = vaddq_u8(sums.a[p][r], s[p][r]);
      sums.b[p][r] = vsraq_n_u8(sums.b[p][r], s[p][r], 4);
    }
  }
}

// Adds a run of `digits`, and moves `index` and `w` to its end.
template <int Pairs, int Registers>
SBN_INLINE void add_run(Sums<Pairs, Registers>& sums, const uint16_t* (&index)[Pairs],
                        const uint8_t*& w, int64_t digits) {
  for (; digits >= 3; digits -= 3, w += 3 * Registers * kChannels) {
    add_digits<3>(sums, index, w);
    SBN_UNROLL
    for (int p = 0; p < Pairs; ++p) index[p] += 3;
  }
  if (digits == 1) add_digits<1>(sums, index, w);
  if (digits == 2) add_digits<2>(sums, index, w);
  w += digits * Registers * kChannels;
}

// Mismatches of 16 output channels of one pixel.
struct Counts {
  uint16x8_t even;  // channels 0 to 7
  uint16x8_t odd;   // channels 8 to 15
};

SBN_INLINE uint16x8_t add16(uint16x8_t a, uint16x8_t b) { return vaddq_u16(a, b); }

// The true sums of a pair of pixels: A is that of the first one + 16 B modulo 256.
SBN_INLINE void flush(uint8x16_t a, uint8x16_t b, Counts& first, Counts& second) {
  const uint8x16_t low = vsubq_u8(a, vshlq_n_u8(b, 4));
  first = {vmovl_u8(vget_low_u8(low)), vmovl_high_u8(low)};
  second = {vmovl_u8(vget_low_u8(b)), vmovl_high_u8(b)};
}

// Epilogues: what becomes of the counts of output channels [channel, channel + count) of
// a pixel.
template <class Eights>
struct Epilogue {
  static constexpr bool kTakesPairs = false;
  Output out;

  using Offset = typename Eights::Offset;

  static int64_t offset_bytes(int64_t groups, int64_t group_outputs) {
    return neon::offset_bytes<Offset>(groups * group_outputs);
  }

  static void pack_offsets(int64_t groups, int64_t group_outputs, const int32_t* offsets,
                           void* packed) {
    neon::pack_offsets<Offset>(groups * group_outputs, offsets, packed);
  }

  SBN_INLINE void operator()(const Counts& counts, const void* offsets, int64_t, int64_t pixel,
                             int64_t channel, int64_t count) const {
    const Eights eights = {out};
    const auto* from = static_cast<const Offset*>(offsets) + channel;
    uint32_t bits = eights(counts.even, from, pixel, channel, count);
    if (count > 8) bits |= eights(counts.odd, from + 8, pixel, channel + 8, count - 8) << 8;
    if (eights.has_bits()) neon::store_bits<uint16_t>(out, pixel, channel, count, bits);
  }
};

template <>
SBN_INLINE void Epilogue<neon::Threshold>::operator()(const Counts& counts, const void* offsets,
                                                      int64_t, int64_t pixel, int64_t channel,
                                                      int64_t count) const {
  const neon::Threshold eights = {out};
  const auto* from = static_cast<const int16_t*>(offsets) + channel;
  const uint8x16_t set =
      neon::narrow(eights.mask(counts.even, from), eights.mask(counts.odd, from + 8));
  neon::store_bits<uint16_t>(out, pixel, channel, count, neon::bits_of(set));
}

using Threshold = Epilogue<neon::Threshold>;
template <bool Straight>
using Float = Epilogue<neon::Float<Straight>>;

}  // namespace sbn::neon_lut2
