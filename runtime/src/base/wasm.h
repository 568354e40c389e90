// Parts of a vector, rounding, and products that are rounded once, without a fused multiply-add,
// which WebAssembly has not.
#pragma once

#include <stdint.h>
#include <wasm_simd128.h>

#include "base/arithmetic.h"
#include "base/attributes.h"
#include "base/bits.h"

namespace sbn::wasm {

// The first `count` lanes of a vector, the others 0; count may be above their number.
template <class Element>
SBN_INLINE v128_t load_first(const Element* from, int64_t count) {
  constexpr int64_t kLanes = sizeof(v128_t) / sizeof(Element);
  if (count >= kLanes) return load<v128_t>(from);
  Element all[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) all[i] = load<Element>(from + i);
  return load<v128_t>(all);
}

// The first `count` of `most` lanes of a vector; count may be above their number.
template <class Element>
SBN_INLINE void store_first(Element* to, v128_t values, int64_t count,
                            int64_t most = sizeof(v128_t) / sizeof(Element)) {
  constexpr int64_t kLanes = sizeof(v128_t) / sizeof(Element);
  if (count >= kLanes && most == kLanes) return store(to, values);
  Element all[kLanes];
  store(all, values);
  for (int64_t i = 0; i < min(count, most); ++i) store(to + i, all[i]);
}

// Four floats to the nearest int16, in the lower half: ties to even, saturated, NaN to 32767.
SBN_INLINE v128_t to_int16(v128_t v) {
  const v128_t most = wasm_f32x4_const_splat(32767.0f);
  const v128_t bounded = wasm_v128_bitselect(v, most, wasm_f32x4_lt(v, most));
  const v128_t whole = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(bounded));
  return wasm_i16x8_narrow_i32x4(whole, whole);
}

// The masks of four times four lanes as bytes.
SBN_INLINE v128_t bytes_of(const v128_t (&masks)[4]) {
  return wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(masks[0], masks[1]),
                                 wasm_i16x8_narrow_i32x4(masks[2], masks[3]));
}

SBN_INLINE v128_t upper_half(v128_t x) { return wasm_i64x2_shuffle(x, x, 1, 1); }

// The exact sums of doubles, rounded to odd: see exact_fma.h.
inline v128_t odd_sum(v128_t product, v128_t addend) {
  const v128_t sum = wasm_f64x2_add(product, addend);
  const v128_t virtual_addend = wasm_f64x2_sub(sum, product);
  const v128_t error =
      wasm_f64x2_add(wasm_f64x2_sub(product, wasm_f64x2_sub(sum, virtual_addend)),
                     wasm_f64x2_sub(addend, virtual_addend));
  const v128_t zero = wasm_f64x2_const_splat(0);
  const v128_t one = wasm_i64x2_const_splat(1);
  const v128_t finite =
      wasm_f64x2_lt(wasm_f64x2_abs(sum), wasm_f64x2_const_splat(__builtin_inf()));
  const v128_t even = wasm_i64x2_eq(wasm_v128_and(sum, one), wasm_i64x2_const_splat(0));
  const v128_t changes =
      wasm_v128_and(wasm_f64x2_ne(error, zero), wasm_v128_and(finite, even));
  // 1 away from zero, -1 towards it.
  const v128_t step = wasm_v128_or(
      wasm_v128_xor(wasm_f64x2_gt(error, zero), wasm_f64x2_gt(sum, zero)), one);
  return wasm_i64x2_add(sum, wasm_v128_and(step, changes));
}

// Whether a double may lie in the middle of two floats, of those whose last 28 bits are 0. Floats
// below 2^-126 are fewer, and their middles elsewhere.
inline bool has_middle(v128_t sum) {
  const v128_t last = wasm_i64x2_const_splat((1 << 29) - 1);
  const v128_t middle =
      wasm_i64x2_eq(wasm_v128_and(sum, last), wasm_i64x2_const_splat(1 << 28));
  const v128_t small = wasm_v128_and(
      wasm_f64x2_lt(wasm_f64x2_abs(sum), wasm_f64x2_const_splat(0x1p-126)),
      wasm_f64x2_ne(sum, wasm_f64x2_const_splat(0)));
  return wasm_v128_any_true(wasm_v128_or(middle, small));
}

// a b + c of floats, rounded once.
SBN_INLINE v128_t multiply_add(v128_t a, v128_t b, v128_t c) {
  const auto lower = [](v128_t x) { return wasm_f64x2_promote_low_f32x4(x); };
  const auto upper = [](v128_t x) { return wasm_f64x2_promote_low_f32x4(upper_half(x)); };
  const v128_t products[] = {wasm_f64x2_mul(lower(a), lower(b)),
                             wasm_f64x2_mul(upper(a), upper(b))};
  const v128_t addends[] = {lower(c), upper(c)};
  v128_t sums[] = {wasm_f64x2_add(products[0], addends[0]),
                   wasm_f64x2_add(products[1], addends[1])};
  // A second rounding does no harm unless the first one led to the middle of two floats. Of those
  // the last 28 bits are 0, which is quick to see and rare.
  const v128_t last = wasm_i64x2_const_splat((1 << 28) - 1);
  const v128_t zero = wasm_i64x2_const_splat(0);
  const v128_t doubtful = wasm_v128_or(wasm_i64x2_eq(wasm_v128_and(sums[0], last), zero),
                                       wasm_i64x2_eq(wasm_v128_and(sums[1], last), zero));
  if (wasm_v128_any_true(doubtful) && (has_middle(sums[0]) || has_middle(sums[1]))) {
    sums[0] = odd_sum(products[0], addends[0]);
    sums[1] = odd_sum(products[1], addends[1]);
  }
  return wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero(sums[0]),
                            wasm_f32x4_demote_f64x2_zero(sums[1]), 0, 2);
}

}  // namespace sbn::wasm
