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

// Each step is taken for N registers of four channels, so that what it depends on is looked at
// once. `at` loads their parameters.
#define SBN_EACH SBN_UNROLL for (int i = 0; i < N; ++i)

template <int N, class At>
SBN_INLINE void activate(float32x4_t (&x)[N], const Activation& a, const At& at) {
  if (a.shift) SBN_EACH x[i] = vaddq_f32(x[i], at(a.shift, i));
  if (a.slope) {
    SBN_EACH {
      const float32x4_t gained = a.gain ? vmulq_f32(x[i], at(a.gain, i)) : x[i];
      x[i] = vbslq_f32(vcltzq_f32(x[i]), vmulq_f32(x[i], at(a.slope, i)), gained);
    }
  }
  if (a.offset) SBN_EACH x[i] = vaddq_f32(x[i], at(a.offset, i));
  // Not the minimum and the maximum: those order the zeros.
  if (a.low) SBN_EACH x[i] = vbslq_f32(vcltq_f32(x[i], at(a.low, i)), at(a.low, i), x[i]);
  if (a.high) SBN_EACH x[i] = vbslq_f32(vcgtq_f32(x[i], at(a.high, i)), at(a.high, i), x[i]);
}

// All 4 * N channels of an epilogue that is straight. Returns which results are negative where the
// signs are wanted.
template <int N>
SBN_INLINE uint32_t finish_straight(const Output& out, int32x4_t (&dot)[N], int64_t pixel,
                                    int64_t channel) {
  const Epilogue& e = out.epilogue;
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[i] = vmaxq_s32(dot[i], vdupq_n_s32(e.dot_low));
      dot[i] = vminq_s32(dot[i], vdupq_n_s32(e.dot_high));
    }
  }
  const float* scale = e.scale + channel;
  const float* bias = e.bias + channel;
  const int64_t first = pixel * out.outputs + channel;
  float32x4_t v[N];
  SBN_EACH {
    v[i] = vfmaq_f32(load<float32x4_t>(bias + 4 * i), vcvtq_f32_s32(dot[i]),
                     load<float32x4_t>(scale + 4 * i));
  }
  if (e.residual) {
    SBN_EACH v[i] = vaddq_f32(v[i], load<float32x4_t>(e.residual + first + 4 * i));
  }
  float* to = static_cast<float*>(out.y) + first;
  SBN_EACH store(to + 4 * i, v[i]);
  if (!e.signs) return 0;
  uint32_t negative = 0;
  SBN_EACH negative |= bits_of(vcltzq_f32(v[i])) << (4 * i);
  return negative;
}

// 4 * N channels of a float epilogue, or the first `count` > 4 * (N - 1) of them. Returns which
// results are negative where the signs are wanted.
template <int N>
SBN_INLINE uint32_t finish_fours(const Output& out, int32x4_t (&dot)[N], int64_t pixel,
                                 int64_t channel, int64_t count) {
  const Epilogue& e = out.epilogue;
  const auto at = [&](const float* from, int i) {
    return load_first<float32x4_t>(from + channel + 4 * i, count - 4 * i);
  };
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[i] = vmaxq_s32(dot[i], vdupq_n_s32(e.dot_low));
      dot[i] = vminq_s32(dot[i], vdupq_n_s32(e.dot_high));
    }
  }
  float32x4_t v[N];
  if (e.dot_offset == 0) {
    SBN_EACH v[i] = vfmaq_f32(at(e.bias, i), vcvtq_f32_s32(dot[i]), at(e.scale, i));
  } else {
    SBN_EACH {
      dot[i] = vaddq_s32(dot[i], vdupq_n_s32(e.dot_offset));
      v[i] = vaddq_f32(vmulq_f32(vcvtq_f32_s32(dot[i]), at(e.scale, i)), at(e.bias, i));
    }
  }
  if (out.inner) activate(v, e.inner, at);
  if (e.residual) {
    const float* shortcut = e.residual + pixel * out.outputs;
    SBN_EACH v[i] = vaddq_f32(v[i], at(shortcut, i));
  }
  if (out.outer) activate(v, e.outer, at);
  if (e.integers) {
    SBN_EACH store_first(out.integers(pixel, channel + 4 * i), to_int16(v[i]), count - 4 * i);
    return 0;
  }
  SBN_EACH store_first(out.floats(pixel, channel + 4 * i), v[i], count - 4 * i);
  if (!e.signs) return 0;
  uint32_t negative = 0;
  SBN_EACH {
    uint32x4_t outside = e.sign_low ? vcltq_f32(v[i], at(e.sign_low, i)) : vcltzq_f32(v[i]);
    if (e.sign_high) outside = vorrq_u32(outside, vcgtq_f32(v[i], at(e.sign_high, i)));
    negative |= bits_of(outside) << (4 * i);
  }
  return negative;
}

#undef SBN_EACH

// Epilogues: what becomes of the mismatches of output channels [channel, channel + 8) of
// a pixel, of which `count` > 0 are in use. They return bits, some for channels not in use.
struct Threshold {
  using Offset = int16_t;
  Output out;

  static constexpr bool has_bits() { return true; }

  SBN_INLINE uint16x8_t mask(uint16x8_t mismatches, const int16_t* offsets) const {
    return vcgtq_s16(vreinterpretq_s16_u16(mismatches), load<int16x8_t>(offsets));
  }
  SBN_INLINE uint32_t operator()(uint16x8_t mismatches, const int16_t* offsets, int64_t, int64_t,
                                 int64_t) const {
    return bits_of(mask(mismatches, offsets));
  }
};

// Straight: for epilogues that are, of whole blocks. Their kernel has nothing of the others in it,
// for which the compiler would make room in the innermost loop.
template <bool Straight>
struct Float {
  using Offset = int32_t;
  Output out;

  SBN_INLINE bool has_bits() const { return out.epilogue.signs != nullptr; }

  SBN_INLINE uint32_t operator()(uint16x8_t mismatches, const int32_t* offsets, int64_t pixel,
                                 int64_t channel, int64_t count) const {
    const uint32x4_t twice[] = {vshll_n_u16(vget_low_u16(mismatches), 1),
                                vshll_high_n_u16(mismatches, 1)};
    int32x4_t dot[] = {
        vsubq_s32(load<int32x4_t>(offsets), vreinterpretq_s32_u32(twice[0])),
        vsubq_s32(load<int32x4_t>(offsets + 4), vreinterpretq_s32_u32(twice[1])),
    };
    if (Straight) return finish_straight(out, dot, pixel, channel);
    if (count > 4) return finish_fours(out, dot, pixel, channel, count);
    int32x4_t first[] = {dot[0]};
    return finish_fours(out, first, pixel, channel, count);
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
