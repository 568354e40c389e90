// Positions are rows. A row alone serves as it lies there: its words are planes of one position.
#include "kernels/product/sme2.h"

#include "kernels/registry.h"

namespace sbn {
namespace {

using sme2::kChannels;
using sme2::kPositions;

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
  return s.outputs >= sme2::kGroup && s.outputs * s.words >= 1024;
}

template <class Epilogue>
void run_blocks(const DenseRun& run, Range blocks, Range rows) {
  const DenseShape& s = *run.shape;
  const Epilogue epilogue = {run.output};
  alignas(64) typename Epilogue::Result results[Epilogue::kRoom];
  alignas(64) uint32_t planes[kMaxBits / 32 * kPositions];
  int64_t steps[kMaxBits / 64];
  sme2::Offsets offsets = {};
  offsets.rows[0] = static_cast<const int32_t*>(run.offsets);
  offsets.count = 1;

  sme2::Product product = {};
  product.words = 2;
  product.steps = steps;
  product.count = s.words;
  product.room = kPositions;
  product.offsets = &offsets;
  product.result = results;
  for (int64_t row = rows.begin; row < rows.end; row += kPositions) {
    const uint64_t* x = run.x + row * s.words;
    product.positions = min(rows.end - row, kPositions);
    product.x = reinterpret_cast<const uint32_t*>(x);
    product.plane = 1;
    if (product.positions > 1) {
      sme2::to_planes(x, s.words, product.positions, 2 * s.words, planes, kPositions);
      product.x = planes;
      product.plane = kPositions;
    }
    for (int64_t i = 0; i < s.words; ++i) steps[i] = 2 * i * product.plane;
    for (int64_t first = blocks.begin; first < blocks.end;) {
      const int64_t count = min(blocks.end - first, Epilogue::kRoom / kPositions);
      product.channels = count * kChannels;
      product.w = static_cast<const uint32_t*>(run.weights) + first * kChannels * 2 * s.words;
      product.channel = first * kChannels;
      sme2::stream(Epilogue::kFunction, product);
      for (int64_t i = 0; i < count; ++i, ++first) {
        const int64_t channel = first * kChannels;
        epilogue(
            Epilogue::at(results + i * kPositions, 0), kPositions, product.positions,
            [&](int64_t) { return static_cast<const int32_t*>(run.offsets) + channel; }, row,
            channel, min(s.outputs - channel, kChannels));
      }
    }
  }
}

void run_float(const DenseRun& run, Range blocks, Range rows) {
  if (run.output.straight && run.shape->outputs % sme2::kGroup == 0) {
    return run_blocks<sme2::StraightFloat<sme2::Signs>>(run, blocks, rows);
  }
  run_blocks<sme2::Float<sme2::Signs>>(run, blocks, rows);
}

constexpr DenseKernel kernel(void (*run)(const DenseRun&, Range, Range)) {
  return {kMaxBits, kChannels, weight_bytes, pack_weights, offset_bytes, pack_offsets, run,
          gains};
}

}  // namespace

const DenseKernel dense_threshold_sme2 = kernel(run_blocks<sme2::Threshold<sme2::Signs>>);
const DenseKernel dense_float_sme2 = kernel(run_float);

}  // namespace sbn
