// Four pixels by 16 channels. SMMLA multiplies eight products of two pixels by those of two
// channels: 64 MAC a cycle on two pipes.
#include "base/neon.h"
#include "kernels/pixel_conv/layout.h"
#include "kernels/pixel_conv/rows.h"
#include "kernels/product/neon_epilogue.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

#define SBN_BYTES_TARGET SBN_TARGET_I8MM
#include "kernels/pixel_conv/neon.inc"
#undef SBN_BYTES_TARGET

struct Matrices : Bytes<8> {
  static constexpr int kFours = 4, kTogether = 2;
  struct Weights {
    int8x16_t low, high;  // channels 0 and 1, then 2 and 3
  };
  struct Sums {
    int32x4_t low, high;  // of those channels by the first pixel, then by the second
  };

  static SBN_TARGET_I8MM SBN_INLINE Weights load(const int8_t* from) {
    return {sbn::load<int8x16_t>(from), sbn::load<int8x16_t>(from + 16)};
  }
  static SBN_TARGET_I8MM SBN_INLINE int8x16_t pixels(const char* from, int64_t stride) {
    return vcombine_s8(sbn::load<int8x8_t>(from), sbn::load<int8x8_t>(from + stride));
  }
  static SBN_TARGET_I8MM SBN_INLINE Sums add(Sums sums, int8x16_t x, Weights w) {
    return {vmmlaq_s32(sums.low, x, w.low), vmmlaq_s32(sums.high, x, w.high)};
  }
  static SBN_TARGET_I8MM SBN_INLINE int32x4_t total(Sums sums, int pixel) {
    return pixel == 0 ? vcombine_s32(vget_low_s32(sums.low), vget_low_s32(sums.high))
                      : vcombine_s32(vget_high_s32(sums.low), vget_high_s32(sums.high));
  }
};

}  // namespace

const PixelConvKernel pixel_conv_threshold_i8mm = kernel<Matrices, Threshold>();
const PixelConvKernel pixel_conv_float_i8mm = kernel<Matrices, Float>();

}  // namespace sbn
