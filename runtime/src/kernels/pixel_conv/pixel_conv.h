// Convolution of an 8-bit image with 8-bit weights: the first layer of a network, or another one
// that is not binary.
//
// Sums of K = kernel_h * kernel_w * channels products pixel * weight are exact int32, of which
// floats are computed from the nearest float. A kernel
// copies the pixels under a row of output pixels, with the border of the image, and
// multiplies those under a few output pixels at a time by all weights.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"
#include "kernels/parallel.h"
#include "kernels/product/epilogue.h"
#include "kernels/resize.h"
#include "op_limits.inc"

namespace sbn {

struct PixelConvShape {
  // Fixed when the node is created.
  int64_t channels, outputs;
  int64_t kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t dilation_h, dilation_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
  int64_t pad_value;  // 0 to 255

  // Known when it runs.
  int64_t batch, height, width;

  // Derived by pixel_conv_fix and resize.
  int64_t products;      // K
  int64_t output_words;  // of one pixel of a packed Y
  int64_t out_h, out_w;
};

constexpr int64_t kMaxPixelProducts = SBN_MAX_PIXEL_PRODUCTS;
static_assert(kMaxPixelProducts * 255 * 128 <= INT32_MAX, "sums are int32");

// Derives what the weights determine. Returns null, or what is wrong with the shape.
const char* pixel_conv_fix(PixelConvShape* shape);

struct PixelConvRun {
  const PixelConvShape* shape;
  const uint8_t* x;
  const void* weights;
  Output output;
};

struct PixelConvKernel {
  // Weights: bytes and contents of the packed copy; `w` is [O, kh, kw, C].
  int64_t (*weight_bytes)(const PixelConvShape& shape);
  void (*pack_weights)(const PixelConvShape& shape, const int8_t* w, void* packed);

  // Computes the output pixels `pixels` of batch * out_h * out_w, which are whole rows.
  void (*run)(const PixelConvRun& run, Range pixels);

  // Whether a kernel of a lower set is slower, by what pixel_conv_fix knows; null: it always is.
  bool (*gains)(const PixelConvShape& shape) = nullptr;
};

SBN_INLINE bool fits(const PixelConvKernel& kernel, const PixelConvShape& s) {
  return !kernel.gains || kernel.gains(s);
}

// What a node computes with.
struct PixelConvNode {
  const PixelConvKernel* kernel;
  const PixelConvShape* shape;
  const int8_t* w;             // as in the model, used where `packed` is null
  const void* packed_weights;  // by kernel->pack_weights, or null
  Epilogue epilogue;
};

// Bytes of scratch, aligned to kScratchAlignment, that pixel_conv_execute needs.
Size pixel_conv_scratch(const PixelConvNode& node);

void pixel_conv_execute(const PixelConvNode& node, const uint8_t* x, void* y, void* scratch,
                        const Parallel& parallel);

}  // namespace sbn
