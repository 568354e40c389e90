// Rows of bytes by look-up: both nibbles of a weight byte index a table of the
// popcounts of one activation nibble against every weight nibble. The weights take
// no more room than in the model, since a single row is bound by their bandwidth.
#pragma once

#include "base/bits.h"
#include "kernels/dense/dense.h"

namespace sbn::bytes {

// A byte adds at most 8 to an 8-bit counter.
constexpr int64_t kBytesPerFlush = 31;

struct NibbleTables {
  alignas(64) uint8_t entries[16][16];

  constexpr NibbleTables() : entries() {
    for (unsigned a = 0; a < 16; ++a) {
      for (unsigned w = 0; w < 16; ++w) {
        entries[a][w] = static_cast<uint8_t>(__builtin_popcount(a ^ w));
      }
    }
  }
};
inline constexpr NibbleTables kNibbleTables;

template <int64_t Channels>
int64_t weight_bytes(const DenseShape& s) {
  return div_up(s.outputs, Channels) * Channels * s.words * 8;
}

// [block][byte][register][lane]
template <int64_t Channels, int64_t Block, int64_t (*channel_of_lane)(int64_t)>
void pack_weights(const DenseShape& s, const uint64_t* w, void* packed) {
  auto* to = static_cast<uint8_t*>(packed);
  for (int64_t first = 0; first < s.outputs; first += Block) {
    const int64_t lanes = min(Block, div_up(s.outputs - first, Channels) * Channels);
    for (int64_t byte = 0; byte < s.words * 8; ++byte) {
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const int64_t channel = first + channel_of_lane(lane);
        const uint64_t* from = w + channel * s.words + byte / 8;
        const bool used = channel < s.outputs;
        *to++ = used ? static_cast<uint8_t>(load<uint64_t>(from) >> byte % 8 * 8) : 0;
      }
    }
  }
}

}  // namespace sbn::bytes
