// The scalar product: one pixel by eight output channels, in general registers.
// Four instructions a word (load, xor, popcount, add): 64 MAC a cycle where one
// popcount a cycle is the limit, as on Intel.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"
#include "base/attributes.h"
#include "base/bits.h"
#include "base/exact_fma.h"
#include "base/to_int16.h"
#include "kernels/product/epilogue.h"

namespace sbn::scalar {

constexpr int64_t kLanes = 8;

struct Layout {
  static constexpr int64_t kLanes = scalar::kLanes;
  static constexpr int64_t lanes(int64_t) { return kLanes; }
  static constexpr int64_t channel(int64_t lane) { return lane; }
};

// How bits are counted: by hand, or by the instruction where the function that
// this is inlined into has it.
struct Portable {
  static SBN_INLINE int64_t count(uint64_t x) { return count_bits(x); }
};
struct Instruction {
  static SBN_INLINE int64_t count(uint64_t x) { return __builtin_popcountll(x); }
};

// Adds the mismatches of `length` words of x; returns the weights that come next.
template <class Count>
SBN_INLINE const uint64_t* accumulate(int64_t (&mismatches)[kLanes], const uint64_t* x,
                                      const uint64_t* w, int64_t length) {
  for (int64_t step = 0; step < length; ++step, w += kLanes) {
    const uint64_t word = load<uint64_t>(x + step);
    SBN_UNROLL
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      mismatches[lane] += Count::count(word ^ w[lane]);
    }
  }
  return w;
}

// Epilogues: what becomes of the mismatches of output channels
// [channel, channel + count) of a pixel.
SBN_INLINE void store_bits(const Output& out, int64_t pixel, int64_t channel, uint64_t bits) {
  uint64_t* to = out.bits(pixel);
  if (out.merge) return merge_bits(to, channel, bits);
  store(reinterpret_cast<char*>(to) + channel / 8, static_cast<uint8_t>(bits));
}

struct Threshold {
  Output out;

  SBN_INLINE void operator()(const int64_t (&mismatches)[kLanes], const int32_t* offsets,
                             int64_t pixel, int64_t channel, int64_t count) const {
    // Keeps gcc from holding the address of every lane's offset.
    __asm__("" : "+r"(offsets));
    uint64_t bits = 0;
    SBN_UNROLL
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      // The sign, shifted to its place.
      const auto above = static_cast<uint64_t>(offsets[lane] - mismatches[lane]);
      bits |= above >> (63 - lane) & (uint64_t{1} << lane);
    }
    store_bits(out, pixel, channel, bits & low_bits(count));
  }
};

SBN_INLINE float activate(float x, const Activation& a, int64_t channel) {
  const auto at = [&](const float* values) { return load<float>(values + channel); };
  if (a.shift) x += at(a.shift);
  if (a.slope && x < 0) {
    x *= at(a.slope);
  } else if (a.gain) {
    x *= at(a.gain);
  }
  if (a.offset) x += at(a.offset);
  if (a.low && x < at(a.low)) x = at(a.low);
  if (a.high && x > at(a.high)) x = at(a.high);
  return x;
}

// One element of a float epilogue: writes Y and returns it before it is rounded to an integer.
SBN_INLINE float finish_one(const Output& out, int32_t dot, int64_t pixel, int64_t channel) {
  const Epilogue& e = out.epilogue;
  const auto at = [&](const float* values) { return load<float>(values + channel); };
  const auto ranged = static_cast<int32_t>(min(max(dot, e.dot_low), e.dot_high));
  float v = e.dot_offset == 0
                ? exact_fma(static_cast<float>(ranged), at(e.scale), at(e.bias))
                : static_cast<float>(ranged + e.dot_offset) * at(e.scale) + at(e.bias);
  if (out.inner) v = activate(v, e.inner, channel);
  if (e.residual) v += at(e.residual + pixel * out.outputs);
  if (out.outer) v = activate(v, e.outer, channel);
  if (e.integers) {
    store(out.integers(pixel, channel), to_int16(v));
  } else {
    store(out.floats(pixel, channel), v);
  }
  return v;
}

// Whether the sign of a result is -1.
SBN_INLINE bool is_negative(const Epilogue& e, float v, int64_t channel) {
  const float low = e.sign_low ? load<float>(e.sign_low + channel) : 0.0f;
  return v < low || (e.sign_high && v > load<float>(e.sign_high + channel));
}

struct Float {
  Output out;

  SBN_INLINE void operator()(const int64_t (&mismatches)[kLanes], const int32_t* offsets,
                             int64_t pixel, int64_t channel, int64_t count) const {
    uint64_t negative = 0;
    for (int64_t lane = 0; lane < count; ++lane) {
      const auto dot = static_cast<int32_t>(offsets[lane] - 2 * mismatches[lane]);
      const float v = finish_one(out, dot, pixel, channel + lane);
      negative |= uint64_t{is_negative(out.epilogue, v, channel + lane)} << lane;
    }
    if (out.epilogue.signs) store_bits(out, pixel, channel, negative);
  }
};

// Rows of offsets are read in whole blocks, from any channel on.
SBN_INLINE int64_t offset_bytes(int64_t outputs) { return (outputs + kLanes) * 4; }

inline void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed) {
  auto* to = static_cast<int32_t*>(packed);
  for (int64_t o = 0; o < outputs + kLanes; ++o) to[o] = o < outputs ? offsets[o] : 0;
}

}  // namespace sbn::scalar
