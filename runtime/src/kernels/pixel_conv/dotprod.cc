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

struct DotProducts : Bytes {
  static constexpr int kRegisters = 4;
  using Pixel = int8x8_t;  // the bytes in its first lane
  using Sums = int32x4_t;

  static SBN_TARGET_DOTPROD SBN_INLINE Pixel pixel(const char* from) {
    return vcreate_s8(load<uint32_t>(from));
  }
  static SBN_TARGET_DOTPROD SBN_INLINE Sums add(Sums sums, Pixel x, int8x16_t w) {
    return vdotq_lane_s32(sums, w, x, 0);
  }
  static SBN_TARGET_DOTPROD SBN_INLINE int32x4_t total(Sums sums) { return sums; }
};

}  // namespace

const PixelConvKernel pixel_conv_threshold_dotprod = kernel<DotProducts, Threshold>();
const PixelConvKernel pixel_conv_float_dotprod = kernel<DotProducts, Float>();

}  // namespace sbn
