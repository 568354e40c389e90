// Four rows share the weights that they load; a row alone is bound by the bandwidth
// of the cache that the weights come from.
#include "kernels/product/avx512.h"

#include "kernels/product/lanes.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using avx512::kBlock;
using avx512::kHalfBlock;
using avx512::kPixels;

int64_t weight_bytes(const DenseShape& s) {
  return lanes_in_group<avx512::Layout>(s.outputs) * s.words * 8;
}

void pack_weights(const DenseShape& s, const uint64_t* w, void* packed) {
  pack_lanes<avx512::Layout>(w, 1, s.outputs, s.words, packed);
}

int64_t offset_bytes(const DenseShape& s) { return avx512::offset_bytes(s.outputs); }

void pack_offsets(const DenseShape& s, const int32_t* offsets, void* packed) {
  avx512::pack_offsets(s.outputs, offsets, packed);
}

template <int Rows, int Registers, class Epilogue>
SBN_TARGET_AVX512 SBN_INLINE void run_tile(const DenseRun& run, int64_t row, int64_t channel,
                                           int64_t count, const Epilogue& epilogue) {
  const DenseShape& s = *run.shape;
  const uint64_t* x[Rows];
  SBN_UNROLL
  for (int r = 0; r < Rows; ++r) x[r] = run.x + (row + r) * s.words;
  avx512::Tile<Rows, Registers> tile;
  avx512::clear<Rows, Registers>(tile);
  const uint64_t* w = static_cast<const uint64_t*>(run.weights) + channel * s.words;
  avx512::accumulate<Rows, Registers>(tile, x, 0, w, s.words);
  const int32_t* offsets[Rows];
  SBN_UNROLL
  for (int r = 0; r < Rows; ++r) offsets[r] = static_cast<const int32_t*>(run.offsets) + channel;
  epilogue(tile, offsets, row, channel, count);
}

template <int Registers, class Epilogue>
SBN_TARGET_AVX512 SBN_INLINE void run_block(const DenseRun& run, int64_t channel, int64_t count,
                                            Range rows, const Epilogue& epilogue) {
  int64_t row = rows.begin;
  for (; row + kPixels <= rows.end; row += kPixels) {
    run_tile<kPixels, Registers>(run, row, channel, count, epilogue);
  }
  for (; row < rows.end; ++row) run_tile<1, Registers>(run, row, channel, count, epilogue);
}

template <class Epilogue>
SBN_TARGET_AVX512 SBN_INLINE void run_blocks(const DenseRun& run, Range blocks, Range rows,
                                             const Epilogue& epilogue) {
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const int64_t channel = index * kBlock;
    const int64_t count = min(kBlock, run.shape->outputs - channel);
    if (count > kHalfBlock) {
      run_block<4>(run, channel, count, rows, epilogue);
    } else {
      run_block<2>(run, channel, count, rows, epilogue);
    }
  }
}

SBN_TARGET_AVX512 void run_threshold(const DenseRun& run, Range blocks, Range rows) {
  run_blocks(run, blocks, rows, avx512::Threshold{run.output});
}

SBN_TARGET_AVX512 void run_float(const DenseRun& run, Range blocks, Range rows) {
  run_blocks(run, blocks, rows, avx512::Float{run.output});
}

constexpr DenseKernel kernel(void (*run)(const DenseRun&, Range, Range)) {
  return {avx512::kMaxProducts, kBlock, weight_bytes, pack_weights, offset_bytes, pack_offsets,
          run};
}

}  // namespace

const DenseKernel dense_threshold_avx512 = kernel(run_threshold);
const DenseKernel dense_float_avx512 = kernel(run_float);

}  // namespace sbn
