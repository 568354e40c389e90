#include "kernels/product/scalar.h"

#include "kernels/conv/cursor.h"
#include "kernels/product/lanes.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using scalar::kLanes;

int64_t weight_bytes(const ConvShape& s) {
  return conv_blocks(s, kLanes) * kLanes * conv_steps(s) * 8;
}

void pack_weights(const ConvShape& s, const uint64_t* w, void* packed) {
  pack_lanes<scalar::Layout>(w, s.groups, s.group_outputs, conv_steps(s), packed);
}

int64_t offset_bytes(const ConvShape& s) { return scalar::offset_bytes(s.outputs); }

void pack_offsets(const ConvShape& s, const int32_t* offsets, void* packed) {
  scalar::pack_offsets(s.outputs, offsets, packed);
}

int64_t units(const ConvShape& s) { return s.batch * s.out_h * s.out_w; }

template <class Count, class Epilogue>
SBN_INLINE void run_blocks(const ConvRun& run, Range blocks, Range pixels, Epilogue epilogue) {
  const ConvShape& s = *run.shape;
  const Taps taps(s);
  const int64_t block_words = conv_steps(s) * kLanes;
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const ConvBlock block = conv_block(s, index, kLanes);
    const uint64_t* weights = static_cast<const uint64_t*>(run.weights) + index * block_words;
    PixelCursor cursor(run, pixels.begin, block.group);
    for (int64_t pixel = pixels.begin; pixel < pixels.end; ++pixel, cursor.next()) {
      int64_t mismatches[kLanes] = {};
      const uint64_t* w = weights;
      for (int64_t i = 0; i < taps.rows; ++i) {
        const uint64_t* x = cursor.input() + i * taps.row_step;
        for (int64_t j = 0; j < taps.columns; ++j, x += taps.column_step) {
          w = scalar::accumulate<Count>(mismatches, x, w, taps.length);
        }
      }
      epilogue(mismatches, reinterpret_cast<const int32_t*>(cursor.offsets()) + block.channel,
               pixel, block.channel, block.count);
    }
  }
}

template <class Epilogue>
void run_portable(const ConvRun& run, Range blocks, Range pixels) {
  run_blocks<scalar::Portable>(run, blocks, pixels, Epilogue{run.output});
}

constexpr ConvKernel kernel(void (*run)(const ConvRun&, Range, Range)) {
  return {kMaxProducts, kLanes,  kLanes,  weight_bytes, pack_weights, offset_bytes,
          pack_offsets, nullptr, nullptr, units,        run};
}

}  // namespace

const ConvKernel conv_threshold_scalar = kernel(run_portable<scalar::Threshold>);
const ConvKernel conv_float_scalar = kernel(run_portable<scalar::Float>);

#if SBN_X86
namespace {

template <class Epilogue>
SBN_TARGET_POPCNT void run_popcnt(const ConvRun& run, Range blocks, Range pixels) {
  run_blocks<scalar::Instruction>(run, blocks, pixels, Epilogue{run.output});
}

}  // namespace

const ConvKernel conv_threshold_popcnt = kernel(run_popcnt<scalar::Threshold>);
const ConvKernel conv_float_popcnt = kernel(run_popcnt<scalar::Float>);
#endif

}  // namespace sbn
