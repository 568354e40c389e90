// Convolutions, dense layers and products of floats.
#pragma once

#include <cmath>

#include "check.h"
#include "reference.h"

namespace sbn::test {

// The outputs of a product, full of garbage.
struct Outputs {
  Guarded y, signs;

  template <class Problem>
  Outputs(Random& random, const Problem& p)
      : y(output_bytes(p.epilogue, p.pixels(), p.shape.outputs), random_slack(random)),
        signs(sign_bytes(p.epilogue, p.pixels(), p.shape.outputs), random_slack(random)) {
    memset(y.as<char>(), 0x5a, y.size());
    memset(signs.as<char>(), 0x5a, signs.size());
  }

  template <class Problem>
  void check(const KernelRow& row, const Problem& p, const std::string& problem) const {
    std::vector<char> wanted(y.size()), wanted_signs(signs.size());
    reference(p, wanted.data(), wanted_signs.data());
    test::check(row, y.as<char>(), wanted.data(), y.size(), problem);
    test::check(row, signs.as<char>(), wanted_signs.data(), signs.size(), problem + "(signs)");
  }
};

inline void test_conv(const KernelRow& row, Random& random, ConvShape s) {
  const auto& kernel = *static_cast<const ConvKernel*>(row.kernel);
  if (conv_fix(&s) || !resize(&s) || !fits(kernel, s)) return;
  const ConvProblem problem(random, row.op, some_steps(random, row.op), s, random_slack(random));
  const Outputs outputs(random, problem);
  ConvNode node = problem.node(kernel, outputs.signs.as<void>());
  Guarded weights(whole_lines(kernel.weight_bytes(s)));
  Guarded offsets(whole_lines(conv_prepared_bytes(node)));
  if (random() % 2) {  // as for constant inputs
    kernel.pack_weights(s, node.w, weights.as<void>());
    node.packed_weights = weights.as<void>();
    Guarded scratch(whole_lines(conv_prepare_scratch(node).value()));
    if (offsets.size() && random() % 4) {
      conv_prepare_offsets(node, scratch.as<void>(), offsets.as<void>());
      node.packed_offsets = offsets.as<void>();
      node.w = nullptr;
    }
  }
  execute(random, node, conv_scratch(node), problem.x.as<const uint64_t>(), outputs.y.as<void>(),
          conv_execute);
  outputs.check(row, problem,
                "C O G kernel stride dilation pads value N H W: " +
                    describe(s.channels, s.outputs, s.groups, s.kernel_h, s.kernel_w, s.stride_h,
                             s.stride_w, s.dilation_h, s.dilation_w, s.pad_top, s.pad_left,
                             s.pad_bottom, s.pad_right, s.pad_value, s.batch, s.height, s.width));
}

inline ConvShape random_conv(Random& random) {
  ConvShape s = {};
  s.groups = random() % 3 ? 1 : uniform(random, 1, 4);
  const int64_t most = random() % 8 ? 150 : 700;
  s.channels = s.groups * uniform(random, 1, most / s.groups);
  s.outputs = s.groups * uniform(random, 1, 150 / s.groups);
  // Kernels take blocks of so many, and some do less where all are whole.
  if (random() % 2) s.outputs = s.groups * uniform(random, 1, 2) * 64;
  s.kernel_h = uniform(random, 1, 5), s.kernel_w = uniform(random, 1, 5);
  s.stride_h = uniform(random, 1, 3), s.stride_w = uniform(random, 1, 3);
  s.dilation_h = uniform(random, 1, 3), s.dilation_w = uniform(random, 1, 3);
  s.pad_top = uniform(random, 0, 4), s.pad_left = uniform(random, 0, 4);
  s.pad_bottom = uniform(random, 0, 4), s.pad_right = uniform(random, 0, 4);
  s.pad_value = uniform(random, -1, 1);
  s.batch = uniform(random, 1, 3);
  s.height = uniform(random, 1, 7), s.width = uniform(random, 1, 7);
  return s;
}

// More outputs than any kernel computes at once.
inline ConvShape large_conv(Random& random) {
  ConvShape s = random_conv(random);
  s.channels = s.groups * uniform(random, 1, 64), s.outputs = s.groups * uniform(random, 1, 70);
  s.kernel_h = uniform(random, 1, 2), s.batch = uniform(random, 1, 2);
  s.height = uniform(random, 8, 50), s.width = uniform(random, 8, 50);
  return s;
}

// A 1x1 convolution without a border reads the input itself.
inline ConvShape pointwise(int64_t channels, int64_t outputs) {
  ConvShape s = {};
  s.groups = s.kernel_h = s.kernel_w = s.stride_h = s.stride_w = s.dilation_h = s.dilation_w = 1;
  s.channels = channels, s.outputs = outputs;
  s.batch = 1, s.height = 1, s.width = 3, s.pad_value = 1;
  return s;
}

inline void test_dense(const KernelRow& row, Random& random, const DenseShape& s) {
  const auto& kernel = *static_cast<const DenseKernel*>(row.kernel);
  if (!fits(kernel, s)) return;
  const DenseProblem problem(random, row.op, some_steps(random, row.op), s, random_slack(random));
  const Outputs outputs(random, problem);
  DenseNode node = problem.node(kernel, outputs.signs.as<void>());
  Guarded weights(whole_lines(kernel.weight_bytes(s)));
  Guarded offsets(whole_lines(kernel.offset_bytes(s)));
  if (random() % 2) {
    kernel.pack_weights(s, node.w, weights.as<void>());
    node.packed_weights = weights.as<void>();
    std::vector<int32_t> scratch(static_cast<size_t>(s.outputs));
    dense_prepare_offsets(node, scratch.data(), offsets.as<void>());
    node.packed_offsets = offsets.as<void>();
    node.w = nullptr;
  }
  execute(random, node, dense_scratch(node), problem.x.as<const uint64_t>(), outputs.y.as<void>(),
          dense_execute);
  outputs.check(row, problem, "rows K O: " + describe(s.rows, s.products, s.outputs));
}

inline void test_pixel_conv(const KernelRow& row, Random& random, int64_t outputs) {
  const auto& kernel = *static_cast<const PixelConvKernel*>(row.kernel);
  PixelConvShape s = {};
  s.channels = uniform(random, 1, random() % 4 ? 4 : 20), s.outputs = outputs;
  s.kernel_h = uniform(random, 1, 7), s.kernel_w = uniform(random, 1, 7);
  s.stride_h = uniform(random, 1, 3), s.stride_w = uniform(random, 1, 3);
  s.dilation_h = uniform(random, 1, 2), s.dilation_w = random() % 4 ? 1 : 2;
  // Without a border the last pixels end where the image does.
  const int64_t most = random() % 2 ? 4 : 0;
  s.pad_top = uniform(random, 0, most), s.pad_left = uniform(random, 0, most);
  s.pad_bottom = uniform(random, 0, most), s.pad_right = uniform(random, 0, most);
  s.pad_value = uniform(random, 0, 255);
  s.batch = uniform(random, 1, 3);
  // Wide enough for a few tiles of pixels in a row.
  s.height = uniform(random, 1, 9), s.width = uniform(random, 1, random() % 2 ? 9 : 40);
  // Wider than what a kernel copies at a time.
  if (random() % 16 == 0) s.batch = 1, s.height = s.kernel_h, s.width = uniform(random, 300, 700);
  // As many products as there may be.
  if (random() % 16 == 0) {
    s.kernel_h = s.kernel_w = 1;
    s.channels = random() % 2 ? kMaxPixelProducts : uniform(random, 500, kMaxPixelProducts);
    s.batch = s.height = 1, s.width = uniform(random, 1, 9);
  }
  if (pixel_conv_fix(&s) || !resize(&s) || !fits(kernel, s)) return;
  const PixelConvProblem problem(random, row.op, some_steps(random, row.op), s, random_slack(random));
  const Outputs result(random, problem);
  PixelConvNode node = problem.node(kernel);
  Guarded weights(whole_lines(kernel.weight_bytes(s)));
  if (random() % 2) {
    kernel.pack_weights(s, node.w, weights.as<void>());
    node.packed_weights = weights.as<void>();
    node.w = nullptr;
  }
  execute(random, node, pixel_conv_scratch(node), problem.x.as<const uint8_t>(),
          result.y.as<void>(), pixel_conv_execute);
  result.check(row, problem,
               "C O kernel stride dilation pads value N H W: " +
                   describe(s.channels, s.outputs, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w,
                            s.dilation_h, s.dilation_w, s.pad_top, s.pad_left, s.pad_bottom,
                            s.pad_right, s.pad_value, s.batch, s.height, s.width));
}

inline void test_float_product(const KernelRow& row, Random& random, int64_t terms) {
  const auto* kernel = static_cast<const FloatProductKernel*>(row.kernel);
  const FloatProductShape s = {terms, uniform(random, 1, 150)};
  const int64_t rows = uniform(random, 1, 30);
  const int64_t x_step = terms + uniform(random, 0, 3), y_step = s.columns + uniform(random, 0, 3);
  const size_t slack = random_slack(random);
  const int64_t y_size = (rows - 1) * y_step + s.columns;
  const Guarded x(bytes_of((rows - 1) * x_step + terms, 4), slack);
  const Guarded w(bytes_of(terms * s.columns, 4), slack), bias(bytes_of(s.columns, 4), slack);
  fill_floats(random, x.as<void>(), (rows - 1) * x_step + terms);
  fill_floats(random, w.as<void>(), terms * s.columns);
  fill_floats(random, bias.as<void>(), s.columns);
  // Both orders in which files have weights.
  const bool by_term = random() % 2;
  const int64_t term_step = by_term ? s.columns : 1, column_step = by_term ? 1 : terms;
  const Guarded packed(static_cast<size_t>(float_product_bytes(*kernel, s)), 0);
  float_product_pack(*kernel, s, w.as<const float>(), term_step, column_step, packed.as<void>());
  Guarded y(bytes_of(y_size, 4), slack);
  memset(y.as<char>(), 0x5a, y.size());
  kernel->run(s, x.as<const float>(), x_step, packed.as<const void>(), bias.as<const float>(),
              y.as<float>(), y_step, rows);

  std::vector<char> wanted(y.size(), 0x5a);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < s.columns; ++c) {
      float sum = load<float>(bias.as<float>() + c), slice = 0;
      for (int64_t k = 0; k < terms; ++k) {
        slice = fused(load<float>(x.as<float>() + i * x_step + k),
                      load<float>(w.as<float>() + k * term_step + c * column_step), slice);
        if (k + 1 == terms || (k + 1) % kSliceTerms == 0) sum += slice, slice = 0;
      }
      store(reinterpret_cast<float*>(wanted.data()) + i * y_step + c, sum);
    }
  }
  check(row, y.as<char>(), wanted.data(), y.size(),
        "terms columns rows: " + describe(terms, s.columns, rows));
}

// Sums next to the middle of two floats, nearer than float64 can tell: rounded twice, many would
// come out wrong.
inline void test_single_rounding(const KernelRow& row, Random& random) {
  const auto* kernel = static_cast<const FloatProductKernel*>(row.kernel);
  const FloatProductShape s = {2, uniform(random, 1, 60)};
  // m n is almost 2^47.
  int64_t m = 0, n = 0, rest = INT64_MAX;
  while (rest >= 1 << 16 || rest <= -(1 << 16)) {
    m = uniform(random, 1 << 23, (1 << 24) - 1);
    n = ((int64_t{1} << 47) + m / 2) / m;
    rest = m * n - (int64_t{1} << 47);
  }
  // Of sums near 1, or so small that floats have fewer bits.
  const int lower = random() % 4 ? 0 : 126;
  const float x[] = {1, ldexpf(static_cast<float>(m), -35 - lower / 2)};
  const auto columns = static_cast<size_t>(s.columns);
  std::vector<float> w(2 * columns), bias(columns), y(columns), wanted(columns);
  for (size_t c = 0; c < columns; ++c) {
    const int64_t most = lower ? 1 << 23 : 1 << 24;
    const auto whole = static_cast<float>(uniform(random, most / 2, most - 1));
    w[c] = ldexpf(random() % 2 ? whole : -whole, -23 - lower);
    w[columns + c] = ldexpf(static_cast<float>(random() % 2 ? n : -n), -36 - lower / 2);
    wanted[c] = fused(x[1], w[columns + c], w[c]);
  }
  std::vector<char> packed(static_cast<size_t>(float_product_bytes(*kernel, s)));
  float_product_pack(*kernel, s, w.data(), s.columns, 1, packed.data());
  kernel->run(s, x, 2, packed.data(), bias.data(), y.data(), s.columns, 1);
  check(row, y.data(), wanted.data(), 4 * columns, "rounded once");
}

}  // namespace sbn::test
