// The NEON product: kPixels pixels by eight output channels.
//
// The 64-bit lanes of a register are output channels; a word of a pixel stands in both.
// Per 128 bits: eor, cnt and add, on either of two pipes since Cortex-A57: 85 MAC a
// cycle, or 43 where one pipe takes them, as on Cortex-A53. The tile of 3 x 4 registers
// needs 7 loads for 36 of these instructions, and leaves registers to do them in another
// order than they depend on each other.
#pragma once

#include "base/neon.h"
#include "kernels/product/neon_epilogue.h"

namespace sbn::neon {

constexpr int64_t kPixels = 3;
constexpr int64_t kBlock = 8;
constexpr int kRegisters = 4;  // of a block

// A word adds at most 8 to an 8-bit counter.
constexpr int64_t kStepsPerFlush = 31;

// Counters of one byte, eight of them for each channel.
template <int Pixels, int Registers>
using Tile = uint8x16_t[Pixels][Registers];

template <int Pixels, int Registers>
SBN_INLINE void clear(Tile<Pixels, Registers>& tile) {
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) tile[p][r] = vdupq_n_u8(0);
  }
}

// Adds the mismatches of `length` <= kStepsPerFlush words from x[p] + at on, which stand
// there twice each; returns the weights that come next, `stride` of them a step. An offset
// that gcc cannot see through keeps it from stepping every pointer, of which in-order cores
// wait for each.
template <int Pixels, int Registers>
SBN_INLINE const uint64_t* accumulate(Tile<Pixels, Registers>& tile,
                                      const char* const (&x)[Pixels], int64_t at,
                                      const uint64_t* w, int64_t stride, int64_t length) {
  for (const int64_t end = at + 16 * length; at < end; at += 16, w += stride) {
    __asm__("" : "+r"(at));
    uint8x16_t weights[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) weights[r] = load<uint8x16_t>(w + 2 * r);
    SBN_UNROLL
    for (int p = 0; p < Pixels; ++p) {
      const auto word = load<uint8x16_t>(x[p] + at);
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) {
        tile[p][r] = vaddq_u8(tile[p][r], vcntq_u8(veorq_u8(weights[r], word)));
      }
    }
  }
  return w;
}

// Adds what the tile counted to the mismatches, and clears it.
template <int Pixels, int Registers>
SBN_INLINE void flush(Tile<Pixels, Registers>& tile,
                      uint16x8_t (&mismatches)[Pixels][Registers / kRegisters]) {
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int b = 0; b < Registers / kRegisters; ++b) {
      uint16x8_t sums[kRegisters];
      SBN_UNROLL
      for (int r = 0; r < kRegisters; ++r) sums[r] = vpaddlq_u8(tile[p][b * kRegisters + r]);
      const uint16x8_t low = vpaddq_u16(sums[0], sums[1]), high = vpaddq_u16(sums[2], sums[3]);
      mismatches[p][b] = vaddq_u16(mismatches[p][b], vpaddq_u16(low, high));
    }
  }
  clear<Pixels, Registers>(tile);
}

template <class Epilogue>
SBN_INLINE void finish_block(const Epilogue& epilogue, uint16x8_t mismatches,
                             const typename Epilogue::Offset* offsets, int64_t pixel,
                             int64_t channel, int64_t count) {
  const uint32_t bits = epilogue(mismatches, offsets, pixel, channel, count);
  if (Epilogue::kBits) store_bits<uint8_t>(epilogue.out, pixel, channel, count, bits);
}

}  // namespace sbn::neon
