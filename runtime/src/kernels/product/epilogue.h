// Epilogues: what becomes of the dot products of a convolution or matrix product.
//
// A threshold epilogue packs bits. A float epilogue computes, for each output channel,
//   v = min(max(dot, dot_low), dot_high) * scale + bias       (rounded once)
// or, where dot_offset is not 0,
//   v = (min(max(dot, dot_low), dot_high) + dot_offset) * scale + bias    (rounded twice)
// and finishes with one of the steps of Finish.
#pragma once

#include <stdint.h>

#include "base/attributes.h"

namespace sbn {

enum class Finish {
  kScale,     // Y = v
  kClamp,     // Y = min(max(v, low), high)
  kPRelu,     // Y = v < 0 ? v * slope : v
  kQuantize,  // Y = v to the nearest int16, saturated; NaN gives 32767
  kResidual,  // Y = v + residual, rounded once more; signs = packed Y < 0
  kActivate,  // Y = outer(inner(v) + residual); signs = packed Y < sign_low or Y > sign_high
};

// Whether packed signs are a second output.
constexpr bool has_signs(Finish finish) {
  return finish == Finish::kResidual || finish == Finish::kActivate;
}

// A function with a bend at 0, in this order and rounded at each step: x + shift; times slope
// where that is negative, else times gain; plus offset; raised to low; lowered to high. One
// element for each output channel; null is a step that changes nothing. With a gain there is a slope.
struct Activation {
  const float* shift;
  const float* slope;
  const float* gain;
  const float* offset;
  const float* low;
  const float* high;
};

// What an epilogue computes with. The arrays but the last two have one element for each
// output channel; they may be unaligned. Null is what an epilogue does not use.
struct Epilogue {
  const int32_t* threshold;
  const float* scale;
  const float* bias;
  const float* low;
  const float* high;
  const float* slope;
  Activation inner, outer;
  const float* sign_low;   // null: 0
  const float* sign_high;  // null: infinity
  int32_t dot_low, dot_high;
  int32_t dot_offset;
  const float* residual;  // laid out as Y
  uint64_t* signs;        // rows of packed bits, one for each pixel
};

// Where an epilogue writes. Bits go to Y, or to the signs of a residual.
struct Output {
  Epilogue epilogue;
  void* y;
  int64_t outputs;      // channels of a pixel
  int64_t pixel_words;  // of packed bits
  bool merge;           // merge bits into zeroed words instead of storing blocks

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
