// Popcounts by table look-up for pairs of pixels ("LUT2"), for vectors that count bits
// slowly or not at all.
//
// A byte shuffle looks up a digit of a few bits for each lane of a register. The lanes are
// output channels, its index their weight digits w, and its table one that holds for a
// pair of pixels with activation digits a1, a2 and every w
//   T[w] = popcount(a1 ^ w) + 16 * popcount(a2 ^ w),
// so that one shuffle counts a digit x 2 pixels for each channel. All tables make one
// table; an index of the activations holds offsets into it.
//
// Three look-ups fit a byte: s = v1 + v2 + v3. Then A += s, B += s >> 4. What the sums
// overflow, and on x86 what the shift carries across bytes for want of a byte shift, is
// undone exactly by `flush`, before the sum for a pixel exceeds a byte.
#pragma once

#include <stdint.h>

namespace sbn::pairs {

// Counters are compared as signed 16-bit integers.
constexpr int64_t kMaxProducts = 32767;

// Digits of four bits, for shuffles of 16 entries. Eight x86 instructions do 24 MAC a lane.
struct Nibbles {
  static constexpr int kBits = 4;
  static constexpr int64_t kPerWord = 16;
  static constexpr int64_t kPerFlush = 63;
};

// Digits of five bits, for shuffles of 32 entries. Seven NEON instructions do 30 MAC a lane.
struct Quintets {
  static constexpr int kBits = 5;
  static constexpr int64_t kPerWord = 13;  // the last one of 4 bits
  static constexpr int64_t kPerFlush = 51;
};

// The table of tables, indexed by a1 | a2 << kBits: 4 KB for nibbles, 32 KB for quintets.
template <class Digits>
struct PairTables {
  static constexpr unsigned kValues = 1u << Digits::kBits;
  alignas(64) uint8_t entries[kValues * kValues][kValues];

  constexpr PairTables() : entries() {
    for (unsigned pair = 0; pair < kValues * kValues; ++pair) {
      for (unsigned w = 0; w < kValues; ++w) {
        entries[pair][w] = static_cast<uint8_t>(__builtin_popcount(pair % kValues ^ w) +
                                                16 * __builtin_popcount(pair / kValues ^ w));
      }
    }
  }
};
template <class Digits>
inline constexpr PairTables<Digits> kPairTables;

}  // namespace sbn::pairs
