#include "kernels/product/avx512.h"

#include "kernels/conv/cursor.h"
#include "kernels/product/lanes.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using avx512::kBlock;
using avx512::kHalfBlock;
using avx512::kPixels;

int64_t group_words(const ConvShape& s) {
  return lanes_in_group<avx512::Layout>(s.group_outputs) * conv_steps(s);
}

int64_t weight_bytes(const ConvShape& s) { return s.groups * group_words(s) * 8; }

void pack_weights(const ConvShape& s, const uint64_t* w, void* packed) {
  pack_lanes<avx512::Layout>(w, s.groups, s.group_outputs, conv_steps(s), packed);
}

int64_t offset_bytes(const ConvShape& s) { return avx512::offset_bytes(s.outputs); }

void pack_offsets(const ConvShape& s, const int32_t* offsets, void* packed) {
  avx512::pack_offsets(s.outputs, offsets, packed);
}

int64_t units(const ConvShape& s) { return s.batch * s.out_h * s.out_w; }

// Pixels [pixel, pixel + Pixels) of one block.
template <int Pixels, int Registers, class Epilogue>
SBN_TARGET_AVX512 SBN_INLINE void run_tile(const Taps& taps, PixelCursor& cursor,
                                           const uint64_t* w, const ConvBlock& block,
                                           int64_t pixel, const Epilogue& epilogue) {
  const uint64_t* x[Pixels];
  const int32_t* offsets[Pixels];
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    x[p] = cursor.input();
    offsets[p] = reinterpret_cast<const int32_t*>(cursor.offsets()) + block.channel;
    cursor.next();
  }
  avx512::Tile<Pixels, Registers> tile;
  avx512::clear<Pixels, Registers>(tile);
  for (int64_t i = 0; i < taps.rows; ++i) {
    int64_t at = i * taps.row_step;
    for (int64_t j = 0; j < taps.columns; ++j, at += taps.column_step) {
      w = avx512::accumulate<Pixels, Registers>(tile, x, at, w, taps.length);
    }
  }
  epilogue(tile, offsets, pixel, block.channel, block.count);
}

template <int Registers, class Epilogue>
SBN_TARGET_AVX512 SBN_INLINE void run_block(const ConvRun& run, const Taps& taps,
                                            const uint64_t* w, const ConvBlock& block,
                                            Range pixels, const Epilogue& epilogue) {
  PixelCursor cursor(run, pixels.begin, block.group);
  int64_t pixel = pixels.begin;
  for (; pixel + kPixels <= pixels.end; pixel += kPixels) {
    run_tile<kPixels, Registers>(taps, cursor, w, block, pixel, epilogue);
  }
  for (; pixel < pixels.end; ++pixel) {
    run_tile<1, Registers>(taps, cursor, w, block, pixel, epilogue);
  }
}

template <class Epilogue>
SBN_TARGET_AVX512 SBN_INLINE void run_blocks(const ConvRun& run, Range blocks, Range pixels,
                                             const Epilogue& epilogue) {
  const ConvShape& s = *run.shape;
  const Taps taps(s);
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const ConvBlock block = conv_block(s, index, kBlock);
    const int64_t first = block.channel - block.group * s.group_outputs;
    const uint64_t* w = static_cast<const uint64_t*>(run.weights) +
                        block.group * group_words(s) + first * conv_steps(s);
    if (block.count > kHalfBlock) {
      run_block<4>(run, taps, w, block, pixels, epilogue);
    } else {
      run_block<2>(run, taps, w, block, pixels, epilogue);
    }
  }
}

SBN_TARGET_AVX512 void run_threshold(const ConvRun& run, Range blocks, Range pixels) {
  run_blocks(run, blocks, pixels, avx512::Threshold{run.output});
}

SBN_TARGET_AVX512 void run_float(const ConvRun& run, Range blocks, Range pixels) {
  run_blocks(run, blocks, pixels, avx512::Float{run.output});
}

constexpr ConvKernel kernel(void (*run)(const ConvRun&, Range, Range)) {
  return {avx512::kMaxProducts, kBlock,       kBlock,  weight_bytes, pack_weights,
          offset_bytes,         pack_offsets, nullptr, nullptr,      units,
          run};
}

}  // namespace

const ConvKernel conv_threshold_avx512 = kernel(run_threshold);
const ConvKernel conv_float_avx512 = kernel(run_float);

}  // namespace sbn
