// Positions are rows. A row alone serves as it lies there: its words are planes of one position.
#include "kernels/product/sme2.h"

#include "kernels/registry.h"

namespace sbn::sme2 {
namespace {

// The planes of 16 rows lie on the stack.
constexpr int64_t kMaxBits = 8192;

int64_t weight_bytes(const DenseShape& s) {
  return sme2::weight_bytes(div_up(s.outputs, kChannels), 2 * s.words);
}

void pack_weights(const DenseShape& s, const uint64_t* w, void* packed) {
  sme2::pack_weights(w, 1, s.outputs, 1, 64 * s.words, packed);
}

int64_t offset_bytes(const DenseShape& s) { return sme2::offset_bytes(s.outputs); }

void pack_offsets(const DenseShape& s, const int32_t* offsets, void* packed) {
  sme2::pack_offsets(s.outputs, offsets, packed);
}

// A row alone uses one of 16 positions; what is smaller than this, NEON has done by the time that
// streaming mode is entered and left.
bool gains(const DenseShape& s) {
  return s.outputs >= kGroup && s.outputs * s.words >= 1024;
}

void run(const DenseRun& run, Range blocks, Range rows) {
  const DenseShape& s = *run.shape;
  Results results;
  alignas(64) uint32_t planes[kMaxBits / 32 * kPositions];
  int64_t steps[kMaxBits / 64];
  Offsets offsets = {};
  offsets.find(static_cast<const int32_t*>(run.offsets));
  static constexpr int64_t kSame[kPositions] = {};

  Product product = {};
  product.words = Words::signs;
  product.step_words = 2;
  product.steps = steps;
  product.count = s.words;
  product.block = 2 * s.words * kChannels;
  product.room = kPositions;
  product.offsets = ends_in_bits(run.output) ? &offsets : nullptr;
  product.result = results.data;
  for (int64_t row = rows.begin; row < rows.end; row += kPositions) {
    product.positions = min(rows.end - row, kPositions);
    product.x = reinterpret_cast<const uint32_t*>(run.x + row * s.words);
    product.plane = 1;
    if (product.positions > 1) {
      to_planes(product.x, 2 * s.words, product.positions, 2 * s.words, planes, kPositions);
      product.x = planes;
      product.plane = kPositions;
    }
    for (int64_t i = 0; i < s.words; ++i) steps[i] = 2 * i * product.plane;
    for (int64_t first = blocks.begin; first < blocks.end;) {
      const int64_t count = min(blocks.end - first, most_tiles(run.output));
      product.channels = count * kChannels;
      product.w = static_cast<const uint32_t*>(run.weights) + first * product.block;
      product.channel = first * kChannels;
      stream(product);
      Strip strip = {results, kPositions, 0, 0, product.positions, row};
      strip.next_offset = kSame;
      for (; strip.block < count; ++strip.block, ++first) {
        strip.channel = first * kChannels;
        strip.count = min(s.outputs - strip.channel, kChannels);
        strip.offsets = static_cast<const char*>(run.offsets) +
                        strip.channel * int64_t{sizeof(int32_t)};
        finish(run.output, strip);
      }
    }
  }
}

constexpr DenseKernel kKernel = {kMaxBits,     kChannels,    weight_bytes, pack_weights,
                                 offset_bytes, pack_offsets, run,          gains};

}  // namespace
}  // namespace sbn::sme2

namespace sbn {

const DenseKernel dense_threshold_sme2 = sme2::kKernel;
const DenseKernel dense_float_sme2 = sme2::kKernel;

}  // namespace sbn
