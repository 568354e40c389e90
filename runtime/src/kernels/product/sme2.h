// The SME2 product: 64 output channels by 16 positions at a time, in streaming mode
// (sme2_streaming.h), and what NEON does before and after it. Entering the mode and leaving it costs
// time, so that as much is computed at once as the results have room for.
#pragma once

#include "base/bits.h"
#include "base/neon.h"
#include "kernels/product/neon_epilogue.h"
#include "kernels/product/sme2_streaming.h"

namespace sbn::sme2 {

using neon::kMaxProducts;

// Most steps of a product, which lie on the stack.
constexpr int64_t kSteps = 512;

// Results of one stay in streaming mode, on the stack: of so many positions in a block.
constexpr int64_t kBits = 1024;
constexpr int64_t kSums = 128;
struct alignas(64) Results {
  char data[kSums * kChannels * 4];
};
static_assert(kBits * 8 <= sizeof(Results), "bits of a block are a word");

// Computes the product in streaming mode. ZA is saved for a caller that left that to us.
void stream(const Product& product);

// 32-bit lanes of a vector in streaming mode; only on processors that have it.
int64_t streaming_lanes();

SBN_INLINE int64_t half_words(int64_t bits) { return div_up(bits, 32); }

// Words of a step where a tap has so many.
SBN_INLINE int64_t step_words(int64_t tap_words) { return tap_words % 2 ? 1 : 2; }

// Of `words` for each channel.
inline int64_t weight_bytes(int64_t blocks, int64_t words) { return blocks * kChannels * words * 4; }

// The words at(channel, word) of `outputs` channels, as streaming mode reads them. Returns their
// end.
template <class At>
uint32_t* pack_blocks(int64_t outputs, int64_t words, uint32_t* to, const At& at) {
  for (int64_t first = 0; first < outputs; first += kChannels) {
    for (int64_t word = 0; word < words; ++word) {
      for (int64_t o = first; o < first + kChannels; ++o) *to++ = o < outputs ? at(o, word) : 0;
    }
  }
  return to;
}

// Binary weights, each group by itself. `w` is [groups * group_outputs, taps, words_of(bits)], with
// `bits` in a tap.
void pack_weights(const uint64_t* w, int64_t groups, int64_t group_outputs, int64_t taps,
                  int64_t bits, void* packed);

// Offsets are read in whole blocks, from any channel on. Beyond the last one they are such that no
// sum brings them below 0, so that the bits of channels not in use are 0.
constexpr int32_t kNever = 1 << 30;
inline int64_t offset_bytes(int64_t outputs) { return (outputs + kChannels) * 4; }
void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed);

// The 32-bit words of `count` positions, each `step` of them after the one before, to planes. Words
// are read in pairs.
void to_planes(const uint32_t* x, int64_t step, int64_t count, int64_t words, uint32_t* to,
               int64_t plane);

// Whether the results are bits, not sums, and how many tiles there is room for.
SBN_INLINE bool ends_in_bits(const Output& out) { return out.epilogue.threshold != nullptr; }
SBN_INLINE int64_t most_tiles(const Output& out) {
  return (ends_in_bits(out) ? kBits : kSums) / kPositions;
}

// Results of pixels that follow each other.
struct Strip {
  const Results& results;
  int64_t room;                          // as in the product
  int64_t block = 0, position = 0;       // the block in the results, the first position in it
  int64_t positions = 0;
  int64_t pixel = 0;                     // of the first one
  int64_t channel = 0, count = 0;        // first output channel, and how many of the block are used
  const char* offsets = nullptr;         // of that channel, from which each position's are
  const int64_t* next_offset = nullptr;  // so many bytes away; null for products of bytes
};

// What becomes of them.
void finish(const Output& out, const Strip& strip);

}  // namespace sbn::sme2
