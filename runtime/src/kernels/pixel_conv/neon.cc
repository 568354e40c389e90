// Four pixels by eight channels. A multiplication and an addition of pairs take half a
// register, on a pipe of their own each since Cortex-A57: eight MAC a cycle.
#include "base/neon.h"
#include "kernels/pixel_conv/layout.h"
#include "kernels/pixel_conv/rows.h"
#include "kernels/product/neon_epilogue.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

#define SBN_BYTES_TARGET
#include "kernels/pixel_conv/neon.inc"
#undef SBN_BYTES_TARGET

struct Multiplications : Bytes<4> {
  static constexpr int kFours = 2, kTogether = 1;
  using Weights = int8x16_t;
  struct Sums {
    int32x4_t low, high;  // of pairs of products: channels 0 and 1, then 2 and 3
  };

  static SBN_INLINE Weights load(const int8_t* from) { return sbn::load<int8x16_t>(from); }
  static SBN_INLINE int8x16_t pixels(const char* from, int64_t) {
    return vreinterpretq_s8_s32(vdupq_n_s32(sbn::load<int32_t>(from)));
  }
  static SBN_INLINE Sums add(Sums sums, int8x16_t x, Weights w) {
    return {vpadalq_s16(sums.low, vmull_s8(vget_low_s8(x), vget_low_s8(w))),
            vpadalq_s16(sums.high, vmull_high_s8(x, w))};
  }
  static SBN_INLINE int32x4_t total(Sums sums, int) { return vpaddq_s32(sums.low, sums.high); }
};

}  // namespace

const PixelConvKernel pixel_conv_threshold_neon = kernel<Multiplications, Threshold>();
const PixelConvKernel pixel_conv_float_neon = kernel<Multiplications, Float>();

}  // namespace sbn
