// Three rows share the weights of eight channels. A row alone is multiplied by 24 channels
// at a time, and is bound by the bandwidth of the cache that the weights come from.
#include "kernels/product/neon.h"

#include "kernels/product/lanes.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using neon::kPixels;
using neon::kRegisters;

constexpr int64_t kBlock = 24;

struct Layout {
  static constexpr int64_t kLanes = kBlock;
  static constexpr int64_t lanes(int64_t left) {
    return min(div_up(left, neon::kBlock) * neon::kBlock, kLanes);
  }
  static constexpr int64_t channel(int64_t lane) { return lane; }
};

int64_t weight_bytes(const DenseShape& s) {
  return lanes_in_group<Layout>(s.outputs) * s.words * 8;
}

void pack_weights(const DenseShape& s, const uint64_t* w, void* packed) {
  pack_lanes<Layout>(w, 1, s.outputs, s.words, packed);
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

// Rows [row, row + Rows) by the channels of `Registers` from `channel` on, in a block that
// begins at `first_channel`.
template <int Rows, int Registers, class Epilogue>
SBN_INLINE void run_tile(const DenseRun& run, int64_t first_channel, int64_t channel, int64_t row,
                         const Epilogue& epilogue) {
  constexpr int kEights = Registers / kRegisters;
  const DenseShape& s = *run.shape;
  const int64_t stride = Layout::lanes(s.outputs - first_channel);
  const uint64_t* w = static_cast<const uint64_t*>(run.weights) + first_channel * s.words +
                      channel - first_channel;
  Doubled<Rows> doubled;
  const char* x[Rows];
  uint16x8_t mismatches[Rows][kEights];
  SBN_UNROLL
  for (int r = 0; r < Rows; ++r) {
    x[r] = reinterpret_cast<const char*>(doubled.words[r]);
    SBN_UNROLL
    for (int i = 0; i < kEights; ++i) mismatches[r][i] = vdupq_n_u16(0);
  }
  for (int64_t first = 0; first < s.words; first += neon::kStepsPerFlush) {
    const int64_t length = min(s.words - first, neon::kStepsPerFlush);
    doubled.fill(run, row, first, length);
    neon::Tile<Rows, Registers> tile;
    neon::clear<Rows, Registers>(tile);
    w = neon::accumulate<Rows, Registers>(tile, x, 0, w, stride, length);
    neon::flush<Rows, Registers>(tile, mismatches);
  }
  SBN_UNROLL
  for (int i = 0; i < kEights; ++i) {
    const int64_t from = channel + i * neon::kBlock;
    const auto* offsets = static_cast<const typename Epilogue::Offset*>(run.offsets) + from;
    SBN_UNROLL
    for (int r = 0; r < Rows; ++r) {
      neon::finish_block(epilogue, mismatches[r][i], offsets, row + r, from,
                         min(neon::kBlock, s.outputs - from));
    }
  }
}

template <class Epilogue>
void run(const DenseRun& run, Range blocks, Range rows) {
  const Epilogue epilogue = {run.output};
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const int64_t first = index * kBlock;
    const int64_t end = first + Layout::lanes(run.shape->outputs - first);
    int64_t row = rows.begin;
    for (; row + kPixels <= rows.end; row += kPixels) {
      for (int64_t channel = first; channel < end; channel += neon::kBlock) {
        run_tile<kPixels, kRegisters>(run, first, channel, row, epilogue);
      }
    }
    for (; row < rows.end; ++row) {
      switch ((end - first) / neon::kBlock) {
        case 1: run_tile<1, kRegisters>(run, first, first, row, epilogue); break;
        case 2: run_tile<1, 2 * kRegisters>(run, first, first, row, epilogue); break;
        default: run_tile<1, 3 * kRegisters>(run, first, first, row, epilogue); break;
      }
    }
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
