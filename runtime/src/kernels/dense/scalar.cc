#include "kernels/product/scalar.h"

#include "kernels/product/lanes.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using scalar::kLanes;

int64_t weight_bytes(const DenseShape& s) {
  return div_up(s.outputs, kLanes) * kLanes * s.words * 8;
}

void pack_weights(const DenseShape& s, const uint64_t* w, void* packed) {
  pack_lanes<scalar::Layout>(w, 1, s.outputs, s.words, packed);
}

int64_t offset_bytes(const DenseShape& s) { return scalar::offset_bytes(s.outputs); }

void pack_offsets(const DenseShape& s, const int32_t* offsets, void* packed) {
  scalar::pack_offsets(s.outputs, offsets, packed);
}

template <class Count, class Epilogue>
SBN_INLINE void run_blocks(const DenseRun& run, Range blocks, Range rows, Epilogue epilogue) {
  const DenseShape& s = *run.shape;
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const int64_t channel = index * kLanes;
    const int64_t count = min(kLanes, s.outputs - channel);
    const uint64_t* weights = static_cast<const uint64_t*>(run.weights) + channel * s.words;
    const int32_t* offsets = static_cast<const int32_t*>(run.offsets) + channel;
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      int64_t mismatches[kLanes] = {};
      scalar::accumulate<Count>(mismatches, run.x + row * s.words, weights, s.words);
      epilogue(mismatches, offsets, row, channel, count);
    }
  }
}

template <class Count>
SBN_INLINE void run_threshold(const DenseRun& run, Range blocks, Range rows) {
  run_blocks<Count>(run, blocks, rows,
                    scalar::Threshold{static_cast<uint64_t*>(run.y), run.shape->output_words,
                                      false});
}

template <class Count>
SBN_INLINE void run_scale(const DenseRun& run, Range blocks, Range rows) {
  run_blocks<Count>(run, blocks, rows,
                    scalar::Scale{static_cast<float*>(run.y), run.shape->outputs, run.scale,
                                  run.bias});
}

constexpr DenseKernel kernel(void (*run)(const DenseRun&, Range, Range)) {
  return {kMaxProducts, kLanes, weight_bytes, pack_weights, offset_bytes, pack_offsets, run};
}

void threshold_portable(const DenseRun& run, Range blocks, Range rows) {
  run_threshold<scalar::Portable>(run, blocks, rows);
}
void scale_portable(const DenseRun& run, Range blocks, Range rows) {
  run_scale<scalar::Portable>(run, blocks, rows);
}
#if SBN_X86
SBN_TARGET_POPCNT void threshold_popcnt(const DenseRun& run, Range blocks, Range rows) {
  run_threshold<scalar::Instruction>(run, blocks, rows);
}
SBN_TARGET_POPCNT void scale_popcnt(const DenseRun& run, Range blocks, Range rows) {
  run_scale<scalar::Instruction>(run, blocks, rows);
}
#endif

}  // namespace

const DenseKernel dense_threshold_scalar = kernel(threshold_portable);
const DenseKernel dense_scale_scalar = kernel(scale_portable);
#if SBN_X86
const DenseKernel dense_threshold_popcnt = kernel(threshold_popcnt);
const DenseKernel dense_scale_popcnt = kernel(scale_popcnt);
#endif

}  // namespace sbn
