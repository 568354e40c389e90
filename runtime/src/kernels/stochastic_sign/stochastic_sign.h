// StochasticSign: signs drawn from 16-bit integers. docs/operators.md says which bits.
//
// Random numbers come in groups of four pixels by a pair of channels, one call of
// Threefry4x32 each. They are the same for all images of a sample, so a kernel makes
// those of four pixels by 64 channels, and draws the signs of all images with them.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"
#include "kernels/parallel.h"

namespace sbn {

// The sign of x is +1 where the random number lies below p = start[i] + (rise[i] * j >> 9)
// or, for x < 0, below 65535 - p, with i = k >> 9 and j = k & 511 for k = min(|x|, 32767).
struct SignTable {
  static constexpr int64_t kSegments = 64;
  uint16_t start[kSegments];
  uint16_t rise[kSegments];
  // The same byte by byte: low and high bytes of start, then of rise.
  uint8_t planes[4][kSegments];

  // Reads int32 [2, 64]. Returns the segment where F leaves [1/2, 1) or falls, or -1.
  int64_t set(const int32_t* table);
};

// The key of a sample: what is added to the words of a counter after 4 n rounds.
struct RandomKey {
  uint32_t words[4][4];

  RandomKey(uint64_t seed, uint32_t layer, uint32_t sample);
};

constexpr int64_t kRandomPixels = 4;
constexpr int64_t kRandomChannels = 64;

// Four pixels by 64 channels; those that no channel or pixel uses may be anything.
struct RandomBlock {
  alignas(64) uint16_t values[kRandomPixels][kRandomChannels];
};

// The images of a sample, from some pixel and channel on.
struct SignBlock {
  const int16_t* x;
  uint64_t* y;
  int64_t images, pixels, channels;         // at most 4 pixels and 64 channels
  int64_t image_values, pixel_values;       // steps of x
  int64_t image_words, pixel_words;         // steps of y
};

struct StochasticSignKernel {
  // The random numbers of `channels` <= 64 from counter (pair, group, 0, 0) on.
  void (*random)(const RandomKey& key, uint32_t pair, uint32_t group, int64_t channels,
                 RandomBlock* block);
  // Writes one word of signs for each pixel of each image; unused bits are 0.
  void (*draw)(const SignTable& table, const RandomBlock& random, const SignBlock& block);
};

struct StochasticSignNode {
  const StochasticSignKernel* kernel;
  const SignTable* table;
  uint64_t seed;
  uint32_t layer, first_sample;
  int64_t samples;
  bool fan_out;                      // all samples draw from the same images
  int64_t images, pixels, channels;  // of a sample
};

void stochastic_sign_execute(const StochasticSignNode& node, const int16_t* x, uint64_t* y,
                             const Parallel& parallel);

}  // namespace sbn
