// Popcounts by table look-up for pairs of pixels ("LUT2"), for vectors without a
// popcount instruction.
//
// A byte shuffle looks up a nibble for each lane of a register. The lanes are output
// channels, its index their weight nibbles w, and its table one that holds for a pair
// of pixels with activation nibbles a1, a2 and every w
//   T[w] = popcount(a1 ^ w) + 16 * popcount(a2 ^ w),
// so that one shuffle counts 4 bits x 2 pixels for each channel. A table of all 256
// tables is 4 KB; an index of the activations holds offsets into it.
//
// Three look-ups fit a byte: s = v1 + v2 + v3. Then A += s, B += s >> 4 (as 16-bit
// lanes, for want of a byte shift); what the shift carries across bytes, and what
// the sums overflow, is undone exactly by `flush`, every 63 nibbles or sooner.
// Eight instructions do 24 MAC a lane.
#pragma once

#include <stdint.h>

namespace sbn::pairs {

constexpr int64_t kNibblesPerFlush = 63;

// Counters are compared as signed 16-bit integers.
constexpr int64_t kMaxProducts = 32767;

// The table of tables, indexed by a1 | a2 << 4.
struct PairTables {
  alignas(64) uint8_t entries[256][16];

  constexpr PairTables() : entries() {
    for (unsigned pair = 0; pair < 256; ++pair) {
      for (unsigned w = 0; w < 16; ++w) {
        entries[pair][w] = static_cast<uint8_t>(__builtin_popcount((pair & 15) ^ w) +
                                                16 * __builtin_popcount((pair >> 4) ^ w));
      }
    }
  }
};
inline constexpr PairTables kPairTables;

}  // namespace sbn::pairs
