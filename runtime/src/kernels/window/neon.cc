#include "base/neon.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using Vector = float32x4_t;

constexpr int64_t kLanes = 4;

SBN_INLINE int64_t lanes_of(int64_t count) { return count; }

template <bool whole>
SBN_INLINE float32x4_t read(const float* from, int64_t count) {
  return whole ? load<float32x4_t>(from) : neon::load_first<float32x4_t>(from, count);
}

template <bool whole>
SBN_INLINE void write(float* to, int64_t count, float32x4_t value) {
  neon::store_first(to, value, whole ? kLanes : count);
}

SBN_INLINE float32x4_t broadcast(float value) { return vdupq_n_f32(value); }

SBN_INLINE float32x4_t multiply_add(float32x4_t a, float32x4_t b, float32x4_t c) {
  return vfmaq_f32(c, a, b);
}

// Not vmaxq_f32, which orders the zeros and hands on NaN.
SBN_INLINE float32x4_t larger(float32x4_t a, float32x4_t b) {
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}

#define SBN_WINDOW_TARGET
#include "kernels/window/slide.inc"
#undef SBN_WINDOW_TARGET

}  // namespace

const FloatMaxPoolKernel float_max_pool_neon = {pool};
const FloatDepthwiseConvKernel float_depthwise_conv_neon = {conv};

}  // namespace sbn
