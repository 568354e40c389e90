#include "base/wasm.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using Vector = v128_t;
using wasm::multiply_add;

constexpr int64_t kLanes = 4;

SBN_INLINE int64_t lanes_of(int64_t count) { return count; }

template <bool whole>
SBN_INLINE v128_t read(const float* from, int64_t count) {
  return whole ? load<v128_t>(from) : wasm::load_first(from, count);
}

template <bool whole>
SBN_INLINE void write(float* to, int64_t count, v128_t value) {
  wasm::store_first(to, value, whole ? kLanes : count);
}

SBN_INLINE v128_t broadcast(float value) { return wasm_f32x4_splat(value); }

// Not f32x4.max, which orders the zeros and hands on NaN.
SBN_INLINE v128_t larger(v128_t a, v128_t b) {
  return wasm_v128_bitselect(a, b, wasm_f32x4_gt(a, b));
}

#define SBN_WINDOW_TARGET
#include "kernels/window/slide.inc"
#undef SBN_WINDOW_TARGET

}  // namespace

const FloatMaxPoolKernel float_max_pool_wasm = {pool};
const FloatDepthwiseConvKernel float_depthwise_conv_wasm = {conv};

}  // namespace sbn
