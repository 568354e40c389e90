// What SME2's streaming mode computes: mismatches of binary products by BMOPS, the outer product of
// popcounts, and sums of products of bytes by USMOPA and of floats by FMOPA. The function runs on
// the matrix unit, between SMSTART and SMSTOP: it calls nothing, and touches neither the other
// vector registers nor anything of the thread but its operands.
//
// Positions are whatever shares weights: output pixels of a convolution, rows of a dense layer. Their
// inputs are planes of 32-bit words, each 32 signs, 4 bytes or a float, so that one load has the same
// word of 16 positions, which lie side by side. An outer product multiplies them by the words of as
// many channels; the four tiles of the accumulator have 64 channels. A vector of 512 bits is meant;
// with shorter ones the same tile takes several passes.
#pragma once

#include <stdint.h>

// What clang has to know of a function, where it compiles it.
#ifndef SBN_STREAMING
#define SBN_STREAMING
#endif

namespace sbn::sme2 {

constexpr int64_t kPositions = 16;  // of a tile
constexpr int64_t kChannels = 64;   // of a block
constexpr int64_t kGroup = 16;      // channels whose counts lie side by side

// Rows of offsets (conv.h) of the positions of a tile.
struct Offsets {
  const int32_t* rows[kPositions];  // those that differ
  int64_t count;                    // of them
  uint8_t row[kPositions];          // of each position

  // Which one `wanted` is, added if it is not there.
  uint8_t find(const int32_t* wanted) {
    int64_t i = 0;
    while (i < count && rows[i] != wanted) ++i;
    if (i == count) rows[count++] = wanted;
    return static_cast<uint8_t>(i);
  }
};

// What words hold, and what is summed for a position and a channel: mismatches of signs, each -1;
// products of unsigned bytes of x and signed ones of w; products of floats, by fused multiply-adds
// in the order of the steps that begin with 0.
enum class Words : int64_t { signs, bytes, floats };

struct Product {
  Words words;
  const uint32_t* x;       // word 0 of the first position, under the first tap
  int64_t plane;           // from a word of a position to the next one
  const int64_t* steps;    // from x to the words of each step
  int64_t count;           // of steps
  int64_t step_words;      // of a step: 1, or 2 planes
  const uint32_t* w;       // [block][word][64 channels]
  int64_t block;           // from a block of w to the next one
  int64_t positions;
  int64_t channel;         // first, of offsets
  int64_t channels;        // whole blocks
  int64_t room;            // positions that the result has room for, whole tiles
  const Offsets* offsets;  // by tile; null where the sums are wanted
  void* result;
};

// With offsets, whether offset + sum < 0: uint64 [channels / 64, room], channels from the lowest bit
// on. Else the sums: int32 or float [channels / 16, room, 16]. Positions up to the end of the last
// tile are written.
extern "C" void sbn_sme2_product(const Product* product) SBN_STREAMING;

}  // namespace sbn::sme2
