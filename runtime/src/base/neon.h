// Loads and stores of parts of a vector, rounding, and the bits of a mask.
#pragma once

#include <arm_neon.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/bits.h"

namespace sbn::neon {

// The first `count` lanes of a vector, the others 0; count may be above their number.
template <class Vector, class Element>
SBN_INLINE Vector load_first(const Element* from, int64_t count) {
  constexpr int64_t kLanes = sizeof(Vector) / sizeof(Element);
  if (count >= kLanes) return load<Vector>(from);
  Element all[kLanes] = {};
  SBN_ROLL
  for (int64_t i = 0; i < count; ++i) all[i] = load<Element>(from + i);
  return load<Vector>(all);
}

// The first `count` of the lanes of a vector; count may be above their number.
template <class Element, class Vector>
SBN_INLINE void store_first(Element* to, Vector values, int64_t count) {
  constexpr int64_t kLanes = sizeof(Vector) / sizeof(Element);
  if (count >= kLanes) return store(to, values);
  Element all[kLanes];
  store(all, values);
  SBN_ROLL
  for (int64_t i = 0; i < count; ++i) store(to + i, all[i]);
}

// Four floats to the nearest int16: ties to even, saturated, NaN to 32767.
SBN_INLINE int16x4_t to_int16(float32x4_t v) {
  // The other operand is the result where one is NaN.
  return vqmovn_s32(vcvtnq_s32_f32(vminnmq_f32(v, vdupq_n_f32(32767.0f))));
}

// A bit for each lane of a mask, whose lanes are all ones or zero.
SBN_INLINE uint32_t bits_of(uint16x8_t lanes) {
  const uint8x8_t each = {1, 2, 4, 8, 16, 32, 64, 128};
  return vaddv_u8(vand_u8(vmovn_u16(lanes), each));
}

SBN_INLINE uint32_t bits_of(uint32x4_t lanes) {
  const uint32x4_t each = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(lanes, each));
}

// Two masks of 16-bit lanes as one of bytes.
SBN_INLINE uint8x16_t narrow(uint16x8_t low, uint16x8_t high) {
  return vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
}

// Each byte of a mask reduced to its bit among eight.
SBN_INLINE uint8x16_t each_bit(uint8x16_t lanes) {
  const uint8x16_t each = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return vandq_u8(lanes, each);
}

SBN_INLINE uint32_t bits_of(uint8x16_t lanes) {
  const uint8x16_t pairs = vpaddq_u8(each_bit(lanes), each_bit(lanes));
  const uint8x16_t fours = vpaddq_u8(pairs, pairs);
  return vgetq_lane_u16(vreinterpretq_u16_u8(vpaddq_u8(fours, fours)), 0);
}

SBN_INLINE uint64_t bits_of(const uint8x16_t (&lanes)[4]) {
  const uint8x16_t low = vpaddq_u8(each_bit(lanes[0]), each_bit(lanes[1]));
  const uint8x16_t high = vpaddq_u8(each_bit(lanes[2]), each_bit(lanes[3]));
  const uint8x16_t fours = vpaddq_u8(low, high);
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(fours, fours)), 0);
}

}  // namespace sbn::neon
