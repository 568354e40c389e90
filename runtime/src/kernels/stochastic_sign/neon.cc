// Four pairs of channels a register: the four words of Threefry are the random numbers of
// eight channels of four pixels, in order. A look-up in four registers takes all 64
// entries of a table of bytes.
#include "base/neon.h"
#include "kernels/registry.h"
#include "kernels/stochastic_sign/threefry.h"

namespace sbn {
namespace {

constexpr int64_t kLanes = 8;

#define SBN_ROTATE(a, count) vsriq_n_u32(vshlq_n_u32(a, count), a, 32 - (count))
SBN_THREEFRY_WORDS(, uint32x4_t, vaddq_u32, veorq_u32, SBN_ROTATE, vdupq_n_u32)
#undef SBN_ROTATE

// Makes the numbers of 32 channels at a time, some of them for none.
void random(const RandomKey& key, uint32_t pair, uint32_t group, int64_t channels,
            RandomBlock* block) {
  constexpr int kRegisters = 4;
  const ThreefryStart start(key, pair, group);
  const uint32x4_t lanes = {0, 1, 2, 3};
  for (int64_t channel = 0; channel < channels; channel += kRegisters * kLanes) {
    Words<kRegisters> pairs, x[4];
    SBN_UNROLL
    for (int r = 0; r < kRegisters; ++r) {
      const auto first = static_cast<uint32_t>((channel + r * kLanes) / 2);
      pairs.r[r] = vaddq_u32(lanes, vdupq_n_u32(first));
    }
    SBN_THREEFRY(x, key, start, pairs)
    SBN_UNROLL
    for (int i = 0; i < 4; ++i) {
      SBN_UNROLL
      for (int r = 0; r < kRegisters; ++r) {
        store(block->values[i] + channel + r * kLanes, x[i].r[r]);
      }
    }
  }
}

// Bits of 16 channels.
SBN_INLINE uint32_t signs(const uint8x16x4_t (&planes)[4], const int16_t* x,
                          const uint16_t* random) {
  uint16x8_t sign[2], k[2];
  SBN_UNROLL
  for (int i = 0; i < 2; ++i) {
    const auto some = load<int16x8_t>(x + i * kLanes);
    sign[i] = vcltzq_s16(some);
    k[i] = vreinterpretq_u16_s16(vqabsq_s16(some));  // but 32767 of -32768
  }
  const uint8x16_t index = vuzp1q_u8(vreinterpretq_u8_u16(vshrq_n_u16(k[0], 9)),
                                     vreinterpretq_u8_u16(vshrq_n_u16(k[1], 9)));
  const uint8x16_t start_low = vqtbl4q_u8(planes[0], index);
  const uint8x16_t start_high = vqtbl4q_u8(planes[1], index);
  const uint8x16_t rise_low = vqtbl4q_u8(planes[2], index);
  const uint8x16_t rise_high = vqtbl4q_u8(planes[3], index);
  const uint16x8_t start[] = {vreinterpretq_u16_u8(vzip1q_u8(start_low, start_high)),
                              vreinterpretq_u16_u8(vzip2q_u8(start_low, start_high))};
  const uint16x8_t rise[] = {vreinterpretq_u16_u8(vzip1q_u8(rise_low, rise_high)),
                             vreinterpretq_u16_u8(vzip2q_u8(rise_low, rise_high))};
  uint16x8_t negative[2];
  SBN_UNROLL
  for (int i = 0; i < 2; ++i) {
    const uint16x8_t j = vandq_u16(k[i], vdupq_n_u16(511));
    const uint32x4_t low = vmull_u16(vget_low_u16(rise[i]), vget_low_u16(j));
    const uint16x8_t part = vshrn_high_n_u32(vshrn_n_u32(low, 9), vmull_high_u16(rise[i], j), 9);
    const uint16x8_t limit = veorq_u16(vaddq_u16(start[i], part), sign[i]);
    negative[i] = vcgeq_u16(load<uint16x8_t>(random + i * kLanes), limit);
  }
  return neon::bits_of(neon::narrow(negative[0], negative[1]));
}

void draw(const SignTable& table, const RandomBlock& random_block, const SignBlock& block) {
  const SignBlock b = block;  // which the words written cannot change
  uint8x16x4_t planes[4];
  SBN_UNROLL
  for (int i = 0; i < 4; ++i) planes[i] = vld1q_u8_x4(table.planes[i]);
  const uint64_t used = low_bits(b.channels);
  for (int64_t image = 0; image < b.images; ++image) {
    const int16_t* x = b.x + image * b.image_values;
    uint64_t* y = b.y + image * b.image_words;
    for (int64_t pixel = 0; pixel < b.pixels; ++pixel) {
      const int16_t* from = x;
      int16_t copy[kRandomChannels];
      if (b.channels < kRandomChannels) {
        for (int64_t i = 0; i < b.channels; ++i) copy[i] = load<int16_t>(x + i);
        from = copy;
      }
      uint64_t word = 0;
      for (int64_t i = 0; i < b.channels; i += 2 * kLanes) {
        word |= uint64_t{signs(planes, from + i, random_block.values[pixel] + i)} << i;
      }
      store(y, word & used);
      x += b.pixel_values, y += b.pixel_words;
    }
  }
}

}  // namespace

const StochasticSignKernel stochastic_sign_neon = {random, draw};

}  // namespace sbn
