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

// Results of one stay in streaming mode, on the stack: of so many positions in a block.
constexpr int64_t kBits = 1024;
constexpr int64_t kCounts = 128;

// Computes `function` of the product in streaming mode. ZA is saved for a caller that left
// that to us.
void stream(void (*function)(const Product*), const Product& product);

// 32-bit lanes of a vector in streaming mode; only on processors that have it.
int64_t streaming_lanes();

SBN_INLINE int64_t half_words(int64_t bits) { return div_up(bits, 32); }

// Words of weights of one tap and its 64 channels times so many steps.
inline int64_t weight_bytes(int64_t blocks, int64_t steps) { return blocks * kChannels * steps * 4; }

// [groups][block][pass][tap][word][four vectors of channels], inverted. `w` is [groups *
// group_outputs, taps, words_of(bits)], with `bits` in a tap.
void pack_weights(const uint64_t* w, int64_t groups, int64_t group_outputs, int64_t taps,
                  int64_t bits, void* packed);

// Offsets are read in whole blocks, from any channel on.
inline int64_t offset_bytes(int64_t outputs) { return (outputs + kChannels) * 4; }
void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed);

// The 32-bit words of `count` positions, each `step` words of 64 bits after the one before, to
// planes.
SBN_INLINE void to_planes(const uint64_t* x, int64_t step, int64_t count, int64_t words,
                          uint32_t* to, int64_t plane) {
  for (int64_t word = 0; word < words; word += 2, ++x, to += 2 * plane) {
    uint32_t* second = word + 1 < words ? to + plane : to;
    const uint64_t* from = x;
    int64_t i = 0;
    for (; i + 4 <= count; i += 4, from += 4 * step) {
      const auto pair = [&](const uint64_t* at) {
        return vreinterpretq_u32_u64(
            vcombine_u64(load<uint64x1_t>(at), load<uint64x1_t>(at + step)));
      };
      const uint32x4_t a = pair(from), b = pair(from + 2 * step);
      store(second + i, vuzp2q_u32(a, b));
      store(to + i, vuzp1q_u32(a, b));
    }
    for (; i < count; ++i, from += step) {
      const auto both = load<uint64_t>(from);
      second[i] = static_cast<uint32_t>(both >> 32);
      to[i] = static_cast<uint32_t>(both);
    }
  }
}

// Epilogues: what becomes of results in room for `room` positions of output channels
// [channel, channel + count), `count` <= 64, at a pixel. `at` is the position.
struct Threshold {
  static constexpr auto kFunction = sbn_sme2_bits;
  static constexpr int64_t kRoom = kBits;
  using Result = uint64_t;
  Output out;

  SBN_INLINE void operator()(const uint64_t* results, int64_t /*room*/, int64_t at,
                             const int32_t* /*offsets*/, int64_t pixel, int64_t channel,
                             int64_t count) const {
    store_block(out, pixel, channel, results[at] & low_bits(count));
  }

  static SBN_INLINE void store_block(const Output& out, int64_t pixel, int64_t channel,
                                     uint64_t bits) {
    uint64_t* to = out.bits(pixel);
    if (out.merge) return merge_bits(to, channel, bits);
    store(to + channel / 64, bits);
  }
};

// Straight: for epilogues that are, of whole groups of 16.
template <bool Straight>
struct Float {
  static constexpr auto kFunction = sbn_sme2_counts;
  static constexpr int64_t kRoom = kCounts;
  using Result = int32_t[kChannels];
  Output out;

  SBN_INLINE void operator()(const Result* results, int64_t room, int64_t at,
                             const int32_t* offsets, int64_t pixel, int64_t channel,
                             int64_t count) const {
    const int32_t* mismatches = *results + at * kGroup;
    uint64_t negative = 0;
    for (int64_t i = 0; i < count; i += kGroup, mismatches += room * kGroup) {
      int32x4_t dot[4];
      SBN_UNROLL
      for (int r = 0; r < 4; ++r) {
        const auto twice = vshlq_n_s32(load<int32x4_t>(mismatches + 4 * r), 1);
        dot[r] = vsubq_s32(load<int32x4_t>(offsets + i + 4 * r), twice);
      }
      const uint64_t bits = Straight ? neon::finish_straight(out, dot, pixel, channel + i)
                                     : finish(dot, pixel, channel + i, count - i);
      negative |= bits << i;
    }
    if (out.epilogue.signs) Threshold::store_block(out, pixel, channel, negative & low_bits(count));
  }

 private:
  SBN_INLINE uint64_t finish(int32x4_t (&dot)[4], int64_t pixel, int64_t channel,
                             int64_t count) const {
    if (count >= kGroup) return neon::finish_fours(out, dot, pixel, channel, kGroup);
    uint64_t bits = 0;
    SBN_ROLL
    for (int64_t i = 0; 4 * i < count; ++i) {
      int32x4_t four[] = {dot[i]};
      bits |= uint64_t{neon::finish_fours(out, four, pixel, channel + 4 * i, count - 4 * i)}
              << 4 * i;
    }
    return bits;
  }
};

}  // namespace sbn::sme2
