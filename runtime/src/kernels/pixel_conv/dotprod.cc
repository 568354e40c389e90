// Four pixels by 16 channels. SDOT adds four products to each of four channels: 32 MAC a
// cycle on two pipes.
#include "base/neon.h"
#include "kernels/pixel_conv/layout.h"
#include "kernels/pixel_conv/rows.h"
#include "kernels/product/neon_epilogue.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

#define SBN_BYTES_TARGET SBN_TARGET_DOTPROD
#include "kernels/pixel_conv/neon.inc"
#undef SBN_BYTES_TARGET

struct DotProducts : Bytes<4> {
  static constexpr int kFours = 4, kTogether = 1;
  using Weights = int8x16_t;
  using Sums = int32x4_t;

  static SBN_INLINE Weights load(const int8_t* from) { return sbn::load<int8x16_t>(from); }
  // Four bytes, in the first lane.
  static SBN_TARGET_DOTPROD SBN_INLINE int8x8_t pixels(const char* from, int64_t) {
    return vcreate_s8(sbn::load<uint32_t>(from));
  }
  static SBN_TARGET_DOTPROD SBN_INLINE Sums add(Sums sums, int8x8_t x, Weights w) {
    return vdotq_lane_s32(sums, w, x, 0);
  }
  static SBN_TARGET_DOTPROD SBN_INLINE int32x4_t total(Sums sums, int) { return sums; }
};

}  // namespace

const PixelConvKernel pixel_conv_threshold_dotprod = kernel<DotProducts, Threshold>();
const PixelConvKernel pixel_conv_float_dotprod = kernel<DotProducts, Float>();

}  // namespace sbn
