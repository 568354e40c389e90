// The epilogues of all NEON kernels, for the mismatches of eight channels at a time.
#pragma once

#include "base/arithmetic.h"
#include "base/neon.h"
#include "kernels/product/epilogue.h"

namespace sbn::neon {

// Mismatches are compared as signed 16-bit integers.
constexpr int64_t kMaxProducts = 32767;

// Offsets are read in whole blocks, from any channel on.
constexpr int64_t kMostChannels = 16;

template <class Offset>
SBN_INLINE int64_t offset_bytes(int64_t outputs) {
  return (outputs + kMostChannels) * static_cast<int64_t>(sizeof(Offset));
}

template <class Offset>
void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed) {
  auto* to = static_cast<Offset*>(packed);
  for (int64_t o = 0; o < outputs + kMostChannels; ++o) {
    to[o] = o < outputs ? static_cast<Offset>(offsets[o]) : Offset{0};
  }
}

// Four channels of a float epilogue, or the first `count` of them. Returns which results
// are negative where the signs are wanted.
template <Finish finish>
SBN_INLINE uint32_t finish_four(const Output& out, int32x4_t dot, int64_t pixel, int64_t channel,
                                int64_t count) {
  const Epilogue& e = out.epilogue;
  const auto at = [&](const float* from) { return load_first<float32x4_t>(from + channel, count); };
  if (out.clamps_dot()) {
    dot = vmaxq_s32(dot, vdupq_n_s32(e.dot_low));
    dot = vminq_s32(dot, vdupq_n_s32(e.dot_high));
  }
  float32x4_t v;
  if (e.dot_offset == 0) {
    v = vfmaq_f32(at(e.bias), vcvtq_f32_s32(dot), at(e.scale));
  } else {
    dot = vaddq_s32(dot, vdupq_n_s32(e.dot_offset));
    v = vaddq_f32(vmulq_f32(vcvtq_f32_s32(dot), at(e.scale)), at(e.bias));
  }
  if (finish == Finish::kClamp) {
    // Not the minimum and the maximum: those order the zeros.
    const float32x4_t low = at(e.low), high = at(e.high);
    v = vbslq_f32(vcltq_f32(v, low), low, v);
    v = vbslq_f32(vcgtq_f32(v, high), high, v);
  }
  if (finish == Finish::kPRelu) {
    v = vbslq_f32(vcltzq_f32(v), vmulq_f32(v, at(e.slope)), v);
  }
  if (finish == Finish::kResidual) v = vaddq_f32(v, at(e.residual + pixel * out.outputs));
  if (finish == Finish::kQuantize) {
    store_first(out.integers(pixel, channel), to_int16(v), count);
    return 0;
  }
  store_first(out.floats(pixel, channel), v, count);
  return finish == Finish::kResidual ? bits_of(vcltzq_f32(v)) : 0;
}

// Epilogues: what becomes of the mismatches of output channels [channel, channel + 8) of
// a pixel, of which `count` > 0 are in use. They return bits, some for channels not in use.
struct Threshold {
  static constexpr bool kBits = true;
  using Offset = int16_t;
  Output out;

  SBN_INLINE uint16x8_t mask(uint16x8_t mismatches, const int16_t* offsets) const {
    return vcgtq_s16(vreinterpretq_s16_u16(mismatches), load<int16x8_t>(offsets));
  }
  SBN_INLINE uint32_t operator()(uint16x8_t mismatches, const int16_t* offsets, int64_t, int64_t,
                                 int64_t) const {
    return bits_of(mask(mismatches, offsets));
  }
};

template <Finish finish>
struct Float {
  static constexpr bool kBits = finish == Finish::kResidual;
  using Offset = int32_t;
  Output out;

  SBN_INLINE uint32_t operator()(uint16x8_t mismatches, const int32_t* offsets, int64_t pixel,
                                 int64_t channel, int64_t count) const {
    const uint32x4_t twice[] = {vshll_n_u16(vget_low_u16(mismatches), 1),
                                vshll_high_n_u16(mismatches, 1)};
    uint32_t negative = 0;
    SBN_UNROLL
    for (int64_t i = 0; i < 2; ++i) {
      const int64_t first = 4 * i;
      if (first >= count) break;
      const auto dot = vsubq_s32(load<int32x4_t>(offsets + first), vreinterpretq_s32_u32(twice[i]));
      negative |= finish_four<finish>(out, dot, pixel, channel + first, count - first) << first;
    }
    return negative;
  }
};

// Stores the bits of a block of channels, of which `count` are in use.
template <class Bits>
SBN_INLINE void store_bits(const Output& out, int64_t pixel, int64_t channel, int64_t count,
                           uint32_t bits) {
  uint64_t* to = out.bits(pixel);
  bits &= static_cast<uint32_t>(low_bits(count));
  if (out.merge) return merge_bits(to, channel, bits);
  store(reinterpret_cast<char*>(to) + channel / 8, static_cast<Bits>(bits));
}

}  // namespace sbn::neon
