// Four pixels by eight channels, one accumulator of 32 bits for each; a step multiplies two
// neighbouring products of 16 bits and adds them.
#include "kernels/pixel_conv/layout.h"
#include "kernels/pixel_conv/rows.h"
#include "kernels/product/wasm.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using pixels::kBlock;
using pixels::Patches;

constexpr int64_t kLanes = 4;
constexpr int64_t kPixels = 4;
constexpr int kRegisters = 2;

struct Widened {
  static constexpr int64_t kElements = 2, kLanes = 4;
  using Element = uint16_t;
  using Weight = int16_t;
  static pixels::Runs runs(const PixelConvShape& s) { return pixels::row_runs<kElements>(s); }

  static uint16_t element(uint8_t pixel) { return pixel; }
  static void copy(uint16_t* to, const uint8_t* from, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
  }
};

// Epilogues take the sums of `count` channels, and return their bits.
struct Threshold {
  Output out;

  template <int Registers>
  SBN_INLINE uint64_t operator()(v128_t (&sums)[Registers], int64_t, int64_t channel,
                                 int64_t count) const {
    uint64_t bits = 0;
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      const int64_t first = r * kLanes;
      const int32_t* limits = out.epilogue.threshold + channel + first;
      const v128_t below = wasm_i32x4_lt(sums[r], wasm::load_first(limits, count - first));
      bits |= uint64_t{wasm_i32x4_bitmask(below)} << first;
    }
    return bits;
  }
  SBN_INLINE void store_word(int64_t pixel, int64_t word, uint64_t bits) const {
    store(out.bits(pixel) + word, bits);
  }
};

struct Float {
  Output out;

  template <int Registers>
  SBN_INLINE uint64_t operator()(v128_t (&sums)[Registers], int64_t pixel, int64_t channel,
                                 int64_t count) const {
    wasm::finish(out, sums, pixel, channel, count);
    return 0;
  }
  void store_word(int64_t, int64_t, uint64_t) const {}
};

// Adds up `Registers` of channels, of which `count` are in use, for `Pixels` pixels; a step of
// weights is `stride` lanes long.
template <int Pixels, int Registers, class Epilogue>
SBN_INLINE void multiply(const Patches& patches, const uint32_t* w, int64_t stride, int64_t pixel,
                         int64_t channel, int64_t count, int64_t shift, uint64_t (&bits)[Pixels],
                         const Epilogue& epilogue) {
  v128_t sums[Pixels][Registers];
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums[p][r] = v128_t{};
  }
  const char* run = patches.first;
  for (int64_t i = 0; i < patches.runs; ++i, run += patches.run_stride) {
    const char* x = run;
    for (int64_t k = 0; k < patches.steps; ++k, x += 4, w += stride) {
      v128_t weights[Registers];
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) weights[r] = load<v128_t>(w + r * kLanes);
      SBN_UNROLL
      for (int p = 0; p < Pixels; ++p) {
        const v128_t some = wasm_v128_load32_splat(x + p * patches.pixel_stride);
        SBN_UNROLL
        for (int r = 0; r < Registers; ++r) {
          sums[p][r] = wasm_i32x4_add(sums[p][r], wasm_i32x4_dot_i16x8(some, weights[r]));
        }
      }
    }
  }
  // The loop below chooses among copies: clang would keep the sums themselves in memory for it, and
  // store each of them in every step.
  v128_t done[Pixels][Registers];
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) done[p][r] = sums[p][r];
  }
  SBN_ROLL
  for (int p = 0; p < Pixels; ++p) {
    bits[p] |= epilogue(done[p], pixel + p, channel, count) << shift;
  }
}

// Pixels [pixel, pixel + Pixels) by the channels of one block.
template <int Pixels, class Epilogue>
SBN_INLINE void run_tile(const PixelConvShape& s, const Patches& patches, const uint32_t* w,
                         int64_t pixel, int64_t block, const Epilogue& epilogue) {
  const int64_t first = block * kBlock;
  const int64_t lanes = min(s.outputs - first, kBlock);
  const int64_t stride = div_up(lanes, kLanes) * kLanes;
  uint64_t bits[Pixels] = {};
  int64_t lane = 0;
  for (; lane + (kRegisters - 1) * kLanes < lanes; lane += kRegisters * kLanes) {
    multiply<Pixels, kRegisters>(patches, w + lane, stride, pixel, first + lane, lanes - lane,
                                 lane, bits, epilogue);
  }
  for (; lane < lanes; lane += kLanes) {
    multiply<Pixels, 1>(patches, w + lane, stride, pixel, first + lane, lanes - lane, lane, bits,
                        epilogue);
  }
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) epilogue.store_word(pixel + p, block, bits[p] & low_bits(lanes));
}

template <class Epilogue>
void run(const PixelConvRun& run, Range pixels) {
  const PixelConvShape& s = *run.shape;
  const Epilogue epilogue = {run.output};
  const auto* weights = static_cast<const uint32_t*>(run.weights);
  const int64_t steps = pixels::steps<Widened>(s);
  pixels::Rows<Widened> rows(run, pixels.begin);
  for (int64_t begin = pixels.begin; begin < pixels.end;) {
    Patches all;
    const int64_t end = begin + rows.next(pixels.end - begin, &all);
    for (int64_t block = 0; block * kBlock < s.outputs; ++block) {
      const uint32_t* w = weights + block * kBlock * steps;
      Patches patches = all;
      int64_t pixel = begin;
      for (; pixel + kPixels <= end; pixel += kPixels) {
        run_tile<kPixels>(s, patches, w, pixel, block, epilogue);
        patches.first += kPixels * patches.pixel_stride;
      }
      for (; pixel < end; ++pixel) {
        run_tile<1>(s, patches, w, pixel, block, epilogue);
        patches.first += patches.pixel_stride;
      }
    }
    begin = end;
  }
}

constexpr PixelConvKernel kernel(void (*run_one)(const PixelConvRun&, Range)) {
  return {pixels::weight_bytes<Widened>, pixels::pack_weights<Widened>, run_one};
}

}  // namespace

const PixelConvKernel pixel_conv_threshold_wasm = kernel(run<Threshold>);
const PixelConvKernel pixel_conv_float_wasm = kernel(run<Float>);

}  // namespace sbn
