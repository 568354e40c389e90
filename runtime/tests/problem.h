// Random problems for every op, and how to give them to a kernel. The tests and the
// benchmarks share them.
#pragma once

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

// Sizes as the op library allocates them: whole cache lines.
inline size_t whole_lines(int64_t bytes) {
  return align_up(static_cast<size_t>(bytes), kScratchAlignment);
}

struct ConvProblem {
  ConvShape shape;
  Guarded x, w, threshold, scale, bias;

  // The shape needs all but what conv_fix and conv_resize derive.
  ConvProblem(Random& random, const ConvShape& given, size_t slack)
      : shape(given),
        x(bytes_of(given.batch * given.height * given.width * given.input_words, 8), slack),
        w(bytes_of(given.outputs * conv_steps(given), 8), slack),
        threshold(bytes_of(given.outputs, 4), slack),
        scale(bytes_of(given.outputs, 4), slack),
        bias(bytes_of(given.outputs, 4), slack) {
    fill_bits(random, x.as<void>(), shape.batch * shape.height * shape.width, shape.channels);
    fill_bits(random, w.as<void>(), shape.outputs * shape.kernel_h * shape.kernel_w,
              shape.group_channels);
    fill_thresholds(random, threshold.as<void>(), shape.outputs, shape.products);
    fill_floats(random, scale.as<void>(), shape.outputs);
    fill_floats(random, bias.as<void>(), shape.outputs);
  }

  ConvNode node(const ConvKernel& kernel, bool to_bits) const {
    ConvNode node = {};
    node.kernel = &kernel;
    node.shape = &shape;
    node.w = w.as<const uint64_t>();
    if (to_bits) {
      node.threshold = threshold.as<const int32_t>();
    } else {
      node.scale = scale.as<const float>();
      node.bias = bias.as<const float>();
    }
    return node;
  }

  size_t output_bytes(bool to_bits) const {
    const int64_t pixels = shape.batch * shape.out_h * shape.out_w;
    return to_bits ? bytes_of(pixels * shape.output_words, 8) : bytes_of(pixels * shape.outputs, 4);
  }

  double macs() const {
    return static_cast<double>(shape.batch * shape.out_h * shape.out_w) *
           static_cast<double>(shape.outputs) * static_cast<double>(shape.products);
  }
};

struct DenseProblem {
  DenseShape shape;
  Guarded x, w, threshold, scale, bias;

  DenseProblem(Random& random, const DenseShape& given, size_t slack)
      : shape(given),
        x(bytes_of(given.rows * given.words, 8), slack),
        w(bytes_of(given.outputs * given.words, 8), slack),
        threshold(bytes_of(given.outputs, 4), slack),
        scale(bytes_of(given.outputs, 4), slack),
        bias(bytes_of(given.outputs, 4), slack) {
    fill_bits(random, x.as<void>(), shape.rows, shape.products);
    fill_bits(random, w.as<void>(), shape.outputs, shape.products);
    fill_thresholds(random, threshold.as<void>(), shape.outputs, shape.products);
    fill_floats(random, scale.as<void>(), shape.outputs);
    fill_floats(random, bias.as<void>(), shape.outputs);
  }

  DenseNode node(const DenseKernel& kernel, bool to_bits) const {
    DenseNode node = {};
    node.kernel = &kernel;
    node.shape = &shape;
    node.w = w.as<const uint64_t>();
    if (to_bits) {
      node.threshold = threshold.as<const int32_t>();
    } else {
      node.scale = scale.as<const float>();
      node.bias = bias.as<const float>();
    }
    return node;
  }

  size_t output_bytes(bool to_bits) const {
    return to_bits ? bytes_of(shape.rows * shape.output_words, 8)
                   : bytes_of(shape.rows * shape.outputs, 4);
  }

  double macs() const {
    return static_cast<double>(shape.rows) * static_cast<double>(shape.outputs) *
           static_cast<double>(shape.products);
  }
};

inline DenseShape dense_shape(int64_t rows, int64_t products, int64_t outputs) {
  return {outputs, words_of(products), products, words_of(outputs), rows};
}

}  // namespace sbn::test
