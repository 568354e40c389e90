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
constexpr int64_t kCounts = 128;

// Computes `function` of the product in streaming mode. ZA is saved for a caller that left
// that to us.
void stream(void (*function)(const Product*), const Product& product);

// 32-bit lanes of a vector in streaming mode; only on processors that have it.
int64_t streaming_lanes();

SBN_INLINE int64_t half_words(int64_t bits) { return div_up(bits, 32); }

// Words of a step where a tap has so many.
SBN_INLINE int64_t step_words(int64_t tap_words) { return tap_words % 2 ? 1 : 2; }

// Of `words` for each channel.
inline int64_t weight_bytes(int64_t blocks, int64_t words) { return blocks * kChannels * words * 4; }

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
            step == 1 ? load<uint64x2_t>(at)
                      : vcombine_u64(load<uint64x1_t>(at), load<uint64x1_t>(at + step)));
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

SBN_INLINE void store_block(const Output& out, int64_t pixel, int64_t channel, uint64_t bits) {
  uint64_t* to = out.bits(pixel);
  if (out.merge) return merge_bits(to, channel, bits);
  store(to + channel / 64, bits);
}

// Epilogues: what becomes of the results of `positions` pixels from `pixel` on, and output channels
// [channel, channel + count), count <= 64. offsets(i) are those of a pixel from `channel` on.
struct Threshold {
  static constexpr auto kFunction = sbn_sme2_bits;
  static constexpr int64_t kRoom = kBits;
  using Result = uint64_t;  // of a position and a block
  Output out;

  static SBN_INLINE const uint64_t* at(const uint64_t* results, int64_t position) {
    return results + position;
  }

  template <class Offsets>
  SBN_INLINE void operator()(const uint64_t* results, int64_t /*room*/, int64_t positions,
                             const Offsets&, int64_t pixel, int64_t channel, int64_t count) const {
    const uint64_t used = low_bits(count);
    if (out.merge) {
      for (int64_t i = 0; i < positions; ++i) {
        merge_bits(out.bits(pixel + i), channel, results[i] & used);
      }
      return;
    }
    uint64_t* to = out.bits(pixel) + channel / 64;
    const int64_t words = out.pixel_words;
    if (words == 1) {
      for (int64_t i = 0; i < positions; ++i) store(to + i, results[i] & used);
    } else {
      for (int64_t i = 0; i < positions; ++i, to += words) store(to, results[i] & used);
    }
  }
};

struct Float {
  static constexpr auto kFunction = sbn_sme2_counts;
  static constexpr int64_t kRoom = kCounts;
  using Result = int32_t[kChannels];
  Output out;

  static SBN_INLINE const int32_t* at(const Result* results, int64_t position) {
    return *results + position * kGroup;
  }

  template <class Offsets>
  SBN_INLINE void operator()(const int32_t* mismatches, int64_t room, int64_t positions,
                             const Offsets& offsets, int64_t pixel, int64_t channel,
                             int64_t count) const {
    for (int64_t p = 0; p < positions; ++p, mismatches += kGroup) {
      uint64_t negative = 0;
      for (int64_t i = 0; i < count; i += kGroup) {
        int32x4_t dot[4];
        SBN_UNROLL
        for (int r = 0; r < 4; ++r) {
          const auto m = load<int32x4_t>(mismatches + i * room + 4 * r);
          dot[r] = vmlsq_s32(load<int32x4_t>(offsets(p) + i + 4 * r), m, vdupq_n_s32(2));
        }
        negative |= finish(dot, pixel + p, channel + i, count - i) << i;
      }
      if (out.epilogue.signs) store_block(out, pixel + p, channel, negative & low_bits(count));
    }
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

// Of epilogues that are straight, and whole groups of 16 channels. All that stays the same is read
// once, which the compiler does not know.
struct StraightFloat : Float {
  template <class Offsets>
  SBN_INLINE void operator()(const int32_t* mismatches, int64_t room, int64_t positions,
                             const Offsets& offsets, int64_t pixel, int64_t channel,
                             int64_t count) const {
    const Epilogue& e = out.epilogue;
    const bool clamps = out.clamps_dot();
    const int32x4_t low = vdupq_n_s32(e.dot_low), high = vdupq_n_s32(e.dot_high);
    const int64_t outputs = out.outputs, first = pixel * outputs + channel;
    const float* scale = e.scale + channel;
    const float* bias = e.bias + channel;
    const float* residual = e.residual;
    const bool signs = e.signs;
    float* y = static_cast<float*>(out.y) + first;
    if (residual) residual += first;
    for (int64_t p = 0; p < positions; ++p, mismatches += kGroup, y += outputs) {
      const int32_t* offset = offsets(p);
      uint8x16_t negative[4] = {};
      SBN_UNROLL
      for (int64_t g = 0; g < 4; ++g) {
        if (g * kGroup >= count) break;
        const int64_t i = g * kGroup;
        int32x4_t dot[4];
        float32x4_t v[4];
#define SBN_EACH SBN_UNROLL for (int r = 0; r < 4; ++r)
        SBN_EACH {
          const auto m = load<int32x4_t>(mismatches + i * room + 4 * r);
          dot[r] = vmlsq_s32(load<int32x4_t>(offset + i + 4 * r), m, vdupq_n_s32(2));
        }
        if (clamps) SBN_EACH dot[r] = vminq_s32(vmaxq_s32(dot[r], low), high);
        SBN_EACH {
          v[r] = vfmaq_f32(load<float32x4_t>(bias + i + 4 * r), vcvtq_f32_s32(dot[r]),
                           load<float32x4_t>(scale + i + 4 * r));
        }
        if (residual) SBN_EACH v[r] = vaddq_f32(v[r], load<float32x4_t>(residual + i + 4 * r));
        SBN_EACH store(y + i + 4 * r, v[r]);
#undef SBN_EACH
        const auto less = [&](int r) {
          return vuzp1q_u16(vreinterpretq_u16_u32(vcltzq_f32(v[r])),
                            vreinterpretq_u16_u32(vcltzq_f32(v[r + 1])));
        };
        if (signs) negative[g] = neon::narrow(less(0), less(2));
      }
      if (residual) residual += outputs;
      if (signs) store_block(out, pixel + p, channel, neon::bits_of(negative));
    }
  }
};

}  // namespace sbn::sme2
