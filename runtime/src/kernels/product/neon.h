// The NEON product: kPixels pixels by eight output channels.
//
// The 64-bit lanes of a register are output channels, the words of a pixel for them stand
// side by side: one word twice, or two where the weights are laid out for it.
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

// Keeps the order of the source, in which in-order cores wait for no result. It keeps loads
// apart as well: two of them take longer as one on Cortex-A55 and A72.
SBN_INLINE uint8x16_t here(uint8x16_t value) {
  __asm__ volatile("" : : "w"(value));
  return value;
}

// The mismatches of one step.
template <int Pixels, int Registers>
SBN_INLINE void count(Tile<Pixels, Registers>& counts, const uint8x16_t (&words)[Pixels],
                      const uint64_t* w) {
  uint8x16_t weights[Registers];
  SBN_UNROLL
  for (int r = 0; r < Registers; ++r) weights[r] = here(load<uint8x16_t>(w + 2 * r));
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) counts[p][r] = here(veorq_u8(weights[r], words[p]));
  }
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) counts[p][r] = here(vcntq_u8(counts[p][r]));
  }
}

// Adds the mismatches of `length` <= kStepsPerFlush steps: of 16 bytes at x[p] + at and every
// `Step` bytes on. Returns the weights that come next, `stride` of them a step. An offset that
// gcc cannot see through keeps it from stepping every pointer, of which in-order cores wait
// for each.
template <int Step, int Pixels, int Registers>
SBN_INLINE const uint64_t* accumulate(Tile<Pixels, Registers>& tile,
                                      const char* const (&x)[Pixels], int64_t at,
                                      const uint64_t* w, int64_t stride, int64_t length) {
  for (const int64_t end = at + Step * length; at < end; w += stride) {
    __asm__("" : "+r"(at));
    uint8x16_t words[Pixels];
    SBN_UNROLL
    for (int p = 0; p < Pixels; ++p) words[p] = here(load<uint8x16_t>(x[p] + at));
    at += Step;
    Tile<Pixels, Registers> counts;
    count<Pixels, Registers>(counts, words, w);
    SBN_UNROLL
    for (int p = 0; p < Pixels; ++p) {
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) tile[p][r] = here(vaddq_u8(tile[p][r], counts[p][r]));
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
  if (epilogue.has_bits()) store_bits<uint8_t>(epilogue.out, pixel, channel, count, bits);
}

}  // namespace sbn::neon
