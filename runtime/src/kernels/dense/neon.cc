// Three rows share the weights that they load; a row alone is bound by the bandwidth of
// the cache that the weights come from.
#include "kernels/product/neon.h"

#include "kernels/product/lanes.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using neon::kBlock;
using neon::kPixels;

int64_t weight_bytes(const DenseShape& s) {
  return div_up(s.outputs, kBlock) * kBlock * s.words * 8;
}

void pack_weights(const DenseShape& s, const uint64_t* w, void* packed) {
  pack_lanes<neon::Layout>(w, 1, s.outputs, s.words, packed);
}

template <class Epilogue>
int64_t offset_bytes(const DenseShape& s) {
  return neon::offset_bytes<typename Epilogue::Offset>(s.outputs);
}

template <class Epilogue>
void pack_offsets(const DenseShape& s, const int32_t* offsets, void* packed) {
  neon::pack_offsets<typename Epilogue::Offset>(s.outputs, offsets, packed);
}

// Words of a few rows, each twice, as the product wants them.
template <int Rows>
struct Doubled {
  alignas(16) uint64_t words[Rows][2 * neon::kStepsPerFlush];

  SBN_INLINE void fill(const DenseRun& run, int64_t row, int64_t first, int64_t length) {
    SBN_UNROLL
    for (int r = 0; r < Rows; ++r) {
      const uint64_t* from = run.x + (row + r) * run.shape->words + first;
      for (int64_t i = 0; i < length; ++i) {
        store(words[r] + 2 * i, vdupq_n_u64(load<uint64_t>(from + i)));
      }
    }
  }
};

// Blocks that a copy of doubled words serves.
constexpr int64_t kBlocks = 8;

// The product of `blocks` <= kBlocks blocks with rows [row, row + Rows).
template <int Rows, class Epilogue>
SBN_INLINE void run_tiles(const DenseRun& run, Range blocks, int64_t row,
                          const Epilogue& epilogue) {
  const DenseShape& s = *run.shape;
  const int64_t count = blocks.end - blocks.begin;
  uint16x8_t mismatches[kBlocks][Rows];
  for (int64_t b = 0; b < count; ++b) {
    SBN_UNROLL
    for (int r = 0; r < Rows; ++r) mismatches[b][r] = vdupq_n_u16(0);
  }
  Doubled<Rows> doubled;
  const char* x[Rows];
  SBN_UNROLL
  for (int r = 0; r < Rows; ++r) x[r] = reinterpret_cast<const char*>(doubled.words[r]);
  for (int64_t first = 0; first < s.words; first += neon::kStepsPerFlush) {
    const int64_t length = min(s.words - first, neon::kStepsPerFlush);
    doubled.fill(run, row, first, length);
    for (int64_t b = 0; b < count; ++b) {
      const uint64_t* w = static_cast<const uint64_t*>(run.weights) +
                          ((blocks.begin + b) * s.words + first) * kBlock;
      neon::Tile<Rows> tile;
      neon::clear<Rows>(tile);
      neon::accumulate<Rows>(tile, x, 0, w, length);
      neon::flush<Rows>(tile, mismatches[b]);
    }
  }
  const auto* offsets = static_cast<const typename Epilogue::Offset*>(run.offsets);
  for (int64_t b = 0; b < count; ++b) {
    const int64_t channel = (blocks.begin + b) * kBlock;
    SBN_UNROLL
    for (int r = 0; r < Rows; ++r) {
      neon::finish_block(epilogue, mismatches[b][r], offsets + channel, row + r, channel,
                         min(kBlock, s.outputs - channel));
    }
  }
}

template <class Epilogue>
void run(const DenseRun& run, Range blocks, Range rows) {
  const Epilogue epilogue = {run.output};
  for (int64_t first = blocks.begin; first < blocks.end; first += kBlocks) {
    const Range some = {first, min(first + kBlocks, blocks.end)};
    int64_t row = rows.begin;
    for (; row + kPixels <= rows.end; row += kPixels) run_tiles<kPixels>(run, some, row, epilogue);
    for (; row < rows.end; ++row) run_tiles<1>(run, some, row, epilogue);
  }
}

template <class Epilogue>
constexpr DenseKernel kernel() {
  return {neon::kMaxProducts,     kBlock,       weight_bytes, pack_weights, offset_bytes<Epilogue>,
          pack_offsets<Epilogue>, run<Epilogue>};
}

}  // namespace

const DenseKernel dense_threshold_neon = kernel<neon::Threshold>();
const DenseKernel dense_scale_neon = kernel<neon::Float<Finish::kScale>>();
const DenseKernel dense_scale_clamp_neon = kernel<neon::Float<Finish::kClamp>>();
const DenseKernel dense_scale_prelu_neon = kernel<neon::Float<Finish::kPRelu>>();
const DenseKernel dense_quantize_neon = kernel<neon::Float<Finish::kQuantize>>();
const DenseKernel dense_residual_neon = kernel<neon::Float<Finish::kResidual>>();

}  // namespace sbn
