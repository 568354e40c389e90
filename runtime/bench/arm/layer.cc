// Computes one layer as the runtime does, and calls sbn_marker() before and after: what is executed
// between is counted (sme2.py).
//
//   layer KERNEL conv CHANNELS OUTPUTS GROUPS KERNEL_SIZE STRIDE SIZE residual|plain
//   layer KERNEL dense ROWS PRODUCTS OUTPUTS plain
//   layer KERNEL pixels CHANNELS OUTPUTS KERNEL_SIZE STRIDE SIZE plain
//   layer KERNEL product ROWS TERMS COLUMNS plain
#include <stdio.h>
#include <stdlib.h>

#include "problem.h"

extern "C" __attribute__((noinline)) void sbn_marker() { __asm__ volatile("" : : : "memory"); }

namespace sbn::test {
namespace {

const KernelRow* row_of_name(const char* name) {
  for (size_t i = 0; i < kKernelCount; ++i) {
    if (!strcmp(kKernelTable[i].name, name)) return &kKernelTable[i];
  }
  fprintf(stderr, "no kernel %s\n", name);
  exit(2);
}

template <class Element, class Problem, class Node, class Execute>
void count(const Problem& problem, const Node& node, Size scratch_size, Execute execute_node) {
  const Guarded y(output_bytes(problem.epilogue, problem.pixels(), problem.shape.outputs));
  const Guarded scratch(whole_lines(scratch_size.value()));
  sbn_marker();
  execute_node(node, problem.x.template as<const Element>(), y.as<void>(), scratch.as<void>(),
               serial());
  sbn_marker();
}

void conv(const KernelRow& row, char** sizes, const Steps& steps) {
  const auto& kernel = *static_cast<const ConvKernel*>(row.kernel);
  ConvShape s = {};
  s.channels = atoll(sizes[0]), s.outputs = atoll(sizes[1]), s.groups = atoll(sizes[2]);
  s.kernel_h = s.kernel_w = atoll(sizes[3]), s.stride_h = s.stride_w = atoll(sizes[4]);
  s.height = s.width = atoll(sizes[5]);
  s.batch = s.dilation_h = s.dilation_w = 1;
  s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = s.kernel_h / 2;
  if (conv_fix(&s) || !resize(&s)) exit(2);
  Random random(0);
  ConvProblem problem(random, row.op, steps, s, 0);
  problem.epilogue.dot_low = INT32_MIN, problem.epilogue.dot_high = INT32_MAX;
  problem.epilogue.dot_offset = 0;
  const Guarded signs(sign_bytes(problem.epilogue, problem.pixels(), s.outputs));
  ConvNode node = problem.node(kernel, signs.as<void>());
  const Guarded weights(whole_lines(kernel.weight_bytes(s)));
  kernel.pack_weights(s, node.w, weights.as<void>());
  node.packed_weights = weights.as<void>();
  const Guarded offsets(whole_lines(conv_prepared_bytes(node)));
  const Guarded scratch(whole_lines(conv_prepare_scratch(node).value()));
  conv_prepare_offsets(node, scratch.as<void>(), offsets.as<void>());
  node.packed_offsets = offsets.as<void>();
  count<uint64_t>(problem, node, conv_scratch(node), conv_execute);
}

void dense(const KernelRow& row, char** sizes, const Steps& steps) {
  const auto& kernel = *static_cast<const DenseKernel*>(row.kernel);
  const DenseShape s = dense_shape(atoll(sizes[0]), atoll(sizes[1]), atoll(sizes[2]));
  Random random(0);
  DenseProblem problem(random, row.op, steps, s, 0);
  problem.epilogue.dot_low = INT32_MIN, problem.epilogue.dot_high = INT32_MAX;
  problem.epilogue.dot_offset = 0;
  DenseNode node = problem.node(kernel, nullptr);
  const Guarded weights(whole_lines(kernel.weight_bytes(s)));
  const Guarded offsets(whole_lines(kernel.offset_bytes(s)));
  kernel.pack_weights(s, node.w, weights.as<void>());
  node.packed_weights = weights.as<void>();
  std::vector<int32_t> scratch(static_cast<size_t>(s.outputs));
  dense_prepare_offsets(node, scratch.data(), offsets.as<void>());
  node.packed_offsets = offsets.as<void>();
  count<uint64_t>(problem, node, dense_scratch(node), dense_execute);
}

void pixels(const KernelRow& row, char** sizes, const Steps& steps) {
  const auto& kernel = *static_cast<const PixelConvKernel*>(row.kernel);
  PixelConvShape s = {};
  s.channels = atoll(sizes[0]), s.outputs = atoll(sizes[1]);
  s.kernel_h = s.kernel_w = atoll(sizes[2]), s.stride_h = s.stride_w = atoll(sizes[3]);
  s.height = s.width = atoll(sizes[4]);
  s.batch = s.dilation_h = s.dilation_w = 1;
  s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = s.kernel_h / 2;
  if (pixel_conv_fix(&s) || !resize(&s)) exit(2);
  Random random(0);
  PixelConvProblem problem(random, row.op, steps, s, 0);
  problem.epilogue.dot_offset = 0;
  PixelConvNode node = problem.node(kernel);
  const Guarded weights(whole_lines(kernel.weight_bytes(s)));
  kernel.pack_weights(s, node.w, weights.as<void>());
  node.packed_weights = weights.as<void>();
  count<uint8_t>(problem, node, pixel_conv_scratch(node), pixel_conv_execute);
}

void product(const KernelRow& row, char** sizes, const Steps&) {
  const auto& kernel = *static_cast<const FloatProductKernel*>(row.kernel);
  const int64_t rows = atoll(sizes[0]);
  const FloatProductShape s = {atoll(sizes[1]), atoll(sizes[2])};
  std::vector<float> x(static_cast<size_t>(rows * s.terms), 0.5f);
  std::vector<float> w(static_cast<size_t>(s.terms * s.columns), 0.5f);
  std::vector<float> bias(static_cast<size_t>(s.columns)), y(static_cast<size_t>(rows * s.columns));
  const Guarded packed(static_cast<size_t>(float_product_bytes(kernel, s)));
  float_product_pack(kernel, s, w.data(), s.columns, 1, packed.as<void>());
  sbn_marker();
  kernel.run(s, x.data(), s.terms, packed.as<const void>(), bias.data(), y.data(), s.columns, rows);
  sbn_marker();
}

}  // namespace
}  // namespace sbn::test

int main(int argc, char** argv) {
  using namespace sbn::test;
  if (argc < 7) return 2;
  const sbn::KernelRow& row = *row_of_name(argv[1]);
  const bool residual = !strcmp(argv[argc - 1], "residual");
  const Steps steps = {false, residual, residual, false};
  if (!sbn::kernel_available(row)) return 3;
  const struct {
    const char* name;
    void (*compute)(const sbn::KernelRow&, char**, const Steps&);
  } kinds[] = {{"conv", conv}, {"dense", dense}, {"pixels", pixels}, {"product", product}};
  for (const auto& kind : kinds) {
    if (!strcmp(argv[2], kind.name)) return kind.compute(row, argv + 3, steps), 0;
  }
  return 2;
}
