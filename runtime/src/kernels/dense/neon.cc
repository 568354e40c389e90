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

// The lanes of a register are a word apart, so that the words of a row serve as they lie
// there, two at a time. In the first step these are the last word and the first one.
struct Apart {
  static constexpr int64_t word(int64_t lane, int64_t step, int64_t steps) {
    return lane % 2 ? step : (step + steps - 1) % steps;
  }
};

int64_t weight_bytes(const DenseShape& s) {
  return lanes_in_group<Layout>(s.outputs) * s.words * 8;
}

void pack_weights(const DenseShape& s, const uint64_t* w, void* packed) {
  pack_lanes<Layout, Apart>(w, 1, s.outputs, s.words, packed);
}

template <class Epilogue>
int64_t offset_bytes(const DenseShape& s) {
  return neon::offset_bytes<typename Epilogue::Offset>(s.outputs);
}

template <class Epilogue>
void pack_offsets(const DenseShape& s, const int32_t* offsets, void* packed) {
  neon::pack_offsets<typename Epilogue::Offset>(s.outputs, offsets, packed);
}

template <int Rows, int Registers>
struct Mismatches {
  uint16x8_t eights[Rows][Registers / kRegisters];
};

// Rows [row, row + Rows) by the channels of `Registers` from `channel` on, in a block that
// begins at `first_channel`. A function of its own, so that no epilogue takes registers from it.
template <int Rows, int Registers>
__attribute__((noinline)) Mismatches<Rows, Registers> multiply(const DenseRun& run,
                                                               int64_t first_channel,
                                                               int64_t channel, int64_t row) {
  const DenseShape& s = *run.shape;
  // A row alone takes all channels of its block.
  const int64_t stride = Rows == 1 ? 2 * Registers : Layout::lanes(s.outputs - first_channel);
  const uint64_t* w = static_cast<const uint64_t*>(run.weights) + first_channel * s.words +
                      channel - first_channel;
  const char* x[Rows];
  uint8x16_t ends[Rows];
  SBN_UNROLL
  for (int r = 0; r < Rows; ++r) {
    const uint64_t* words = run.x + (row + r) * s.words;
    x[r] = reinterpret_cast<const char*>(words);
    ends[r] = vreinterpretq_u8_u64(
        vcombine_u64(load<uint64x1_t>(words + s.words - 1), load<uint64x1_t>(words)));
  }
  Mismatches<Rows, Registers> mismatches = {};
  neon::Tile<Rows, Registers> tile;
  neon::count<Rows, Registers>(tile, ends, w);
  w += stride;
  int64_t room = neon::kStepsPerFlush - 1;
  for (int64_t left = s.words - 1;;) {
    const int64_t length = min(left, room);
    w = neon::accumulate<8, Rows, Registers>(tile, x, 0, w, stride, length);
    neon::flush<Rows, Registers>(tile, mismatches.eights);
    left -= length;
    if (left == 0) return mismatches;
    SBN_UNROLL
    for (int r = 0; r < Rows; ++r) x[r] += 8 * length;
    room = neon::kStepsPerFlush;
  }
}

template <int Rows, int Registers, class Epilogue>
SBN_INLINE void run_tile(const DenseRun& run, int64_t first_channel, int64_t channel, int64_t row,
                         const Epilogue& epilogue) {
  const auto mismatches = multiply<Rows, Registers>(run, first_channel, channel, row);
  SBN_ROLL
  for (int i = 0; i < Registers / kRegisters; ++i) {
    const int64_t from = channel + i * neon::kBlock;
    const auto* offsets = static_cast<const typename Epilogue::Offset*>(run.offsets) + from;
    SBN_ROLL
    for (int r = 0; r < Rows; ++r) {
      neon::finish_block(epilogue, mismatches.eights[r][i], offsets, row + r, from,
                         min(neon::kBlock, run.shape->outputs - from));
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
const DenseKernel dense_float_neon = kernel<neon::Float<false>>();

}  // namespace sbn
