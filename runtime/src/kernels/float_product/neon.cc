#include "base/neon.h"

#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using Vector = float32x4_t;

constexpr int64_t kLanes = 4;
constexpr int kRows = 8;

SBN_INLINE int64_t lanes_of(int64_t count) { return clamp(count, 0, kLanes); }

SBN_INLINE float32x4_t read(const float* from, int64_t count) {
  return neon::load_first<float32x4_t>(from, count);
}

SBN_INLINE void write(float* to, int64_t count, float32x4_t value) {
  neon::store_first(to, value, count);
}

SBN_INLINE float32x4_t read_all(const float* from) { return load<float32x4_t>(from); }

SBN_INLINE float32x4_t broadcast(float value) { return vdupq_n_f32(value); }

SBN_INLINE float32x4_t plus(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }

SBN_INLINE float32x4_t multiply_add(float32x4_t a, float32x4_t b, float32x4_t c) {
  return vfmaq_f32(c, a, b);
}

#define SBN_PRODUCT_TARGET
#include "kernels/float_product/tiles.inc"
#undef SBN_PRODUCT_TARGET

}  // namespace

const FloatProductKernel float_product_neon = {kPanel, run};

}  // namespace sbn
