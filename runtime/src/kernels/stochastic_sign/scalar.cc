#include "base/bits.h"
#include "kernels/registry.h"
#include "kernels/stochastic_sign/threefry.h"

namespace sbn {
namespace {

// See threefry.h.
SBN_INLINE uint32_t add(uint32_t a, uint32_t b) { return a + b; }
SBN_INLINE uint32_t add_word(uint32_t a, uint32_t word) { return a + word; }
SBN_INLINE uint32_t xor_word(uint32_t a, uint32_t word) { return a ^ word; }
template <int count>
SBN_INLINE uint32_t mix(uint32_t a, uint32_t b) {
  return (a << count | a >> (32 - count)) ^ b;
}

void random(const RandomKey& key, uint32_t pair, uint32_t group, int64_t channels,
            RandomBlock* block) {
  const ThreefryStart start(key, pair, group);
  for (int64_t channel = 0; channel < channels; channel += 2) {
    uint32_t x[4];
    SBN_THREEFRY(x, key, start, static_cast<uint32_t>(channel / 2))
    for (int64_t pixel = 0; pixel < kRandomPixels; ++pixel) {
      block->values[pixel][channel] = static_cast<uint16_t>(x[pixel]);
      block->values[pixel][channel + 1] = static_cast<uint16_t>(x[pixel] >> 16);
    }
  }
}

SBN_INLINE bool negative_sign(const SignTable& table, int32_t x, int32_t random) {
  const int32_t size = x < 0 ? -x : x;
  const int32_t k = size < 32767 ? size : 32767;
  const int32_t p = table.start[k >> 9] + (table.rise[k >> 9] * (k & 511) >> 9);
  return random >= (x < 0 ? 65535 - p : p);
}

void draw(const SignTable& table, const RandomBlock& random_block, const SignBlock& block) {
  for (int64_t image = 0; image < block.images; ++image) {
    for (int64_t pixel = 0; pixel < block.pixels; ++pixel) {
      const int16_t* x = block.x + image * block.image_values + pixel * block.pixel_values;
      uint64_t word = 0;
      for (int64_t i = 0; i < block.channels; ++i) {
        const bool negative =
            negative_sign(table, load<int16_t>(x + i), random_block.values[pixel][i]);
        word |= uint64_t{negative} << i;
      }
      store(block.y + image * block.image_words + pixel * block.pixel_words, word);
    }
  }
}

}  // namespace

const StochasticSignKernel stochastic_sign_scalar = {random, draw};

}  // namespace sbn
