// Speed of every kernel of the table that this machine has: binary MACs a cycle, and
// what part of its instruction set's peak that is. The peak is measured in the same
// run, on a tile whose operands stay in the first-level cache.
//
//   kernel_bench --benchmark_filter=conv_threshold_avx512
#include <benchmark/benchmark.h>

#include <functional>
#include <string>

#include "cycles.h"
#include "kernels/product/scalar.h"
#include "problem.h"
#if SBN_X86
#include "kernels/product/avx2.h"
#include "kernels/product/avx512.h"
#include "kernels/product/avx512bw.h"
#elif SBN_ARM64
#include "kernels/product/neon.h"
#include "kernels/product/neon_lut2.h"
#if SBN_SME2
#include "kernels/product/sme2.h"
#endif
#endif

namespace sbn::bench {
namespace {

using test::Guarded;
using test::Random;

// Masked loads that reach into an unreadable page are right but slow: keep away from it.
constexpr size_t kSlack = 64;
constexpr double kSliceSeconds = 200e-6;

// The innermost loops on the same few operands.
constexpr int64_t kPeakSteps = 63;
alignas(64) uint64_t g_operands[1 << 11];

template <class Count>
SBN_INLINE void scalar_peak_body() {
  int64_t mismatches[scalar::kLanes] = {};
  scalar::accumulate<Count>(mismatches, g_operands, g_operands + 64, kPeakSteps);
  benchmark::DoNotOptimize(mismatches);
}
void portable_peak() { scalar_peak_body<scalar::Portable>(); }
#if SBN_X86
SBN_TARGET_POPCNT void popcnt_peak() { scalar_peak_body<scalar::Instruction>(); }

SBN_TARGET_AVX2 void avx2_peak() {
  static const uint16_t zeros[kPeakSteps] = {};
  const uint16_t* index[] = {zeros, zeros};
  const auto* w = reinterpret_cast<const uint8_t*>(g_operands);
  avx2::Sums<2, 2> sums;
  avx2::clear(sums);
  avx2::add_run(sums, index, w, kPeakSteps);
  benchmark::DoNotOptimize(sums);
}

SBN_TARGET_AVX512BW void avx512bw_peak() {
  static const uint16_t zeros[kPeakSteps] = {};
  const uint16_t* index[] = {zeros, zeros, zeros, zeros};
  benchmark::DoNotOptimize(index);  // the pairs might differ
  const auto* w = reinterpret_cast<const uint8_t*>(g_operands);
  avx512bw::Sums<4, avx512bw::kRegisters> sums;
  avx512bw::clear(sums);
  avx512bw::add_run(sums, index, w, kPeakSteps);
  benchmark::DoNotOptimize(sums);
}

SBN_TARGET_AVX512 void avx512_peak() {
  const uint64_t* x[avx512::kPixels] = {g_operands, g_operands + 1, g_operands + 2,
                                        g_operands + 3};
  benchmark::DoNotOptimize(x);  // the pixels might differ
  avx512::Tile<avx512::kPixels, 4> tile;
  avx512::clear<avx512::kPixels, 4>(tile);
  avx512::accumulate<avx512::kPixels, 4>(tile, x, 0, g_operands, kPeakSteps);
  // The tile itself would be stored in every step.
  __m512i sum = _mm512_setzero_si512();
  for (const auto& pixel : tile) {
    for (const __m512i& counts : pixel) sum = _mm512_add_epi64(sum, counts);
  }
  benchmark::DoNotOptimize(sum);
}
#elif SBN_ARM64
void neon_peak() {
  const auto* bytes = reinterpret_cast<const char*>(g_operands);
  const char* x[neon::kPixels] = {bytes, bytes, bytes};
  benchmark::DoNotOptimize(x);  // the pixels might differ
  neon::Tile<neon::kPixels, neon::kRegisters> tile;
  neon::clear<neon::kPixels, neon::kRegisters>(tile);
  neon::accumulate<16, neon::kPixels, neon::kRegisters>(tile, x, 0, g_operands, neon::kBlock,
                                                    kPeakSteps);
  benchmark::DoNotOptimize(tile);
}

void neon_lut2_peak() {
  static const uint16_t zeros[kPeakSteps] = {};
  const uint16_t* index[] = {zeros};
  const auto* w = reinterpret_cast<const uint8_t*>(g_operands);
  neon_lut2::Sums<1, neon_lut2::kRegisters> sums;
  neon_lut2::clear(sums);
  neon_lut2::add_run(sums, index, w, kPeakSteps);
  benchmark::DoNotOptimize(sums);
}
#endif
#if SBN_SME2
void sme2_peak() {
  static int32_t mismatches[sme2::kPositions * sme2::kChannels];
  sme2::Product product = {};
  product.x = product.w = reinterpret_cast<const uint32_t*>(g_operands);
  product.plane = product.positions = product.room = sme2::kPositions;
  int64_t steps[kPeakSteps];
  for (int64_t i = 0; i < kPeakSteps; ++i) steps[i] = i * product.plane;
  product.steps = steps;
  product.count = kPeakSteps;
  product.step_words = 1;
  product.channels = sme2::kChannels;
  product.result = mismatches;
  sme2::stream(product);
}
#endif

// One call of the register tile that a kernel's products run on.
struct Peak {
  double macs;
  void (*call)();
};

Peak peak_of(const KernelRow& row) {
  const auto steps = static_cast<double>(kPeakSteps);
  constexpr double kWord = 64;
#if SBN_X86
  switch (row.isa) {
    case Isa::avx512:
      return {steps * kWord * avx512::kPixels * avx512::kBlock, avx512_peak};
    case Isa::avx512bw:
      return {steps * 4 * 2 * 4 * avx512bw::kBlock, avx512bw_peak};
    case Isa::avx2:
      return {steps * 4 * 2 * 2 * avx2::kBlock, avx2_peak};
    default:
      if (row.features & kPopcnt) return {steps * kWord * scalar::kLanes, popcnt_peak};
  }
#elif SBN_ARM64
  if (row.isa == Isa::neon_lut2) {
    constexpr double kDigit = neon_lut2::Digits::kBits;
    return {steps * kDigit * 2 * neon_lut2::kBlock, neon_lut2_peak};
  }
#if SBN_SME2
  if (row.isa == Isa::sme2) {
    return {steps * 32 * sme2::kPositions * sme2::kChannels, sme2_peak};
  }
#endif
  if (row.isa == Isa::neon) return {steps * kWord * neon::kPixels * neon::kBlock, neon_peak};
#endif
  return {steps * kWord * scalar::kLanes, portable_peak};
}

int64_t calls_in_slice(const std::function<void()>& call) {
  call();
  return static_cast<int64_t>(kSliceSeconds / measure(1, call).seconds) + 1;
}

// Runs `call` in slices, one an iteration, and reports the medians.
void run(benchmark::State& state, const std::function<void()>& call, const char* unit,
         double work) {
  const int64_t calls = calls_in_slice(call);
  std::vector<double> rates, times;
  for (auto _ : state) {
    const Cost cost = measure(calls, call);
    state.SetIterationTime(cost.seconds);
    rates.push_back(work / cost.cycles);
    times.push_back(cost.seconds);
  }
  state.counters[unit] = median(rates);
  state.counters["us"] = median(times) * 1e6;
}

// The same for a product, with a slice of the peak next to each: whatever else runs on
// the machine slows both down.
void run(benchmark::State& state, const KernelRow& row, const std::function<void()>& call,
         double macs) {
  const Peak peak = peak_of(row);
  const int64_t calls = calls_in_slice(call), peak_calls = calls_in_slice(peak.call);
  std::vector<double> rates, times, shares, peaks;
  for (auto _ : state) {
    const Cost best = measure(peak_calls, peak.call);
    const Cost cost = measure(calls, call);
    state.SetIterationTime(cost.seconds);
    rates.push_back(macs / cost.cycles);
    times.push_back(cost.seconds);
    peaks.push_back(peak.macs / best.cycles);
    shares.push_back(100 * rates.back() / peaks.back());
  }
  state.counters["MAC/cycle"] = median(rates);
  state.counters["us"] = median(times) * 1e6;
  state.counters["peak"] = median(peaks);
  state.counters["% of peak"] = median(shares);
}

void add(const std::string& name, const std::function<void(benchmark::State&)>& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->UseManualTime()
      ->Iterations(60)
      ->Unit(benchmark::kMicrosecond);
}

struct ConvCase {
  const char* name;
  int64_t size, channels, outputs, kernel, stride, pad_value, batch;
};

constexpr ConvCase kConvCases[] = {
    {"64->64@56", 56, 64, 64, 3, 1, 1, 1},
    {"128->128@32", 32, 128, 128, 3, 1, 1, 1},
    {"128->128@32/zero", 32, 128, 128, 3, 1, 0, 1},
    {"128->128@32/batch8", 32, 128, 128, 3, 1, 1, 8},
    {"128->256@16", 16, 128, 256, 3, 1, 1, 1},
    {"256->256@16", 16, 256, 256, 3, 1, 1, 1},
    {"256->512@8", 8, 256, 512, 3, 1, 1, 1},
    {"512->512@8", 8, 512, 512, 3, 1, 1, 1},
    {"128->256@28/stride2", 28, 128, 256, 3, 2, 1, 1},
    {"32->32@56", 56, 32, 32, 3, 1, 1, 1},
    {"256->256@14/1x1", 14, 256, 256, 1, 1, 1, 1},
    {"512->512@7", 7, 512, 512, 3, 1, 1, 1},
};

// How a product can end: in v = sum * scale + bias, with a shortcut and signs, or with
// activations around the shortcut.
struct Ending {
  const char* name;
  test::Steps steps;
};

constexpr Ending kEndings[] = {
    {"", {}}, {"/residual", {false, true, true, false}}, {"/activate", {true, true, true, false}}};

template <class Bench>
void add_endings(const KernelRow& row, const std::string& name, const Bench& bench) {
  for (const Ending& ending : kEndings) {
    if (is_threshold(row.op) && ending.steps.adds) continue;
    add(name + ending.name,
        [&ending, bench](benchmark::State& state) { bench(state, ending.steps); });
  }
}

ConvShape shape_of(const ConvCase& c) {
  ConvShape s = {};
  s.groups = s.dilation_h = s.dilation_w = 1;
  s.channels = c.channels, s.outputs = c.outputs;
  s.kernel_h = s.kernel_w = c.kernel;
  s.stride_h = s.stride_w = c.stride;
  s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = c.kernel / 2;
  s.pad_value = c.pad_value;
  s.batch = c.batch, s.height = s.width = c.size;
  conv_fix(&s);
  resize(&s);
  return s;
}

void bench_conv(benchmark::State& state, const KernelRow& row, const ConvCase& c,
                const test::Steps& steps) {
  const auto& kernel = *static_cast<const ConvKernel*>(row.kernel);
  Random random(0);
  const test::ConvProblem problem(random, row.op, steps, shape_of(c), kSlack);
  const Guarded signs(
      test::sign_bytes(problem.epilogue, problem.pixels(), problem.shape.outputs), kSlack);
  const Guarded y(
      test::output_bytes(problem.epilogue, problem.pixels(), problem.shape.outputs), kSlack);
  ConvNode node = problem.node(kernel, signs.as<void>());
  node.epilogue.dot_low = INT32_MIN, node.epilogue.dot_high = INT32_MAX;
  node.epilogue.dot_offset = 0;
  const Guarded weights(test::whole_lines(kernel.weight_bytes(problem.shape)));
  kernel.pack_weights(problem.shape, node.w, weights.as<void>());
  node.packed_weights = weights.as<void>();
  const Guarded preparing(test::whole_lines(conv_prepare_scratch(node).value()));
  const Guarded offsets(test::whole_lines(conv_prepared_bytes(node)));
  conv_prepare_offsets(node, preparing.as<void>(), offsets.as<void>());
  node.packed_offsets = offsets.as<void>();
  const Guarded scratch(test::whole_lines(conv_scratch(node).value()));
  const auto call = [&] {
    conv_execute(node, problem.x.as<const uint64_t>(), y.as<void>(), scratch.as<void>(),
                 test::serial());
  };
  run(state, row, call, problem.macs());
}

struct DenseCase {
  int64_t rows, products, outputs;
};

constexpr DenseCase kDenseCases[] = {
    {1, 8192, 1024}, {1, 1024, 1024}, {1, 1024, 10}, {32, 8192, 1024}};

void bench_dense(benchmark::State& state, const KernelRow& row, const DenseCase& c,
                 const test::Steps& steps) {
  const auto& kernel = *static_cast<const DenseKernel*>(row.kernel);
  Random random(0);
  const test::DenseProblem problem(random, row.op, steps,
                                   test::dense_shape(c.rows, c.products, c.outputs), kSlack);
  const Guarded signs(
      test::sign_bytes(problem.epilogue, problem.pixels(), problem.shape.outputs), kSlack);
  const Guarded y(
      test::output_bytes(problem.epilogue, problem.pixels(), problem.shape.outputs), kSlack);
  DenseNode node = problem.node(kernel, signs.as<void>());
  node.epilogue.dot_low = INT32_MIN, node.epilogue.dot_high = INT32_MAX;
  node.epilogue.dot_offset = 0;
  const Guarded weights(test::whole_lines(kernel.weight_bytes(problem.shape)));
  kernel.pack_weights(problem.shape, node.w, weights.as<void>());
  node.packed_weights = weights.as<void>();
  const Guarded offsets(test::whole_lines(kernel.offset_bytes(problem.shape)));
  std::vector<int32_t> preparing(static_cast<size_t>(problem.shape.outputs));
  dense_prepare_offsets(node, preparing.data(), offsets.as<void>());
  node.packed_offsets = offsets.as<void>();
  const Guarded scratch(test::whole_lines(dense_scratch(node).value()));
  const auto call = [&] {
    dense_execute(node, problem.x.as<const uint64_t>(), y.as<void>(), scratch.as<void>(),
                  test::serial());
  };
  run(state, row, call, problem.macs());
}

// The first layers of cifar-vgg and of ResNet-like networks.
constexpr PixelConvShape kFirst32 = {3, 128, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 32, 32,
                                     0, 0,   0, 0};
constexpr PixelConvShape kFirst224 = {3, 64, 7, 7, 2, 2, 1, 1, 3, 3, 3, 3, 0, 1, 224, 224,
                                      0, 0,  0, 0};

void bench_pixel_conv(benchmark::State& state, const KernelRow& row, PixelConvShape s) {
  const auto& kernel = *static_cast<const PixelConvKernel*>(row.kernel);
  pixel_conv_fix(&s);
  resize(&s);
  Random random(0);
  const test::PixelConvProblem problem(random, row.op, {}, s, kSlack);
  const Guarded y(test::output_bytes(problem.epilogue, problem.pixels(), s.outputs), kSlack);
  PixelConvNode node = problem.node(kernel);
  const Guarded weights(test::whole_lines(kernel.weight_bytes(s)));
  kernel.pack_weights(s, node.w, weights.as<void>());
  node.packed_weights = weights.as<void>();
  const auto call = [&] {
    pixel_conv_execute(node, problem.x.as<const uint8_t>(), y.as<void>(), nullptr, test::serial());
  };
  run(state, call, "MAC/cycle", problem.macs());
}

void bench_pack(benchmark::State& state, const KernelRow& row, int64_t rows, int64_t channels) {
  Random random(0);
  const Guarded floats(test::bytes_of(rows * channels, 4), kSlack);
  const Guarded low(test::bytes_of(channels, 4), kSlack);
  const Guarded high(test::bytes_of(channels, 4), kSlack);
  const Guarded bits(test::bytes_of(rows * words_of(channels), 8), kSlack);
  test::fill_floats(random, floats.as<void>(), rows * channels);
  test::fill_floats(random, low.as<void>(), channels);
  test::fill_floats(random, high.as<void>(), channels);
  test::fill_bits(random, bits.as<void>(), rows, channels);
  const auto call = [&] {
    if (row.op == Op::pack) {
      static_cast<const PackKernel*>(row.kernel)
          ->run(floats.as<const float>(), bits.as<uint64_t>(), rows, channels);
    } else if (row.op == Op::pack_threshold) {
      static_cast<const PackThresholdKernel*>(row.kernel)
          ->run(floats.as<const float>(), low.as<const float>(), high.as<const float>(),
                bits.as<uint64_t>(), rows, channels);
    } else {
      static_cast<const UnpackKernel*>(row.kernel)
          ->run(bits.as<const uint64_t>(), floats.as<float>(), rows, channels);
    }
  };
  run(state, call, "floats/cycle", static_cast<double>(rows * channels));
}

void bench_quantize(benchmark::State& state, const KernelRow& row, int64_t rows,
                    int64_t channels) {
  Random random(0);
  const Guarded x(test::bytes_of(rows * channels, 4), kSlack);
  const Guarded scale(test::bytes_of(channels, 4), kSlack);
  const Guarded bias(test::bytes_of(channels, 4), kSlack);
  const Guarded y(test::bytes_of(rows * channels, 2), kSlack);
  test::fill_floats(random, x.as<void>(), rows * channels);
  test::fill_floats(random, scale.as<void>(), channels);
  const auto call = [&] {
    static_cast<const QuantizeKernel*>(row.kernel)
        ->run(x.as<const float>(), scale.as<const float>(), bias.as<const float>(),
              y.as<int16_t>(), rows, channels);
  };
  run(state, call, "floats/cycle", static_cast<double>(rows * channels));
}

void bench_quantize_linear(benchmark::State& state, const KernelRow& row, int64_t count) {
  Random random(0);
  const Guarded x(test::bytes_of(count, 4), kSlack), y(test::bytes_of(count, 1), kSlack);
  test::fill_floats(random, x.as<void>(), count);
  const LinearRange range = {0.02f, -128, 127, 128};
  const auto call = [&] {
    static_cast<const QuantizeLinearKernel*>(row.kernel)
        ->run(range, x.as<const float>(), y.as<uint8_t>(), count);
  };
  run(state, call, "floats/cycle", static_cast<double>(count));
}

void bench_max_pool(benchmark::State& state, const KernelRow& row, int64_t size,
                    int64_t channels) {
  const bool packed = row.op == Op::max_pool;
  const int64_t words = words_of(channels), elements = packed ? words : channels;
  const MaxPoolShape s = {1, size, size, elements, 2, 2, 2, 2, 0, 0, size / 2, size / 2};
  Random random(0);
  const Guarded x(test::bytes_of(size * size * elements, packed ? 8 : 2), kSlack);
  const Guarded minimum(test::bytes_of(words, 8), kSlack);
  const Guarded y(test::bytes_of(size * size / 4 * elements, packed ? 8 : 2), kSlack);
  if (packed) {
    test::fill_bits(random, x.as<void>(), size * size, channels);
  } else {
    test::fill_integers(random, x.as<void>(), size * size * channels);
  }
  const auto call = [&] {
    if (packed) {
      static_cast<const MaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const uint64_t>(), minimum.as<const uint64_t>(), y.as<uint64_t>(),
                {0, s.out_h});
    } else {
      static_cast<const QuantizedMaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const int16_t>(), minimum.as<const uint64_t>(), y.as<int16_t>(),
                {0, s.out_h});
    }
  };
  run(state, call, packed ? "words/cycle" : "integers/cycle",
      static_cast<double>(size * size * elements));
}

void bench_stochastic_sign(benchmark::State& state, const KernelRow& row, int64_t images,
                           int64_t pixels, int64_t channels) {
  Random random(0);
  int32_t entries[2][SignTable::kSegments];
  for (int32_t i = 0; i < SignTable::kSegments; ++i) {
    entries[0][i] = 32768 + 500 * i, entries[1][i] = 500;
  }
  SignTable table;
  table.set(entries[0]);
  const Guarded x(test::bytes_of(images * pixels * channels, 2), kSlack);
  const Guarded y(test::bytes_of(images * pixels * words_of(channels), 8), kSlack);
  test::fill_integers(random, x.as<void>(), images * pixels * channels);
  StochasticSignNode node = {};
  node.kernel = static_cast<const StochasticSignKernel*>(row.kernel);
  node.table = &table;
  node.samples = 1, node.fan_out = true;
  node.images = images, node.pixels = pixels, node.channels = channels;
  const auto call = [&] {
    stochastic_sign_execute(node, x.as<const int16_t>(), y.as<uint64_t>(), test::serial());
  };
  run(state, call, "signs/cycle", static_cast<double>(images * pixels * channels));
}

// FloatMaxPool or FloatDepthwiseConv with a square window on a square image.
void bench_window(benchmark::State& state, const KernelRow& row, int64_t size, int64_t channels,
                  int64_t kernel, int64_t stride) {
  WindowShape s = {1,      size, size, channels, kernel, kernel, stride, stride, 1, 1,
                   0, 0, 0, 0, 0, 0};
  s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = (kernel - 1) / 2;
  resize(&s);
  Random random(0);
  const Guarded x(test::bytes_of(size * size * channels, 4));
  const Guarded w(test::bytes_of(kernel * kernel * channels, 4));
  const Guarded bias(test::bytes_of(channels, 4));
  const Guarded y(test::bytes_of(s.out_h * s.out_w * channels, 4));
  test::fill_floats(random, x.as<void>(), size * size * channels);
  test::fill_floats(random, w.as<void>(), kernel * kernel * channels);
  test::fill_floats(random, bias.as<void>(), channels);
  const auto call = [&] {
    if (row.op == Op::float_max_pool) {
      static_cast<const FloatMaxPoolKernel*>(row.kernel)
          ->run(s, x.as<const float>(), 0.0f, y.as<float>(), {0, s.out_h});
    } else {
      static_cast<const FloatDepthwiseConvKernel*>(row.kernel)
          ->run(s, x.as<const float>(), w.as<const float>(), bias.as<const float>(),
                y.as<float>(), {0, s.out_h});
    }
  };
  run(state, call, "elements/cycle",
      static_cast<double>(s.out_h * s.out_w * channels * kernel * kernel));
}

void bench_float_product(benchmark::State& state, const KernelRow& row, int64_t rows,
                         FloatProductShape s) {
  const auto* kernel = static_cast<const FloatProductKernel*>(row.kernel);
  const auto floats = [](int64_t count) {
    return std::vector<float>(static_cast<size_t>(count), 1);
  };
  const std::vector<float> x = floats(rows * s.terms), w = floats(s.terms * s.columns);
  const std::vector<float> bias = floats(s.columns);
  std::vector<float> packed = floats(float_product_bytes(*kernel, s) / 4);
  std::vector<float> y = floats(rows * s.columns);
  float_product_pack(*kernel, s, w.data(), s.columns, 1, packed.data());
  const auto call = [&] {
    kernel->run(s, x.data(), s.terms, packed.data(), bias.data(), y.data(), s.columns, rows);
  };
  run(state, call, "MACs/cycle", static_cast<double>(rows * s.terms * s.columns));
}

void register_row(const KernelRow& row) {
  const std::string prefix = std::string(row.name) + "/";
  if (is_conv(row.op)) {
    for (const ConvCase& c : kConvCases) {
      add_endings(row, prefix + c.name, [&](benchmark::State& state, const test::Steps& steps) {
        bench_conv(state, row, c, steps);
      });
    }
  } else if (is_dense(row.op)) {
    for (const DenseCase& c : kDenseCases) {
      const std::string name = std::to_string(c.products) + "->" + std::to_string(c.outputs) +
                               "/rows" + std::to_string(c.rows);
      add_endings(row, prefix + name, [&](benchmark::State& state, const test::Steps& steps) {
        bench_dense(state, row, c, steps);
      });
    }
  } else if (is_pixel_conv(row.op)) {
    add(prefix + "3->128@32", [&](benchmark::State& s) { bench_pixel_conv(s, row, kFirst32); });
    add(prefix + "3->64@224/7x7/stride2",
        [&](benchmark::State& s) { bench_pixel_conv(s, row, kFirst224); });
  } else if (row.op == Op::quantize) {
    add(prefix + "1024x128", [&](benchmark::State& s) { bench_quantize(s, row, 1024, 128); });
  } else if (row.op == Op::quantize_linear) {
    add(prefix + "131072", [&](benchmark::State& s) { bench_quantize_linear(s, row, 131072); });
  } else if (row.op == Op::stochastic_sign) {
    const auto one = [&](const char* name, int64_t images, int64_t pixels, int64_t channels) {
      add(prefix + name, [&row, images, pixels, channels](benchmark::State& s) {
        bench_stochastic_sign(s, row, images, pixels, channels);
      });
    };
    one("128@32", 1, 1024, 128);
    one("128@32/batch8", 8, 1024, 128);
    one("512@8", 1, 64, 512);
    one("1024@1", 1, 1, 1024);
  } else if (row.op == Op::max_pool || row.op == Op::quantized_max_pool) {
    add(prefix + "128@32", [&](benchmark::State& s) { bench_max_pool(s, row, 32, 128); });
    add(prefix + "512@8", [&](benchmark::State& s) { bench_max_pool(s, row, 8, 512); });
  } else if (row.op == Op::float_max_pool) {
    add(prefix + "64@56/2x2", [&](benchmark::State& s) { bench_window(s, row, 56, 64, 2, 1); });
    add(prefix + "64@112/3x3/stride2",
        [&](benchmark::State& s) { bench_window(s, row, 112, 64, 3, 2); });
  } else if (row.op == Op::float_depthwise_conv) {
    add(prefix + "16@112/3x3/stride2",
        [&](benchmark::State& s) { bench_window(s, row, 112, 16, 3, 2); });
    add(prefix + "64@55/3x3/stride2",
        [&](benchmark::State& s) { bench_window(s, row, 55, 64, 3, 2); });
    add(prefix + "128@27/3x3/stride2",
        [&](benchmark::State& s) { bench_window(s, row, 27, 128, 3, 2); });
    add(prefix + "256@13/3x3/stride2",
        [&](benchmark::State& s) { bench_window(s, row, 13, 256, 3, 2); });
  } else if (row.op == Op::float_product) {
    add(prefix + "64->128/rows784",
        [&](benchmark::State& s) { bench_float_product(s, row, 784, {64, 128}); });
    add(prefix + "512->1000/rows1",
        [&](benchmark::State& s) { bench_float_product(s, row, 1, {512, 1000}); });
  } else {
    add(prefix + "1024x128", [&](benchmark::State& s) { bench_pack(s, row, 1024, 128); });
    add(prefix + "1024x100", [&](benchmark::State& s) { bench_pack(s, row, 1024, 100); });
  }
}

}  // namespace
}  // namespace sbn::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (size_t i = 0; i < sbn::kKernelCount; ++i) {
    if (sbn::kernel_available(sbn::kKernelTable[i])) sbn::bench::register_row(sbn::kKernelTable[i]);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
