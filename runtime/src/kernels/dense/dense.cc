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
    plain = scratch.take(Size(s.outputs) * 4);
    offsets = scratch.take(node.kernel->offset_bytes(s));
  }
};

void make_offsets(const DenseNode& node, int32_t* out) {
  const DenseShape& s = *node.shape;
  for (int64_t o = 0; o < s.outputs; ++o) {
    int64_t offset = s.products;
    if (node.threshold) {
      offset = clamp((offset - load<int32_t>(node.threshold + o)) >> 1, -1, 64 * s.words);
    }
    out[o] = static_cast<int32_t>(offset);
  }
}

}  // namespace

Size dense_scratch(const DenseNode& node) { return Layout(node).scratch.total(); }

void dense_execute(const DenseNode& node, const uint64_t* x, void* y, void* scratch,
                   const Parallel& parallel) {
  const DenseShape& s = *node.shape;
  const DenseKernel& k = *node.kernel;
  const Layout layout(node);
  const auto part = [&](int64_t at) { return static_cast<char*>(scratch) + at; };
  if (!node.packed_weights) k.pack_weights(s, node.w, part(layout.weights));
  auto* plain = reinterpret_cast<int32_t*>(part(layout.plain));
  make_offsets(node, plain);
  k.pack_offsets(s, plain, part(layout.offsets));
  const void* weights = node.packed_weights ? node.packed_weights : part(layout.weights);
  const DenseRun run = {&s, x, weights, part(layout.offsets), node.scale, node.bias, y};

  // Blocks that do not fill the words they lie in leave bits that nobody writes.
  if (node.threshold && s.outputs % 64) {
    auto* words = static_cast<uint64_t*>(y);
    for (int64_t i = 0; i < s.rows * s.output_words; ++i) store(words + i, uint64_t{0});
  }
  const int64_t blocks = div_up(s.outputs, k.block_channels);
  const double bytes = static_cast<double>(s.rows) * static_cast<double>(s.outputs * s.words * 8);
  parallel_grid(parallel, blocks, s.rows, bytes, kTaskBytes,
                [&](Range b, Range r) { k.run(run, b, r); });
}

}  // namespace sbn
