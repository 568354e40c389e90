// Epilogues: what becomes of the dot products of a convolution or matrix product.
//
// A threshold epilogue packs bits. A float epilogue computes, for each output channel,
//   v = min(max(dot, dot_low), dot_high) * scale + bias       (rounded once)
// or, where dot_offset is not 0,
//   v = (min(max(dot, dot_low), dot_high) + dot_offset) * scale + bias    (rounded twice)
// and finishes with Y = outer(inner(v) + residual), and the signs of Y.
#pragma once

#include <stdint.h>

#include "base/attributes.h"

namespace sbn {

// A function with a bend at 0, in this order and rounded at each step: x + shift; times slope
// where that is negative, else times gain; plus offset; raised to low; lowered to high. One
// element for each output channel; null is a step that changes nothing. A gain has a slope with it.
struct Activation {
  const float* shift;
  const float* slope;
  const float* gain;
  const float* offset;
  const float* low;
  const float* high;

  constexpr bool changes() const { return shift || slope || offset || low || high; }
};

// What an epilogue computes with. The arrays but the last two have one element for each
// output channel; they may be unaligned. Null is what an epilogue does not use.
struct Epilogue {
  const int32_t* threshold;
  const float* scale;
  const float* bias;
  Activation inner, outer;
  const float* sign_low;   // null: 0
  const float* sign_high;  // null: infinity
  int32_t dot_low, dot_high;
  int32_t dot_offset;
  bool integers;          // Y is the nearest int16, saturated; NaN gives 32767
  const float* residual;  // laid out as Y
  uint64_t* signs;        // rows of packed bits, one for each pixel: Y < sign_low or Y > sign_high
};

// Where an epilogue writes, and what about it is the same for all pixels. Bits go to Y or to the
// signs.
struct Output {
  Epilogue epilogue;
  void* y;
  int64_t outputs;      // channels of a pixel
  int64_t pixel_words;  // of packed bits
  bool merge;           // merge bits into zeroed words instead of storing blocks
  bool inner, outer;    // whether these activations change anything
  bool straight;        // Y = clamped dot * scale + bias (+ residual), and its own signs

  Output() = default;
  Output(const Epilogue& e, void* to, int64_t channels, int64_t words)
      : epilogue(e), y(to), outputs(channels), pixel_words(words), merge(false),
        inner(e.inner.changes()), outer(e.outer.changes()) {
    straight = !inner && !outer && !e.integers && !e.sign_low && !e.sign_high &&
               e.dot_offset == 0;
  }

  SBN_INLINE float* floats(int64_t pixel, int64_t channel) const {
    return static_cast<float*>(y) + pixel * outputs + channel;
  }
  SBN_INLINE int16_t* integers(int64_t pixel, int64_t channel) const {
    return static_cast<int16_t*>(y) + pixel * outputs + channel;
  }
  SBN_INLINE uint64_t* bits(int64_t pixel) const {
    return (epilogue.threshold ? static_cast<uint64_t*>(y) : epilogue.signs) + pixel * pixel_words;
  }
  // Whether the range of dot products is a part of all int32.
  SBN_INLINE bool clamps_dot() const {
    return epilogue.dot_low != INT32_MIN || epilogue.dot_high != INT32_MAX;
  }
};

}  // namespace sbn
