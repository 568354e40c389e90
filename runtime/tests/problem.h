// Random problems for every op, and how to give them to a kernel. The tests and the
// benchmarks share them.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <random>
#include <vector>

#include "base/bits.h"
#include "kernels/registry.h"
#include "kernels/scratch.h"
#include "memory.h"

namespace sbn::test {

using Random = std::mt19937_64;

inline int64_t uniform(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

inline size_t bytes_of(int64_t count, size_t size) { return static_cast<size_t>(count) * size; }

// Packed signs: `rows` rows of `channels` random bits, unused bits 0.
inline void fill_bits(Random& random, void* data, int64_t rows, int64_t channels) {
  auto* words = static_cast<uint64_t*>(data);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t done = 0; done < channels; done += 64) {
      store(words++, random() & low_bits(channels - done));
    }
  }
}

// a b + c, rounded once. WebAssembly's C library takes a rounding mode for it that there is not; its
// long double has 113 bits.
inline float fused(float a, float b, float c) {
#if SBN_WASM
  return static_cast<float>(static_cast<long double>(a) * b + c);
#else
  return fmaf(a, b, c);
#endif
}

inline void fill_floats(Random& random, void* data, int64_t count) {
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < count; ++i) {
    // Some exact zeros, of both signs.
    const int64_t special = uniform(random, 0, 19);
    const float value = special == 0 ? 0.0f : special == 1 ? -0.0f : normal(random);
    store(static_cast<float*>(data) + i, value);
  }
}

inline void fill_thresholds(Random& random, void* data, int64_t count, int64_t products) {
  for (int64_t i = 0; i < count; ++i) {
    // Mostly near 0, where results differ, and sometimes beyond what can be reached.
    const int64_t kind = uniform(random, 0, 15);
    const int64_t value = kind == 0   ? INT32_MIN
                          : kind == 1 ? INT32_MAX
                          : kind == 2 ? uniform(random, -2 * products, 2 * products)
                                      : uniform(random, -9, 9);
    store(static_cast<int32_t*>(data) + i, static_cast<int32_t>(value));
  }
}

inline Parallel serial() {
  const auto run = [](void*, size_t count, Parallel::Task task, void* state) {
    for (size_t i = 0; i < count; ++i) task(state, i);
  };
  return {run, nullptr};
}

inline void fill_integers(Random& random, void* data, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    // Extremes and the middle, where signs turn.
    const int64_t special = uniform(random, 0, 7);
    const int64_t value = special == 0   ? INT16_MIN
                          : special == 1 ? INT16_MAX
                          : special == 2 ? uniform(random, -1, 1)
                                         : uniform(random, INT16_MIN, INT16_MAX);
    store(static_cast<int16_t*>(data) + i, static_cast<int16_t>(value));
  }
}

// Sizes as the op library allocates them: whole cache lines.
inline size_t whole_lines(int64_t bytes) {
  return align_up(static_cast<size_t>(bytes), kScratchAlignment);
}

// What Y is made with where it is not packed bits.
struct Steps {
  bool activates, adds, signs, integers;
};

inline Steps some_steps(Random& random, Op op) {
  Steps steps = {};
  if (is_threshold(op)) return steps;
  steps.activates = random() % 2;
  steps.adds = !is_pixel_conv(op) && random() % 2;
  steps.signs = steps.adds && random() % 4;
  steps.integers = !steps.signs && random() % 4 == 0;
  return steps;
}

// What an epilogue computes with, for `pixels` of `outputs` channels.
struct EpilogueProblem : Steps {
  Op op;
  Guarded threshold, scale, bias, activations, residual;
  Activation inner = {}, outer = {};
  int32_t dot_low, dot_high, dot_offset;

  EpilogueProblem(Random& random, Op which, const Steps& steps, int64_t outputs, int64_t pixels,
                  int64_t products, size_t slack)
      : Steps(steps),
        op(which),
        threshold(bytes_of(outputs, 4), slack),
        scale(bytes_of(outputs, 4), slack),
        bias(bytes_of(outputs, 4), slack),
        activations(bytes_of(activates ? 14 * outputs : 0, 4), slack),
        residual(bytes_of(adds ? outputs * pixels : 0, 4), slack) {
    fill_thresholds(random, threshold.as<void>(), outputs, products);
    for (const Guarded* floats : {&scale, &bias, &activations, &residual}) {
      fill_floats(random, floats->as<void>(), static_cast<int64_t>(floats->size() / 4));
    }
    // Sums of whole numbers, of which many are zero.
    for (const Guarded* floats : {&bias, &residual}) {
      for (int64_t i = 0; i < static_cast<int64_t>(floats->size() / 4); ++i) {
        if (i % outputs % 3) continue;
        store(floats->as<float>() + i, static_cast<float>(uniform(random, -2, 2)));
      }
    }
    for (int64_t o = 0; o < outputs; o += 3) store(scale.as<float>() + o, o % 2 ? 1.0f : -1.0f);
    if (activates) {
      inner = activation(random, activations.as<float>(), outputs);
      outer = activation(random, activations.as<float>() + 6 * outputs, outputs);
    }
    if (integers) {
      // Ties, results that saturate, and a factor that is not finite.
      for (int64_t o = 0; o < outputs; ++o) {
        float* factor = scale.as<float>() + o;
        store(factor, roundf(load<float>(factor) * (o % 3 ? 9.0f : 9999.0f)));
        store(bias.as<float>() + o, static_cast<float>(uniform(random, -9, 9)) / 2);
      }
      const float rare[] = {NAN, INFINITY, -INFINITY, 1e30f};
      store(scale.as<float>() + uniform(random, 0, outputs - 1), rare[random() % 4]);
    }
    const bool full = random() % 2;
    dot_low = full ? INT32_MIN : static_cast<int32_t>(uniform(random, -9, 1));
    dot_high = full ? INT32_MAX : static_cast<int32_t>(uniform(random, 0, 9));
    dot_offset = random() % 4 ? 0 : static_cast<int32_t>(uniform(random, -products, products));
  }

  // Some rows are left out.
  static Activation activation(Random& random, const float* rows, int64_t outputs) {
    const auto row = [&](int64_t i) { return random() % 3 ? rows + i * outputs : nullptr; };
    Activation a = {row(0), row(1), row(2), row(3), row(4), row(5)};
    if (!a.slope) a.gain = nullptr;
    return a;
  }

  // `packed` is where signs go.
  Epilogue epilogue(void* packed) const {
    Epilogue e = {};
    e.dot_low = dot_low, e.dot_high = dot_high, e.dot_offset = dot_offset;
    if (is_threshold(op)) {
      e.threshold = threshold.as<const int32_t>();
      return e;
    }
    e.scale = scale.as<const float>();
    e.bias = bias.as<const float>();
    e.integers = integers;
    if (activates) {
      e.inner = inner, e.outer = outer;
      const float* bounds = activations.as<const float>() + 12 * (scale.size() / 4);
      if (dot_offset) e.sign_low = bounds;
      if (dot_offset % 2) e.sign_high = bounds + scale.size() / 4;
    }
    if (adds) e.residual = residual.as<const float>();
    if (signs) e.signs = static_cast<uint64_t*>(packed);
    return e;
  }
};

// Sizes of Y and of the signs.
inline size_t output_bytes(const EpilogueProblem& e, int64_t pixels, int64_t outputs) {
  if (is_threshold(e.op)) return bytes_of(pixels * words_of(outputs), 8);
  return bytes_of(pixels * outputs, e.integers ? 2 : 4);
}
inline size_t sign_bytes(const EpilogueProblem& e, int64_t pixels, int64_t outputs) {
  return e.signs ? bytes_of(pixels * words_of(outputs), 8) : 0;
}

struct ConvProblem {
  ConvShape shape;
  Guarded x, w;
  EpilogueProblem epilogue;

  // The shape needs all but what conv_fix and resize derive.
  ConvProblem(Random& random, Op op, const Steps& steps, const ConvShape& given, size_t slack)
      : shape(given),
        x(bytes_of(given.batch * given.height * given.width * given.input_words, 8), slack),
        w(bytes_of(given.outputs * conv_steps(given), 8), slack),
        epilogue(random, op, steps, given.outputs, given.batch * given.out_h * given.out_w,
                 given.products, slack) {
    fill_bits(random, x.as<void>(), shape.batch * shape.height * shape.width, shape.channels);
    fill_bits(random, w.as<void>(), shape.outputs * shape.kernel_h * shape.kernel_w,
              shape.group_channels);
  }

  ConvNode node(const ConvKernel& kernel, void* signs) const {
    ConvNode node = {};
    node.kernel = &kernel;
    node.shape = &shape;
    node.w = w.as<const uint64_t>();
    node.epilogue = epilogue.epilogue(signs);
    return node;
  }

  int64_t pixels() const { return shape.batch * shape.out_h * shape.out_w; }
  double macs() const {
    return static_cast<double>(pixels()) * static_cast<double>(shape.outputs) *
           static_cast<double>(shape.products);
  }
};

struct DenseProblem {
  DenseShape shape;
  Guarded x, w;
  EpilogueProblem epilogue;

  DenseProblem(Random& random, Op op, const Steps& steps, const DenseShape& given, size_t slack)
      : shape(given),
        x(bytes_of(given.rows * given.words, 8), slack),
        w(bytes_of(given.outputs * given.words, 8), slack),
        epilogue(random, op, steps, given.outputs, given.rows, given.products, slack) {
    fill_bits(random, x.as<void>(), shape.rows, shape.products);
    fill_bits(random, w.as<void>(), shape.outputs, shape.products);
  }

  DenseNode node(const DenseKernel& kernel, void* signs) const {
    DenseNode node = {};
    node.kernel = &kernel;
    node.shape = &shape;
    node.w = w.as<const uint64_t>();
    node.epilogue = epilogue.epilogue(signs);
    return node;
  }

  int64_t pixels() const { return shape.rows; }
  double macs() const {
    return static_cast<double>(shape.rows) * static_cast<double>(shape.outputs) *
           static_cast<double>(shape.products);
  }
};

struct PixelConvProblem {
  PixelConvShape shape;
  Guarded x, w;
  EpilogueProblem epilogue;

  // The shape needs all but what pixel_conv_fix and resize derive.
  PixelConvProblem(Random& random, Op op, const Steps& steps, const PixelConvShape& given,
                   size_t slack)
      : shape(given),
        x(bytes_of(given.batch * given.height * given.width * given.channels, 1), slack),
        w(bytes_of(given.outputs * given.products, 1), slack),
        epilogue(random, op, steps, given.outputs, given.batch * given.out_h * given.out_w,
                 given.products, slack) {
    // Mostly the extremes, where 16 bits would overflow.
    const auto fill = [&](const Guarded& bytes, int64_t low, int64_t high) {
      for (size_t i = 0; i < bytes.size(); ++i) {
        const int64_t kind = uniform(random, 0, 3);
        const int64_t value = kind == 0 ? low : kind == 1 ? high : uniform(random, low, high);
        bytes.as<uint8_t>()[i] = static_cast<uint8_t>(value);
      }
    };
    fill(x, 0, 255);
    fill(w, -128, 127);
    for (int64_t o = 0; o < shape.outputs; ++o) {
      const int64_t value = uniform(random, -40000, 40000);
      if (o % 8) store(epilogue.threshold.as<int32_t>() + o, static_cast<int32_t>(value));
    }
    epilogue.dot_low = INT32_MIN, epilogue.dot_high = INT32_MAX;
  }

  PixelConvNode node(const PixelConvKernel& kernel) const {
    PixelConvNode node = {};
    node.kernel = &kernel;
    node.shape = &shape;
    node.w = w.as<const int8_t>();
    node.epilogue = epilogue.epilogue(nullptr);
    return node;
  }

  int64_t pixels() const { return shape.batch * shape.out_h * shape.out_w; }
  double macs() const {
    return static_cast<double>(pixels()) * static_cast<double>(shape.outputs * shape.products);
  }
};

inline DenseShape dense_shape(int64_t rows, int64_t products, int64_t outputs) {
  return {outputs, words_of(products), products, words_of(outputs), rows};
}

}  // namespace sbn::test
