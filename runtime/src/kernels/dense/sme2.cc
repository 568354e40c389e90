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

template <class Epilogue>
void run_blocks(const DenseRun& run, Range blocks, Range rows) {
  const DenseShape& s = *run.shape;
  const Epilogue epilogue = {run.output};
  alignas(64) typename Epilogue::Result results[Epilogue::kRoom];
  alignas(64) uint32_t planes[kMaxBits / 32 * kPositions];
  sme2::Offsets offsets = {};
  offsets.count = 1;

  sme2::Product product = {};
  product.words = 2 * s.words;
  product.down = product.across = {1, 0, 1, 0, 0};
  product.room = kPositions;
  product.offsets = &offsets;
  product.result = results;
  for (int64_t row = rows.begin; row < rows.end; row += kPositions) {
    const uint64_t* x = run.x + row * s.words;
    product.positions = min(rows.end - row, kPositions);
    product.x = reinterpret_cast<const uint32_t*>(x);
    product.plane = 1;
    if (product.positions > 1) {
      sme2::to_planes(x, s.words, product.positions, product.words, planes, kPositions);
      product.x = planes;
      product.plane = kPositions;
    }
    for (int64_t first = blocks.begin; first < blocks.end;) {
      const int64_t count = min(blocks.end - first, Epilogue::kRoom / kPositions);
      product.channels = count * kChannels;
      product.w = static_cast<const uint32_t*>(run.weights) + first * kChannels * product.words;
      offsets.rows[0] = static_cast<const int32_t*>(run.offsets) + first * kChannels;
      sme2::stream(Epilogue::kFunction, product);
      for (int64_t i = 0; i < count; ++i, ++first) {
        const int64_t channel = first * kChannels;
        for (int64_t at = 0; at < product.positions; ++at) {
          epilogue(results + i * kPositions, kPositions, at,
                   static_cast<const int32_t*>(run.offsets) + channel, row + at, channel,
                   min(s.outputs - channel, kChannels));
        }
      }
    }
  }
}

void run_float(const DenseRun& run, Range blocks, Range rows) {
  if (run.output.straight && run.shape->outputs % sme2::kGroup == 0) {
    return run_blocks<sme2::Float<true>>(run, blocks, rows);
  }
  run_blocks<sme2::Float<false>>(run, blocks, rows);
}

constexpr DenseKernel kernel(void (*run)(const DenseRun&, Range, Range)) {
  return {kMaxBits, kChannels, weight_bytes, pack_weights, offset_bytes, pack_offsets, run};
}

}  // namespace

const DenseKernel dense_threshold_sme2 = kernel(run_blocks<sme2::Threshold>);
const DenseKernel dense_float_sme2 = kernel(run_float);

}  // namespace sbn
