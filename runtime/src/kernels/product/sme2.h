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

// The words at(channel, step) of `outputs` channels, as streaming mode reads them: [block][pass][step]
// [four vectors of channels]. Returns where they end.
template <class At>
uint32_t* pack_block(int64_t outputs, int64_t steps, uint32_t* to, const At& at) {
  const int64_t pass = 4 * streaming_lanes();
  for (int64_t first = 0; first < div_up(outputs, kChannels) * kChannels; first += pass) {
    for (int64_t step = 0; step < steps; ++step) {
      for (int64_t o = first; o < first + pass; ++o) *to++ = o < outputs ? at(o, step) : 0;
    }
  }
  return to;
}

// Binary weights, each group by itself. `w` is [groups * group_outputs, taps, words_of(bits)], with
// `bits` in a tap.
void pack_weights(const uint64_t* w, int64_t groups, int64_t group_outputs, int64_t taps,
                  int64_t bits, void* packed);

// Offsets are read in whole blocks, from any channel on.
inline int64_t offset_bytes(int64_t outputs) { return (outputs + kChannels) * 4; }
void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed);

// The 32-bit words of `count` positions, each `step` words of 64 bits after the one before, to
// planes.
void to_planes(const uint64_t* x, int64_t step, int64_t count, int64_t words, uint32_t* to,
               int64_t plane);

SBN_INLINE void store_block(const Output& out, int64_t pixel, int64_t channel, uint64_t bits) {
  uint64_t* to = out.bits(pixel);
  if (out.merge) return merge_bits(to, channel, bits);
  store(to + channel / 64, bits);
}

// What kernels multiply, and how: the functions of streaming mode, and the dot products of four
// channels from `i` on from their sums and offsets.
struct Signs {
  static constexpr auto kBitsOf = sbn_sme2_bits;
  static constexpr auto kSumsOf = sbn_sme2_counts;
  static SBN_INLINE int32x4_t dot(int32x4_t mismatches, const int32_t* offsets, int64_t i) {
    return vmlsq_s32(load<int32x4_t>(offsets + i), mismatches, vdupq_n_s32(2));
  }
};
struct Bytes {
  static constexpr auto kBitsOf = sbn_sme2_byte_bits;
  static constexpr auto kSumsOf = sbn_sme2_byte_sums;
  static SBN_INLINE int32x4_t dot(int32x4_t sums, const int32_t*, int64_t) { return sums; }
};

// The float epilogue of the first `count` of 16 channels of a pixel: one function for all kernels,
// which is long. Returns which results are negative where the signs are wanted.
uint64_t finish(const Output& out, int32x4_t (&dot)[4], int64_t pixel, int64_t channel,
                int64_t count);

// Epilogues: what becomes of the results of `positions` pixels from `pixel` on, and output channels
// [channel, channel + count), count <= 64. offsets(i) are those of a pixel from `channel` on.
template <class Product>
struct Threshold {
  static constexpr auto kFunction = Product::kBitsOf;
  static constexpr bool kIsBits = true;
  static constexpr int64_t kRoom = kBits;
  using Result = uint64_t;  // of a position and a block
  Output out;

  static SBN_INLINE const uint64_t* at(const uint64_t* results, int64_t position) {
    return results + position;
  }

  template <class Offsets>
  SBN_INLINE void operator()(const uint64_t* results, int64_t /*room*/, int64_t positions,
                             const Offsets&, int64_t pixel, int64_t channel, int64_t count) const {
    if (out.merge) {
      for (int64_t i = 0; i < positions; ++i) {
        merge_bits(out.bits(pixel + i), channel, results[i] & low_bits(count));
      }
      return;
    }
    uint64_t* to = out.bits(pixel) + channel / 64;
    if (count == kChannels) return copy(results, positions, ~uint64_t{0}, to);
    copy(results, positions, low_bits(count), to);
  }

 private:
  SBN_INLINE void copy(const uint64_t* results, int64_t positions, uint64_t used,
                       uint64_t* to) const {
    const int64_t words = out.pixel_words;
    int64_t i = 0;
    for (; words == 1 && i + 8 <= positions; i += 8) {
      SBN_UNROLL
      for (int64_t k = i; k < i + 8; k += 2) {
        store(to + k, vandq_u64(load<uint64x2_t>(results + k), vdupq_n_u64(used)));
      }
    }
    for (; i + 4 <= positions; i += 4) {
      SBN_UNROLL
      for (int64_t k = 0; k < 4; ++k) store(to + (i + k) * words, results[i + k] & used);
    }
    for (; i < positions; ++i) store(to + i * words, results[i] & used);
  }
};

template <class Product>
struct Float {
  static constexpr auto kFunction = Product::kSumsOf;
  static constexpr bool kIsBits = false;
  static constexpr int64_t kRoom = kCounts;
  using Result = int32_t[kChannels];
  Output out;

  static SBN_INLINE const int32_t* at(const Result* results, int64_t position) {
    return *results + position * kGroup;
  }

  template <class Offsets>
  SBN_INLINE void operator()(const int32_t* sums, int64_t room, int64_t positions,
                             const Offsets& offsets, int64_t pixel, int64_t channel,
                             int64_t count) const {
    for (int64_t p = 0; p < positions; ++p, sums += kGroup) {
      uint64_t negative = 0;
      for (int64_t i = 0; i < count; i += kGroup) {
        int32x4_t dot[4];
        SBN_UNROLL
        for (int r = 0; r < 4; ++r) {
          dot[r] = Product::dot(load<int32x4_t>(sums + i * room + 4 * r), offsets(p), i + 4 * r);
        }
        negative |= finish(out, dot, pixel + p, channel + i, count - i) << i;
      }
      if (out.epilogue.signs) store_block(out, pixel + p, channel, negative & low_bits(count));
    }
  }
};

// Of epilogues that are straight, and whole groups of 16 channels. All that stays the same is read
// once, which the compiler does not know.
template <class Product>
struct StraightFloat : Float<Product> {
  using Float<Product>::out;

  template <class Offsets>
  SBN_INLINE void operator()(const int32_t* sums, int64_t room, int64_t positions,
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
    for (int64_t p = 0; p < positions; ++p, sums += kGroup, y += outputs) {
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
          dot[r] = Product::dot(load<int32x4_t>(sums + i * room + 4 * r), offset, i + 4 * r);
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
