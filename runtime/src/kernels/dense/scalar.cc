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

template <class Epilogue>
void run_portable(const DenseRun& run, Range blocks, Range rows) {
  run_blocks<scalar::Portable>(run, blocks, rows, Epilogue{run.output});
}

constexpr DenseKernel kernel(void (*run)(const DenseRun&, Range, Range)) {
  return {kMaxProducts, kLanes, weight_bytes, pack_weights, offset_bytes, pack_offsets, run};
}

}  // namespace

const DenseKernel dense_threshold_scalar = kernel(run_portable<scalar::Threshold>);
const DenseKernel dense_float_scalar = kernel(run_portable<scalar::Float>);

#if SBN_X86
namespace {

template <class Epilogue>
SBN_TARGET_POPCNT void run_popcnt(const DenseRun& run, Range blocks, Range rows) {
  run_blocks<scalar::Instruction>(run, blocks, rows, Epilogue{run.output});
}

}  // namespace

const DenseKernel dense_threshold_popcnt = kernel(run_popcnt<scalar::Threshold>);
const DenseKernel dense_float_popcnt = kernel(run_popcnt<scalar::Float>);
#endif

}  // namespace sbn
