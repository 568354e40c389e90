// The index is the padded input with every word twice, as the product wants it.
#include "kernels/product/neon.h"

#include "kernels/conv/cursor.h"
#include "kernels/product/lanes.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using neon::kBlock;
using neon::kPixels;
using neon::kRegisters;

struct Layout {
  static constexpr int64_t kLanes = kBlock;
  static constexpr int64_t lanes(int64_t) { return kLanes; }
  static constexpr int64_t channel(int64_t lane) { return lane; }
};

int64_t weight_bytes(const ConvShape& s) {
  return conv_blocks(s, kBlock) * kBlock * conv_steps(s) * 8;
}

void pack_weights(const ConvShape& s, const uint64_t* w, void* packed) {
  pack_lanes<Layout>(w, s.groups, s.group_outputs, conv_steps(s), packed);
}

template <class Epilogue>
int64_t offset_bytes(const ConvShape& s) {
  return neon::offset_bytes<typename Epilogue::Offset>(s.outputs);
}

template <class Epilogue>
void pack_offsets(const ConvShape& s, const int32_t* offsets, void* packed) {
  neon::pack_offsets<typename Epilogue::Offset>(s.outputs, offsets, packed);
}

int64_t row_words(const ConvShape& s) { return s.padded_w * s.groups * s.group_words; }

int64_t index_bytes(const ConvShape& s) { return row_words(s) * 16; }

void build_index(const ConvShape& s, const uint64_t* padded_row, int64_t row, void* index) {
  char* to = static_cast<char*>(index) + row * index_bytes(s);
  for (int64_t i = 0; i < row_words(s); ++i) {
    store(to + 16 * i, vdupq_n_u64(load<uint64_t>(padded_row + i)));
  }
}

int64_t units(const ConvShape& s) { return s.batch * s.out_h * s.out_w; }

// Pixels [pixel, pixel + Pixels) of one block.
template <int Pixels, class Epilogue>
SBN_INLINE void run_tile(const Taps& taps, PixelCursor& cursor, const ConvRun& run,
                         const uint64_t* w, const ConvBlock& block, int64_t pixel,
                         const Epilogue& epilogue) {
  const char* x[Pixels];
  const char* offsets[Pixels];
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    x[p] = static_cast<const char*>(run.index) + (cursor.input() - run.input) * 16;
    // Else gcc sums up what the pixels share in every step.
    __asm__("" : "+r"(x[p]));
    offsets[p] = cursor.offsets();
    cursor.next();
  }
  neon::Tile<Pixels, kRegisters> tile;
  neon::clear<Pixels, kRegisters>(tile);
  uint16x8_t mismatches[Pixels][1];
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) mismatches[p][0] = vdupq_n_u16(0);
  int64_t room = neon::kStepsPerFlush;
  for (int64_t i = 0; i < taps.rows; ++i) {
    for (int64_t j = 0; j < taps.columns; ++j) {
      int64_t at = i * taps.row_step + j * taps.column_step;
      for (int64_t left = taps.length; left > 0;) {
        const int64_t length = min(left, room);
        w = neon::accumulate<16, Pixels, kRegisters>(tile, x, at * 16, w, kBlock, length);
        at += length, left -= length, room -= length;
        if (room > 0) continue;
        neon::flush<Pixels, kRegisters>(tile, mismatches);
        room = neon::kStepsPerFlush;
      }
    }
  }
  neon::flush<Pixels, kRegisters>(tile, mismatches);
  SBN_ROLL
  for (int p = 0; p < Pixels; ++p) {
    const auto* from = reinterpret_cast<const typename Epilogue::Offset*>(offsets[p]);
    neon::finish_block(epilogue, mismatches[p][0], from + block.channel, pixel + p, block.channel,
                       block.count);
  }
}

template <class Epilogue>
void run_blocks(const ConvRun& run, Range blocks, Range pixels) {
  const ConvShape& s = *run.shape;
  const Epilogue epilogue = {run.output};
  const Taps taps(s);
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const ConvBlock block = conv_block(s, index, kBlock);
    const uint64_t* w = static_cast<const uint64_t*>(run.weights) + index * kBlock * conv_steps(s);
    PixelCursor cursor(run, pixels.begin, block.group);
    int64_t pixel = pixels.begin;
    for (; pixel + kPixels <= pixels.end; pixel += kPixels) {
      run_tile<kPixels>(taps, cursor, run, w, block, pixel, epilogue);
    }
    for (; pixel < pixels.end; ++pixel) {
      run_tile<1>(taps, cursor, run, w, block, pixel, epilogue);
    }
  }
}

void run_float(const ConvRun& run, Range blocks, Range pixels) {
  if (run.output.straight && run.shape->group_outputs % kBlock == 0) {
    return run_blocks<neon::Float<true>>(run, blocks, pixels);
  }
  run_blocks<neon::Float<false>>(run, blocks, pixels);
}

template <class Epilogue>
constexpr ConvKernel kernel(void (*run)(const ConvRun&, Range, Range)) {
  return {neon::kMaxProducts,
          kBlock,
          kBlock,
          weight_bytes,
          pack_weights,
          offset_bytes<Epilogue>,
          pack_offsets<Epilogue>,
          index_bytes,
          build_index,
          units,
          run};
}

}  // namespace

const ConvKernel conv_threshold_neon = kernel<neon::Threshold>(run_blocks<neon::Threshold>);
const ConvKernel conv_float_neon = kernel<neon::Float<false>>(run_float);

}  // namespace sbn
