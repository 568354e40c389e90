// Weights and rows of pixels as vector kernels multiply them: `Elements` neighbouring
// products share a 32-bit lane, and the lanes of a register are output channels.
#pragma once

#include <stdint.h>

#include "base/bits.h"
#include "kernels/pixel_conv/pixel_conv.h"

namespace sbn::pixels {

// Channels of one word of packed bits: a block.
constexpr int64_t kBlock = 64;

// Lanes of channels in use, and products, rounded up.
template <int64_t Lanes>
int64_t padded_outputs(const PixelConvShape& s) {
  return div_up(s.outputs, Lanes) * Lanes;
}
template <int64_t Elements>
int64_t steps(const PixelConvShape& s) {
  return div_up(s.products, Elements);
}

template <int64_t Lanes, int64_t Elements>
int64_t weight_bytes(const PixelConvShape& s) {
  return padded_outputs<Lanes>(s) * steps<Elements>(s) * 4;
}

// [block][step][lane of the block][element], elements of Weight, zero where unused.
template <class Weight, int64_t Lanes, int64_t Elements>
void pack_weights(const PixelConvShape& s, const int8_t* w, void* packed) {
  static_assert(sizeof(Weight) * Elements == 4, "the elements of a lane");
  auto* to = static_cast<Weight*>(packed);
  const int64_t outputs = padded_outputs<Lanes>(s);
  for (int64_t first = 0; first < outputs; first += kBlock) {
    const int64_t end = min(first + kBlock, outputs);
    for (int64_t k = 0; k < steps<Elements>(s) * Elements; k += Elements) {
      for (int64_t o = first; o < end; ++o) {
        for (int64_t element = k; element < k + Elements; ++element) {
          const bool used = o < s.outputs && element < s.products;
          *to++ = used ? static_cast<Weight>(w[o * s.products + element]) : Weight{0};
        }
      }
    }
  }
}

// Pixels whose rows are gathered before they are multiplied.
constexpr int64_t kRows = 16;
constexpr int64_t kMaxSteps = (kMaxPixelProducts + 1) / 2 + 8;

}  // namespace sbn::pixels
