// Runs every kernel of the table that this machine has on random problems and
// compares it bit for bit with the definition of its op. Inputs end at a page that
// cannot be read, or are unaligned.
//
//   kernel_test [problems per kernel] [seed] [part of the kernels' names]
#include <stdio.h>
#include <stdlib.h>

#include <cmath>
#include <string>
#include <thread>

#if SBN_SME2
#include "kernels/product/sme2.h"
#endif
#include "reference.h"

namespace sbn::test {
namespace {

int g_failures = 0;

void check(const KernelRow& row, const void* got, const void* wanted, size_t size,
           const std::string& problem) {
  if (size == 0 || memcmp(got, wanted, size) == 0) return;
  size_t at = 0;
  while (static_cast<const char*>(got)[at] == static_cast<const char*>(wanted)[at]) ++at;
  printf("FAILED %s: byte %zu of %zu differs, %s\n", row.name, at, size, problem.c_str());
  ++g_failures;
}

template <class... Numbers>
std::string describe(Numbers... numbers) {
  std::string text;
  ((text += std::to_string(numbers) + " "), ...);
  return text;
}

// Three threads, each taking every third task.
Parallel threaded() {
  const auto run = [](void*, size_t count, Parallel::Task task, void* state) {
#if SBN_WASM
    for (size_t i = count; i > 0; --i) task(state, i - 1);
#else
    std::vector<std::thread> threads;
    for (size_t first = 0; first < 3; ++first) {
      threads.emplace_back([=] {
        for (size_t i = first; i < count; i += 3) task(state, i);
      });
    }
    for (std::thread& thread : threads) thread.join();
#endif
  };
  return {run, nullptr};
}

size_t random_slack(Random& random) {
  return random() % 2 ? 0 : static_cast<size_t>(uniform(random, 1, 63));
}

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

// Executes a node with scratch memory full of garbage.
template <class Node, class X, class Execute>
void execute(Random& random, const Node& node, Size scratch_size, const X* x, void* y,
             Execute execute_node) {
  Guarded scratch(whole_lines(scratch_size.value()));
  memset(scratch.as<char>(), 0xa5, scratch.size());
  execute_node(node, x, y, scratch.as<void>(), random() % 2 ? serial() : threaded());
}

void test_conv(const KernelRow& row, Random& random, ConvShape s) {
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

ConvShape random_conv(Random& random) {
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
ConvShape large_conv(Random& random) {
  ConvShape s = random_conv(random);
  s.channels = s.groups * uniform(random, 1, 64), s.outputs = s.groups * uniform(random, 1, 70);
  s.kernel_h = uniform(random, 1, 2), s.batch = uniform(random, 1, 2);
  s.height = uniform(random, 8, 50), s.width = uniform(random, 8, 50);
  return s;
}

// A 1x1 convolution without a border reads the input itself.
ConvShape pointwise(int64_t channels, int64_t outputs) {
  ConvShape s = {};
  s.groups = s.kernel_h = s.kernel_w = s.stride_h = s.stride_w = s.dilation_h = s.dilation_w = 1;
  s.channels = channels, s.outputs = outputs;
  s.batch = 1, s.height = 1, s.width = 3, s.pad_value = 1;
  return s;
}

void test_dense(const KernelRow& row, Random& random, const DenseShape& s) {
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

void test_pixel_conv(const KernelRow& row, Random& random, int64_t outputs) {
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

// Pack, PackThreshold and Unpack of `rows` rows.
void test_pack(const KernelRow& row, Random& random, int64_t rows, int64_t channels) {
  const int64_t words = words_of(channels);
  const size_t slack = random_slack(random);
  const Guarded floats(bytes_of(rows * channels, 4), slack);
  const Guarded low(bytes_of(channels, 4), slack), high(bytes_of(channels, 4), slack);
  const Guarded bits(bytes_of(rows * words, 8), slack);
  fill_floats(random, floats.as<void>(), rows * channels);
  fill_floats(random, low.as<void>(), channels);
  fill_floats(random, high.as<void>(), channels);
  fill_bits(random, bits.as<void>(), rows, channels);
  store(floats.as<float>() + uniform(random, 0, rows * channels - 1), NAN);

  const bool packs = row.op != Op::unpack;
  Guarded y(packs ? bytes_of(rows * words, 8) : bytes_of(rows * channels, 4), slack);
  memset(y.as<char>(), 0x5a, y.size());
  const auto* x = floats.as<const float>();
  if (row.op == Op::pack) {
    static_cast<const PackKernel*>(row.kernel)->run(x, y.as<uint64_t>(), rows, channels);
  } else if (row.op == Op::pack_threshold) {
    static_cast<const PackThresholdKernel*>(row.kernel)
        ->run(x, low.as<const float>(), high.as<const float>(), y.as<uint64_t>(), rows, channels);
  } else {
    static_cast<const UnpackKernel*>(row.kernel)
        ->run(bits.as<const uint64_t>(), y.as<float>(), rows, channels);
  }

  std::vector<char> wanted(y.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < channels; ++c) {
      if (!packs) {
        const auto sign = static_cast<float>(sign_at(bits.as<void>(), i * words * 64 + c));
        store(reinterpret_cast<float*>(wanted.data()) + i * channels + c, sign);
        continue;
      }
      const float value = load<float>(x + i * channels + c);
      const bool negative = row.op == Op::pack
                                ? value < 0
                                : value < load<float>(low.as<float>() + c) ||
                                      value > load<float>(high.as<float>() + c);
      auto* word = reinterpret_cast<uint64_t*>(wanted.data()) + i * words + c / 64;
      store(word, load<uint64_t>(word) | uint64_t{negative} << c % 64);
    }
  }
  check(row, y.as<char>(), wanted.data(), y.size(), "rows C: " + describe(rows, channels));
}

void test_max_pool(const KernelRow& row, Random& random, int64_t channels) {
  MaxPoolShape s = {};
  s.batch = uniform(random, 1, 3), s.height = uniform(random, 1, 9);
  const bool packed = row.op == Op::max_pool;
  s.width = uniform(random, 1, 9), s.elements = packed ? words_of(channels) : channels;
  s.kernel_h = uniform(random, 1, 4), s.kernel_w = uniform(random, 1, 4);
  s.stride_h = uniform(random, 1, 3), s.stride_w = uniform(random, 1, 3);
  s.pad_top = uniform(random, 0, s.kernel_h - 1), s.pad_left = uniform(random, 0, s.kernel_w - 1);
  const int64_t bottom = uniform(random, 0, s.kernel_h - 1);
  const int64_t right = uniform(random, 0, s.kernel_w - 1);
  s.out_h = (s.height + s.pad_top + bottom - s.kernel_h) / s.stride_h + 1;
  s.out_w = (s.width + s.pad_left + right - s.kernel_w) / s.stride_w + 1;
  if (s.height + s.pad_top + bottom < s.kernel_h || s.width + s.pad_left + right < s.kernel_w) {
    return;
  }
  const size_t slack = random_slack(random);
  const size_t size = packed ? 8 : 2;
  const int64_t pixels = s.batch * s.height * s.width;
  const Guarded x(bytes_of(pixels * s.elements, size), slack);
  const Guarded minimum(bytes_of(words_of(channels), 8), slack);
  if (packed) {
    fill_bits(random, x.as<void>(), pixels, channels);
  } else {
    fill_integers(random, x.as<void>(), pixels * channels);
  }
  fill_bits(random, minimum.as<void>(), 1, channels);
  Guarded y(bytes_of(s.batch * s.out_h * s.out_w * s.elements, size), slack);
  memset(y.as<char>(), 0x5a, y.size());
  const int64_t rows = s.batch * s.out_h;
  const Range halves[] = {{0, rows / 2}, {rows / 2, rows}};
  for (const Range& half : halves) {
    const auto* turned = minimum.as<const uint64_t>();
    if (packed) {
      static_cast<const MaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const uint64_t>(), turned, y.as<uint64_t>(), half);
    } else {
      static_cast<const QuantizedMaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const int16_t>(), turned, y.as<int16_t>(), half);
    }
  }

  std::vector<char> wanted(y.size());
  for (int64_t out = 0; out < rows * s.out_w; ++out) {
    const int64_t image = out / s.out_w / s.out_h;
    const int64_t top = out / s.out_w % s.out_h * s.stride_h - s.pad_top;
    const int64_t left = out % s.out_w * s.stride_w - s.pad_left;
    for (int64_t c = 0; c < channels; ++c) {
      int least = INT16_MAX, most = INT16_MIN;
      for (int64_t i = max(top, 0); i < min(top + s.kernel_h, s.height); ++i) {
        for (int64_t j = max(left, 0); j < min(left + s.kernel_w, s.width); ++j) {
          const int64_t pixel = (image * s.height + i) * s.width + j;
          const int here = packed ? sign_at(x.as<void>(), pixel * s.elements * 64 + c)
                                  : load<int16_t>(x.as<int16_t>() + pixel * channels + c);
          least = here < least ? here : least;
          most = here > most ? here : most;
        }
      }
      const int pooled = sign_at(minimum.as<void>(), c) < 0 ? least : most;
      if (packed) {
        auto* word = reinterpret_cast<uint64_t*>(wanted.data()) + out * s.elements + c / 64;
        store(word, load<uint64_t>(word) | uint64_t{pooled < 0} << c % 64);
      } else {
        store(reinterpret_cast<int16_t*>(wanted.data()) + out * channels + c,
              static_cast<int16_t>(pooled));
      }
    }
  }
  check(row, y.as<char>(), wanted.data(), y.size(),
        "C N H W kernel stride pads: " + describe(channels, s.batch, s.height, s.width, s.kernel_h,
                                                  s.kernel_w, s.stride_h, s.stride_w, s.pad_top,
                                                  s.pad_left, bottom, right));
}

WindowShape random_window(Random& random, bool dilated, int64_t channels) {
  WindowShape s = {};
  s.batch = uniform(random, 1, 3), s.channels = channels;
  s.height = uniform(random, 1, 9), s.width = uniform(random, 1, 15);
  s.kernel_h = uniform(random, 1, 4), s.kernel_w = uniform(random, 1, 4);
  s.stride_h = uniform(random, 1, 3), s.stride_w = uniform(random, 1, 3);
  s.dilation_h = dilated ? uniform(random, 1, 3) : 1;
  s.dilation_w = dilated ? uniform(random, 1, 3) : 1;
  // Windows of a convolution may lie beyond the border as a whole.
  const int64_t tall = dilated ? 5 : s.kernel_h - 1, wide = dilated ? 5 : s.kernel_w - 1;
  s.pad_top = uniform(random, 0, tall), s.pad_bottom = uniform(random, 0, tall);
  s.pad_left = uniform(random, 0, wide), s.pad_right = uniform(random, 0, wide);
  return s;
}

// FloatMaxPool and FloatDepthwiseConv.
void test_window(const KernelRow& row, Random& random, int64_t channels) {
  const bool pools = row.op == Op::float_max_pool;
  WindowShape s = random_window(random, !pools, channels);
  if (!resize(&s)) return;
  const size_t slack = random_slack(random);
  const int64_t pixels = s.batch * s.height * s.width, taps = s.kernel_h * s.kernel_w;
  const Guarded x(bytes_of(pixels * channels, 4), slack);
  const Guarded w(bytes_of(taps * channels, 4), slack), bias(bytes_of(channels, 4), slack);
  fill_floats(random, x.as<void>(), pixels * channels);
  fill_floats(random, w.as<void>(), taps * channels);
  fill_floats(random, bias.as<void>(), channels);
  const bool relu = random() % 2;
  if (pools) {
    for (int i = 0; i < 3; ++i) {
      store(x.as<float>() + uniform(random, 0, pixels * channels - 1), i ? NAN : -INFINITY);
    }
  }
  const int64_t rows = s.batch * s.out_h;
  Guarded y(bytes_of(rows * s.out_w * channels, 4), slack);
  memset(y.as<char>(), 0x5a, y.size());
  const Range halves[] = {{0, rows / 2}, {rows / 2, rows}};
  for (const Range& half : halves) {
    if (pools) {
      static_cast<const FloatMaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const float>(), relu ? 0.0f : -INFINITY, y.as<float>(), half);
    } else {
      static_cast<const FloatDepthwiseConvKernel*>(row.kernel)
          ->run(s, x.as<const float>(), w.as<const float>(), bias.as<const float>(),
                y.as<float>(), half);
    }
  }

  std::vector<char> wanted(y.size());
  for (int64_t out = 0; out < rows * s.out_w; ++out) {
    const int64_t image = out / s.out_w / s.out_h;
    for (int64_t c = 0; c < channels; ++c) {
      float value = pools ? -INFINITY : load<float>(bias.as<float>() + c);
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t i = out / s.out_w % s.out_h * s.stride_h - s.pad_top +
                          tap / s.kernel_w * s.dilation_h;
        const int64_t j =
            out % s.out_w * s.stride_w - s.pad_left + tap % s.kernel_w * s.dilation_w;
        if (i < 0 || i >= s.height || j < 0 || j >= s.width) continue;
        const int64_t pixel = (image * s.height + i) * s.width + j;
        const float here = load<float>(x.as<float>() + pixel * channels + c);
        if (!pools) {
          value = fused(here, load<float>(w.as<float>() + tap * channels + c), value);
        } else if (here > value) {
          value = here;
        }
      }
      if (pools && relu && value <= 0) value = 0.0f;
      store(reinterpret_cast<float*>(wanted.data()) + out * channels + c, value);
    }
  }
  check(row, y.as<char>(), wanted.data(), y.size(),
        "C N H W kernel stride dilation pads: " +
            describe(channels, s.batch, s.height, s.width, s.kernel_h, s.kernel_w, s.stride_h,
                     s.stride_w, s.dilation_h, s.dilation_w, s.pad_top, s.pad_left, s.pad_bottom,
                     s.pad_right));
}

void test_quantize(const KernelRow& row, Random& random, int64_t rows, int64_t channels) {
  const size_t slack = random_slack(random);
  const Guarded x(bytes_of(rows * channels, 4), slack);
  const Guarded scale(bytes_of(channels, 4), slack), bias(bytes_of(channels, 4), slack);
  const Guarded y(bytes_of(rows * channels, 2), slack);
  for (const Guarded* floats : {&x, &scale, &bias}) {
    fill_floats(random, floats->as<void>(), static_cast<int64_t>(floats->size() / 4));
  }
  const float rare[] = {NAN, INFINITY, -INFINITY, 3e38f, 0.5f, -1.5f};
  store(x.as<float>() + uniform(random, 0, rows * channels - 1), rare[random() % 6]);
  const float factors[] = {1.0f, 20000.0f, 3e38f};
  store(scale.as<float>() + uniform(random, 0, channels - 1), factors[random() % 3]);
  memset(y.as<char>(), 0x5a, y.size());
  static_cast<const QuantizeKernel*>(row.kernel)
      ->run(x.as<const float>(), scale.as<const float>(), bias.as<const float>(),
            y.as<int16_t>(), rows, channels);
  std::vector<int16_t> wanted(static_cast<size_t>(rows * channels));
  for (int64_t i = 0; i < rows * channels; ++i) {
    const auto at = [&](const Guarded& from, int64_t index) {
      return load<float>(from.as<float>() + index);
    };
    const float v = fused(at(x, i), at(scale, i % channels), at(bias, i % channels));
    wanted[static_cast<size_t>(i)] = rounded(v);
  }
  check(row, y.as<char>(), wanted.data(), y.size(), "rows C: " + describe(rows, channels));
}

void test_quantize_linear(const KernelRow& row, Random& random, int64_t count) {
  const size_t slack = random_slack(random);
  const Guarded x(bytes_of(count, 4), slack), y(bytes_of(count, 1), slack);
  fill_floats(random, x.as<void>(), count);
  const float rare[] = {NAN, INFINITY, -INFINITY, 3e38f, 0.5f, -1.5f};
  for (float value : rare) store(x.as<float>() + uniform(random, 0, count - 1), value);
  const bool is_signed = random() % 2;
  const int lowest = is_signed ? -128 : 0, highest = is_signed ? 127 : 255;
  const float scales[] = {1.0f, 1.0f / 3, 1e-3f, 1e-38f, 3e38f};
  const auto zero = static_cast<int32_t>(uniform(random, lowest, highest));
  const LinearRange range = {scales[random() % 5], static_cast<float>(lowest - zero),
                             static_cast<float>(highest - zero), zero};
  memset(y.as<char>(), 0x5a, y.size());
  static_cast<const QuantizeLinearKernel*>(row.kernel)
      ->run(range, x.as<const float>(), y.as<uint8_t>(), count);
  std::vector<uint8_t> wanted(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const float v = load<float>(x.as<float>() + i) / range.scale;
    // fmax and fmin ignore NaN.
    const float whole = nearbyintf(fminf(fmaxf(v, range.low), range.high));
    wanted[static_cast<size_t>(i)] = static_cast<uint8_t>(static_cast<int>(whole) + zero);
  }
  check(row, y.as<char>(), wanted.data(), y.size(), "count zero: " + describe(count, zero));
}

// Signs of all images against those that the scalar kernel draws of one element at a
// time; tests/runtime compares that one with the definition.
void test_stochastic_sign(const KernelRow& row, Random& random, int64_t channels) {
  SignTable table;
  int32_t entries[2][SignTable::kSegments];
  for (int64_t i = 0, start = 32768 + uniform(random, 0, 9); i < SignTable::kSegments; ++i) {
    const int64_t rise = uniform(random, 0, min(random() % 8 ? 999 : 40000, 65535 - start));
    entries[0][i] = static_cast<int32_t>(start), entries[1][i] = static_cast<int32_t>(rise);
    start = min(start + rise, 65535);
  }
  if (table.set(entries[0]) >= 0) {
    printf("FAILED %s: a table was refused\n", row.name);
    ++g_failures;
  }
  StochasticSignNode node = {};
  node.kernel = static_cast<const StochasticSignKernel*>(row.kernel);
  node.table = &table;
  node.seed = random(), node.layer = static_cast<uint32_t>(random());
  node.first_sample = static_cast<uint32_t>(random());
  node.samples = uniform(random, 1, 4), node.fan_out = random() % 2;
  node.images = uniform(random, 1, 3), node.pixels = uniform(random, 1, 9);
  node.channels = channels;
  const int64_t words = words_of(channels), pixels = node.images * node.pixels;
  const size_t slack = random_slack(random);
  const Guarded x(bytes_of((node.fan_out ? 1 : node.samples) * pixels * channels, 2), slack);
  const Guarded y(bytes_of(node.samples * pixels * words, 8), slack);
  fill_integers(random, x.as<void>(), static_cast<int64_t>(x.size() / 2));
  memset(y.as<char>(), 0x5a, y.size());
  stochastic_sign_execute(node, x.as<const int16_t>(), y.as<uint64_t>(),
                          random() % 2 ? serial() : threaded());

  std::vector<uint64_t> wanted(y.size() / 8);
  for (int64_t i = 0; i < node.samples * pixels * channels; ++i) {
    const int64_t channel = i % channels, pixel = i / channels % node.pixels;
    const int64_t sample = i / channels / pixels;
    const RandomKey key(node.seed, node.layer, node.first_sample + static_cast<uint32_t>(sample));
    RandomBlock block, one;
    stochastic_sign_scalar.random(key, static_cast<uint32_t>(channel / 2),
                                  static_cast<uint32_t>(pixel / 4), 2, &block);
    one.values[0][0] = block.values[pixel % 4][channel % 2];
    const int64_t from = node.fan_out ? i % (pixels * channels) : i;
    uint64_t bit = 0;
    stochastic_sign_scalar.draw(table, one,
                                {x.as<int16_t>() + from, &bit, 1, 1, 1, 0, 0, 0, 0});
    wanted[static_cast<size_t>(i / channels * words + channel / 64)] |= bit << channel % 64;
  }
  check(row, y.as<char>(), wanted.data(), y.size(),
        "C samples fan_out N pixels: " +
            describe(channels, node.samples, node.fan_out, node.images, node.pixels));
}

void test_float_product(const KernelRow& row, Random& random, int64_t terms) {
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
void test_single_rounding(const KernelRow& row, Random& random) {
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

// Inner sizes 1 to 1025: all of them where `problems` is large enough.
#if SBN_SME2
// A caller that left ZA to be saved finds it where it said, and its floating-point status as it was.
void test_stream() {
  const int64_t bytes = 4 * sme2::streaming_lanes();
  std::vector<char> za(static_cast<size_t>(bytes * bytes)), saved(za.size());
  Random random(0);
  for (char& byte : za) byte = static_cast<char>(random());
  alignas(16) struct {
    void* buffer;
    uint16_t slices;
    uint8_t zero[6];
  } block = {saved.data(), static_cast<uint16_t>(bytes), {}};
  uint64_t before, after, left, mode;
  __asm__ volatile(
      "mov w12, wzr\n\t"
      "mov x13, %1\n\t"
      ".inst 0xd503457f\n"    // smstart za
      "1:\n\t"
      ".inst 0xe10001a0\n\t"  // ldr za[w12, 0], [x13]
      ".inst 0x042d582d\n\t"  // addsvl x13, x13, #1
      "add w12, w12, #1\n\t"
      "cmp x12, %2\n\t"
      "b.lo 1b\n\t"
      "msr S3_3_C13_C0_5, %3\n\t"  // TPIDR2_EL0
      "mrs %0, fpsr"
      : "=&r"(before)
      : "r"(za.data()), "r"(bytes), "r"(&block)
      : "x12", "x13", "memory", "cc");
  const sme2::Product nothing = {};
  sme2::stream(nothing);
  __asm__ volatile(
      "mrs %0, fpsr\n\t"
      "mrs %1, S3_3_C13_C0_5\n\t"
      "mrs %2, S3_3_C4_C2_2"  // SVCR
      : "=&r"(after), "=&r"(left), "=&r"(mode)
      :
      : "memory");
  if (za != saved || left || mode || before != after) {
    printf("FAILED stream: ZA, TPIDR2_EL0, SVCR or FPSR of the caller\n");
    ++g_failures;
  }
}
#endif

void test_row(const KernelRow& row, int64_t problems, uint64_t seed) {
  Random random(seed);
  for (int64_t i = 0; i < problems; ++i) {
    const int64_t inner = problems >= 1025 ? i % 1025 + 1 : uniform(random, 1, 1025);
    if (is_conv(row.op)) {
      test_conv(row, random, random_conv(random));
      test_conv(row, random, pointwise(inner, uniform(random, 1, 40)));
      test_conv(row, random, pointwise(uniform(random, 1, 70), inner));
      if (i % 32 == 0) test_conv(row, random, large_conv(random));
    } else if (is_dense(row.op)) {
      test_dense(row, random, dense_shape(uniform(random, 1, 9), inner, uniform(random, 1, 40)));
      test_dense(row, random, dense_shape(1, uniform(random, 1, 200), inner));
      if (i % 8 == 0) test_dense(row, random, dense_shape(uniform(random, 10, 40), inner, inner / 4 + 1));
    } else if (is_pixel_conv(row.op)) {
      test_pixel_conv(row, random, inner % 200 + 1);
    } else if (row.op == Op::max_pool || row.op == Op::quantized_max_pool) {
      test_max_pool(row, random, inner);
    } else if (row.op == Op::float_max_pool || row.op == Op::float_depthwise_conv) {
      test_window(row, random, inner % 150 + 1);
    } else if (row.op == Op::float_product) {
      test_float_product(row, random, inner % 600 + 1);
      test_single_rounding(row, random);
    } else if (row.op == Op::quantize) {
      test_quantize(row, random, uniform(random, 1, 5), inner);
    } else if (row.op == Op::quantize_linear) {
      test_quantize_linear(row, random, inner);
    } else if (row.op == Op::stochastic_sign) {
      // 100 problems meet all of 130 channel counts.
      test_stochastic_sign(row, random, i % 130 + 1);
      test_stochastic_sign(row, random, (i + 65) % 130 + 1);
    } else {
      test_pack(row, random, uniform(random, 1, 5), inner);
    }
  }
}

}  // namespace
}  // namespace sbn::test

int main(int argc, char** argv) {
  using namespace sbn;
  const int64_t problems = argc > 1 ? atoll(argv[1]) : 100;
  const uint64_t seed = argc > 2 ? strtoull(argv[2], nullptr, 10) : 0;
  const char* wanted = argc > 3 ? argv[3] : "";
  for (size_t i = 0; i < kKernelCount; ++i) {
    const KernelRow& row = kKernelTable[i];
    if (!strstr(row.name, wanted)) continue;
    if (!kernel_available(row)) {
      printf("skipped %s: not on this machine\n", row.name);
      continue;
    }
    test::test_row(row, problems, seed);
    printf("tested %s\n", row.name);
  }
#if SBN_SME2
  if (isa_available(Isa::sme2)) test::test_stream();
#endif
  printf("fastest kernel set: %s\n", isa_name(current_isa()));
  printf("%d failures\n", test::g_failures);
  return test::g_failures ? 1 : 0;
}
