// Weights and rows of pixels as vector kernels multiply them: `Elements` neighbouring
// products share a 32-bit lane, and the lanes of a register are output channels.
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

// Lanes of channels in use, and products, rounded up.
template <int64_t Lanes>
int64_t padded_outputs(const PixelConvShape& s) {
  return div_up(s.outputs, Lanes) * Lanes;
}
template <int64_t Elements>
int64_t steps(const Runs& runs) {
  return runs.count * div_up(runs.bytes, Elements);
}

template <int64_t Lanes, int64_t Elements, Runs (*RunsOf)(const PixelConvShape&)>
int64_t weight_bytes(const PixelConvShape& s) {
  return padded_outputs<Lanes>(s) * steps<Elements>(RunsOf(s)) * 4;
}

// [block][step][lane of the block][element], elements of Weight, zero where unused.
template <class Weight, int64_t Lanes, int64_t Elements,
          Runs (*RunsOf)(const PixelConvShape&)>
void pack_weights(const PixelConvShape& s, const int8_t* w, void* packed) {
  static_assert(sizeof(Weight) * Elements == 4, "the elements of a lane");
  auto* to = static_cast<Weight*>(packed);
  const Runs runs = RunsOf(s);
  const int64_t per_run = div_up(runs.bytes, Elements);
  const int64_t outputs = padded_outputs<Lanes>(s);
  for (int64_t first = 0; first < outputs; first += kBlock) {
    const int64_t end = min(first + kBlock, outputs);
    for (int64_t step = 0; step < steps<Elements>(runs); ++step) {
      const int64_t run = step / per_run, k = step % per_run * Elements;
      for (int64_t o = first; o < end; ++o) {
        for (int64_t element = k; element < k + Elements; ++element) {
          const bool used = o < s.outputs && element < runs.bytes;
          const int64_t at = o * s.products + run * runs.bytes + element;
          *to++ = used ? static_cast<Weight>(w[at]) : Weight{0};
        }
      }
    }
  }
}

}  // namespace sbn::pixels
