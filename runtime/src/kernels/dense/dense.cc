#include "kernels/dense/dense.h"

#include "base/bits.h"
#include "kernels/scratch.h"

namespace sbn {
namespace {

// Bytes of weights that are worth a task of their own: a few microseconds.
constexpr double kTaskBytes = 1 << 17;

struct Layout {
  ScratchLayout scratch;
  int64_t weights = 0, plain = 0, offsets = 0;

  explicit Layout(const DenseNode& node) {
    const DenseShape& s = *node.shape;
    if (!node.packed_weights) weights = scratch.take(node.kernel->weight_bytes(s));
    if (!node.packed_offsets) {
      plain = scratch.take(Size(s.outputs) * 4);
      offsets = scratch.take(node.kernel->offset_bytes(s));
    }
  }
};

}  // namespace

void dense_prepare_offsets(const DenseNode& node, void* scratch, void* prepared) {
  const DenseShape& s = *node.shape;
  const int32_t* threshold = node.epilogue.threshold;
  auto* plain = static_cast<int32_t*>(scratch);
  for (int64_t o = 0; o < s.outputs; ++o) {
    int64_t offset = s.products;
    if (threshold) offset = clamp((offset - load<int32_t>(threshold + o)) >> 1, -1, 64 * s.words);
    plain[o] = static_cast<int32_t>(offset);
  }
  node.kernel->pack_offsets(s, plain, prepared);
}

Size dense_scratch(const DenseNode& node) { return Layout(node).scratch.total(); }

void dense_execute(const DenseNode& node, const uint64_t* x, void* y, void* scratch,
                   const Parallel& parallel) {
  const DenseShape& s = *node.shape;
  const DenseKernel& k = *node.kernel;
  const Layout layout(node);
  const auto part = [&](int64_t at) { return static_cast<char*>(scratch) + at; };
  if (!node.packed_weights) k.pack_weights(s, node.w, part(layout.weights));
  const void* weights = node.packed_weights ? node.packed_weights : part(layout.weights);
  const void* offsets = node.packed_offsets;
  if (!offsets) {
    dense_prepare_offsets(node, part(layout.plain), part(layout.offsets));
    offsets = part(layout.offsets);
  }
  const Output output(node.epilogue, y, s.outputs, s.output_words);
  const DenseRun run = {&s, x, weights, offsets, output};

  // Blocks that do not fill the words they lie in leave bits that nobody writes.
  if (output.bits(0) && s.outputs % 64) {
    uint64_t* words = output.bits(0);
    for (int64_t i = 0; i < s.rows * s.output_words; ++i) store(words + i, uint64_t{0});
  }
  const int64_t blocks = div_up(s.outputs, k.block_channels);
  const double bytes = static_cast<double>(s.rows) * static_cast<double>(s.outputs * s.words * 8);
  parallel_grid(parallel, blocks, s.rows, bytes, kTaskBytes,
                [&](Range b, Range r) { k.run(run, b, r); });
}

}  // namespace sbn
