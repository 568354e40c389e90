#include "base/wasm.h"
#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using Vector = v128_t;
using wasm::multiply_add;

constexpr int64_t kLanes = 4;
constexpr int kRows = 2;

SBN_INLINE int64_t lanes_of(int64_t count) { return clamp(count, 0, kLanes); }

SBN_INLINE v128_t read(const float* from, int64_t count) { return wasm::load_first(from, count); }

SBN_INLINE void write(float* to, int64_t count, v128_t value) {
  wasm::store_first(to, value, count);
}

SBN_INLINE v128_t read_all(const float* from) { return load<v128_t>(from); }

SBN_INLINE v128_t broadcast(float value) { return wasm_f32x4_splat(value); }

SBN_INLINE v128_t plus(v128_t a, v128_t b) { return wasm_f32x4_add(a, b); }

#define SBN_PRODUCT_TARGET
#include "kernels/float_product/tiles.inc"
#undef SBN_PRODUCT_TARGET

}  // namespace

const FloatProductKernel float_product_wasm = {kPanel, run};

}  // namespace sbn
