// What makes signs and small integers of numbers, and packs them.
#pragma once

#include "check.h"
#include "reference.h"

namespace sbn::test {

// Pack, PackThreshold and Unpack of `rows` rows.
inline void test_pack(const KernelRow& row, Random& random, int64_t rows, int64_t channels) {
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

inline void test_quantize(const KernelRow& row, Random& random, int64_t rows, int64_t channels) {
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

inline void test_quantize_linear(const KernelRow& row, Random& random, int64_t count) {
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
inline void test_stochastic_sign(const KernelRow& row, Random& random, int64_t channels) {
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

}  // namespace sbn::test
