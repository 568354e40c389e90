// Weights and rows of pixels as vector kernels multiply them: neighbouring products share a lane,
// and the lanes of a register are output channels. A kernel's `Product` says how many products
// (kElements) of which type (Weight), how many lanes stand together (kLanes), and in how many runs
// they come (runs).
#pragma once

#include <stdint.h>

#include "base/bits.h"
#include "kernels/pixel_conv/pixel_conv.h"

namespace sbn::pixels {

// Channels of one word of packed bits: a block.
constexpr int64_t kBlock = 64;

// Products as they are multiplied: `count` runs of `bytes` products, each padded to
// whole lanes.
struct Runs {
  int64_t count, bytes;
};

inline Runs one_run(const PixelConvShape& s) { return {1, s.products}; }

// One run for each row of the kernel, as the pixels stand in the image, unless the
// padding of so many runs costs more than it saves.
template <int64_t Elements>
Runs row_runs(const PixelConvShape& s) {
  const int64_t bytes = s.kernel_w * s.channels;
  const bool worth = s.dilation_w == 1 && 2 * s.kernel_h * div_up(bytes, Elements) <=
                                              3 * div_up(s.products, Elements);
  return worth ? Runs{s.kernel_h, bytes} : one_run(s);
}

// Channels, rounded up to whole registers, and steps of a pixel's products, each a lane long.
template <class Product>
int64_t padded_outputs(const PixelConvShape& s) {
  return div_up(s.outputs, Product::kLanes) * Product::kLanes;
}
template <class Product>
int64_t steps(const PixelConvShape& s) {
  const Runs runs = Product::runs(s);
  return runs.count * div_up(runs.bytes, Product::kElements);
}

template <class Product>
int64_t weight_bytes(const PixelConvShape& s) {
  constexpr int64_t kLaneBytes = Product::kElements * int64_t{sizeof(typename Product::Weight)};
  return padded_outputs<Product>(s) * steps<Product>(s) * kLaneBytes;
}

// [block][step][lane of the block][element], zero where unused.
template <class Product>
void pack_weights(const PixelConvShape& s, const int8_t* w, void* packed) {
  using Weight = typename Product::Weight;
  constexpr int64_t kElements = Product::kElements;
  auto* to = static_cast<Weight*>(packed);
  const Runs runs = Product::runs(s);
  const int64_t per_run = div_up(runs.bytes, kElements);
  const int64_t outputs = padded_outputs<Product>(s);
  for (int64_t first = 0; first < outputs; first += kBlock) {
    const int64_t end = min(first + kBlock, outputs);
    for (int64_t step = 0; step < steps<Product>(s); ++step) {
      const int64_t run = step / per_run, k = step % per_run * kElements;
      for (int64_t o = first; o < end; ++o) {
        for (int64_t element = k; element < k + kElements; ++element) {
          const bool used = o < s.outputs && element < runs.bytes;
          const int64_t at = o * s.products + run * runs.bytes + element;
          *to++ = used ? static_cast<Weight>(w[at]) : Weight{0};
        }
      }
    }
  }
}

}  // namespace sbn::pixels
