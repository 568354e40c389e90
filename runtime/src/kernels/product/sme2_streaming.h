// What SME2's streaming mode computes: mismatches of binary products by BMOPA, the outer product of
// popcounts, and sums of products of bytes by USMOPA. The functions run on the matrix unit, between
// SMSTART and SMSTOP: they call nothing, and touch neither the other vector registers nor anything
// of the thread but their operands.
//
// Positions are whatever shares weights: output pixels of a convolution, rows of a dense layer. Their
// inputs are planes of 32-bit words, each 32 signs or 4 bytes, so that one load has the same word of
// 16 positions, which lie side by side. An outer product multiplies them by the words of as many
// channels; the four tiles of the accumulator have 64 channels. A vector of 512 bits is meant; with
// shorter ones the same tile takes several passes.
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

struct Product {
  const uint32_t* x;       // word 0 of the first position, under the first tap
  int64_t plane;           // from a word of a position to the next one
  const int64_t* steps;    // from x to the words of each step
  int64_t count;           // of steps
  int64_t words;           // of a step: 1, or 2 planes
  const uint32_t* w;       // pack_block()
  int64_t positions;
  int64_t channel;         // first, of offsets
  int64_t channels;        // whole blocks
  int64_t room;            // positions that the result has room for, whole tiles
  const Offsets* offsets;  // by tile; of bits only
  void* result;
};

extern "C" {

// Whether m > offset: uint64 [channels / 64, room], channels from the lowest bit on. Positions up to
// the end of the last tile are written.
void sbn_sme2_bits(const Product* product) SBN_STREAMING;

// m: int32 [channels / 16, room, 16].
void sbn_sme2_counts(const Product* product) SBN_STREAMING;

// The same of the sums of unsigned bytes of x times signed ones of w: whether offset + sum < 0, and
// the sums.
void sbn_sme2_byte_bits(const Product* product) SBN_STREAMING;
void sbn_sme2_byte_sums(const Product* product) SBN_STREAMING;
}

}  // namespace sbn::sme2
