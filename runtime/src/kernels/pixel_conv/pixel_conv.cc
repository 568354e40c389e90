#include "kernels/pixel_conv/pixel_conv.h"

#include "base/bits.h"
#include "base/text.h"
#include "kernels/scratch.h"

namespace sbn {
namespace {

// Products that are worth a task of their own: about 1 us with VNNI, 6 us with AVX2.
constexpr double kTaskMacs = 1 << 19;

}  // namespace

const char* pixel_conv_fix(PixelConvShape* s) {
  s->output_words = words_of(s->outputs);
  const Size products = Size(s->kernel_h) * s->kernel_w * s->channels;
  if (!products.valid() || products.value() > kMaxPixelProducts) {
    return "kernel height * width * channels exceeds " SBN_STRING(SBN_MAX_PIXEL_PRODUCTS);
  }
  s->products = products.value();
  return nullptr;
}

Size pixel_conv_scratch(const PixelConvNode& node) {
  ScratchLayout scratch;
  if (!node.packed_weights) scratch.take(node.kernel->weight_bytes(*node.shape));
  return scratch.total();
}

void pixel_conv_execute(const PixelConvNode& node, const uint8_t* x, void* y, void* scratch,
                        const Parallel& parallel) {
  const PixelConvShape& s = *node.shape;
  const PixelConvKernel& k = *node.kernel;
  if (!node.packed_weights) k.pack_weights(s, node.w, scratch);
  const void* weights = node.packed_weights ? node.packed_weights : scratch;
  const PixelConvRun run = {&s, x, weights, Output(node.epilogue, y, s.outputs, s.output_words)};
  // Whole rows, as kernels share pixels within one.
  const int64_t rows = s.batch * s.out_h;
  const double macs =
      static_cast<double>(rows * s.out_w) * static_cast<double>(s.outputs * s.products);
  parallel_ranges(parallel, rows, macs, kTaskMacs, [&](Range mine) {
    k.run(run, {mine.begin * s.out_w, mine.end * s.out_w});
  });
}

}  // namespace sbn
