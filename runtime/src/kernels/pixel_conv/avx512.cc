// A tile of pixels by up to 64 channels, one accumulator of 32 bits for each. With VNNI four
// products are added by one instruction, else two by a multiplication and an addition.
#include <immintrin.h>

#include "base/avx512.h"
#include "kernels/pixel_conv/layout.h"
#include "kernels/pixel_conv/rows.h"
#include "kernels/product/avx512_float.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using avx512::bits_of;
using avx512::first_lanes;
using pixels::kBlock;
using pixels::Patches;

constexpr int64_t kLanes = 16;

struct Vnni {
  static constexpr int64_t kElements = 4, kLanes = 16;
  static pixels::Runs runs(const PixelConvShape& s) { return pixels::row_runs<kElements>(s); }
  using Element = uint8_t;
  using Weight = int8_t;

  static uint8_t element(uint8_t pixel) { return pixel; }
  static SBN_TARGET_AVX512BW void copy(uint8_t* to, const uint8_t* from,
                                                  int64_t count) {
    for (int64_t i = 0; i < count; i += 64) {
      const __mmask64 bytes = low_bits(count - i);
      _mm512_mask_storeu_epi8(to + i, bytes, _mm512_maskz_loadu_epi8(bytes, from + i));
    }
  }

  // Written as an instruction: only the outermost function may ask for VNNI.
  static SBN_TARGET_AVX512BW SBN_INLINE __m512i add(__m512i sum, __m512i pixel, __m512i weight) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(pixel), "v"(weight));
    return sum;
  }
};

struct Widened {
  static constexpr int64_t kElements = 2, kLanes = 16;
  static pixels::Runs runs(const PixelConvShape& s) { return pixels::row_runs<kElements>(s); }
  using Element = uint16_t;
  using Weight = int16_t;

  static uint16_t element(uint8_t pixel) { return pixel; }
  static SBN_TARGET_AVX512BW void copy(uint16_t* to, const uint8_t* from,
                                                  int64_t count) {
    for (int64_t i = 0; i < count; i += 32) {
      const auto some = static_cast<__mmask32>(low_bits(count - i));
      const __m512i bytes = _mm512_maskz_loadu_epi8(some, from + i);
      const __m512i wide = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes));
      _mm512_mask_storeu_epi16(to + i, some, wide);
    }
  }

  static SBN_TARGET_AVX512BW SBN_INLINE __m512i add(__m512i sum, __m512i pixel, __m512i weight) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pixel, weight));
  }
};

// Epilogues take the sums of P pixels by `count` <= 16 * N channels.
struct Threshold {
  Output out;

  template <int P, int N>
  SBN_TARGET_AVX512BW SBN_INLINE void operator()(__m512i (&sums)[P][N], int64_t pixel,
                                                 int64_t channel, int64_t count) const {
    SBN_ROLL
    for (int p = 0; p < P; ++p) {
      uint64_t bits = 0;
      SBN_UNROLL
      for (int i = 0; i < N; ++i) {
        const __mmask16 lanes = first_lanes(count - 16 * i);
        const int32_t* from = out.epilogue.threshold + channel + 16 * i;
        const __m512i limits = _mm512_maskz_loadu_epi32(lanes, from);
        const uint64_t less = bits_of(_mm512_mask_cmplt_epi32_mask(lanes, sums[p][i], limits));
        bits |= less << (16 * i);
      }
      store(out.bits(pixel + p) + channel / kBlock, bits);
    }
  }
};

struct NoSigns {
  static void store(const Output&, int64_t, int64_t, uint64_t) {}
};

struct Float {
  Output out;

  template <int P, int N>
  SBN_TARGET_AVX512BW SBN_INLINE void operator()(__m512i (&sums)[P][N], int64_t pixel,
                                                 int64_t channel, int64_t count) const {
    avx512::finish<NoSigns>(out, pixel, channel, count, sums);
  }
};

// Pixels [pixel, pixel + Pixels) by the channels of one block.
template <class Product, int Pixels, int Registers, class Epilogue>
SBN_TARGET_AVX512BW SBN_INLINE void run_tile(const Patches& patches, const uint32_t* w,
                                             int64_t pixel, int64_t block, int64_t outputs,
                                             const Epilogue& epilogue) {
  __m512i sums[Pixels][Registers];
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums[p][r] = _mm512_setzero_si512();
  }
  const char* run = patches.first;
  for (int64_t i = 0; i < patches.runs; ++i, run += patches.run_stride) {
    const char* x = run;
    for (int64_t k = 0; k < patches.steps; ++k, x += 4, w += Registers * kLanes) {
      __m512i weights[Registers];
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) weights[r] = _mm512_loadu_si512(w + r * kLanes);
      SBN_UNROLL
      for (int p = 0; p < Pixels; ++p) {
        const __m512i some = _mm512_set1_epi32(load<int32_t>(x + p * patches.pixel_stride));
        SBN_UNROLL
        for (int r = 0; r < Registers; ++r) sums[p][r] = Product::add(sums[p][r], some, weights[r]);
      }
    }
  }
  // An epilogue may choose among copies in a loop: clang would keep the sums themselves in memory for
  // it, and store each of them in every step.
  __m512i done[Pixels][Registers];
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) done[p][r] = sums[p][r];
  }
  epilogue(done, pixel, block * kBlock, outputs - block * kBlock);
}

// Pixels taken at a time at the end of a row.
constexpr int64_t kFew = 4;

// Few registers of channels need more pixels to hide the latency of a sum.
constexpr int64_t pixels_of(int registers) { return registers == 1 ? 16 : registers == 2 ? 8 : 4; }

template <class Product, int Registers, class Epilogue>
SBN_TARGET_AVX512BW SBN_INLINE void run_block(Patches patches, const uint32_t* w, Range pixels,
                                              int64_t block, int64_t outputs,
                                              const Epilogue& epilogue) {
  constexpr int64_t kTile = pixels_of(Registers);
  int64_t pixel = pixels.begin;
  for (; pixel + kTile <= pixels.end; pixel += kTile) {
    run_tile<Product, kTile, Registers>(patches, w, pixel, block, outputs, epilogue);
    patches.first += kTile * patches.pixel_stride;
  }
  for (; pixel + kFew <= pixels.end; pixel += kFew) {
    run_tile<Product, kFew, Registers>(patches, w, pixel, block, outputs, epilogue);
    patches.first += kFew * patches.pixel_stride;
  }
  for (; pixel < pixels.end; ++pixel) {
    run_tile<Product, 1, Registers>(patches, w, pixel, block, outputs, epilogue);
    patches.first += patches.pixel_stride;
  }
}

template <class Product, class Epilogue>
SBN_TARGET_AVX512BW SBN_INLINE void run_pixels(const PixelConvRun& run, Range pixels,
                                               const Epilogue& epilogue) {
  const PixelConvShape& s = *run.shape;
  const auto* weights = static_cast<const uint32_t*>(run.weights);
  const int64_t steps = pixels::steps<Product>(s);
  pixels::Rows<Product> rows(run, pixels.begin);
  for (int64_t begin = pixels.begin; begin < pixels.end;) {
    Patches patches;
    const int64_t count = rows.next(pixels.end - begin, &patches);
    const Range here = {begin, begin + count};
    begin += count;
    for (int64_t block = 0; block * kBlock < s.outputs; ++block) {
      const uint32_t* w = weights + block * kBlock * steps;
      switch (div_up(min(s.outputs - block * kBlock, kBlock), kLanes)) {
        case 1: run_block<Product, 1>(patches, w, here, block, s.outputs, epilogue); break;
        case 2: run_block<Product, 2>(patches, w, here, block, s.outputs, epilogue); break;
        case 3: run_block<Product, 3>(patches, w, here, block, s.outputs, epilogue); break;
        default: run_block<Product, 4>(patches, w, here, block, s.outputs, epilogue); break;
      }
    }
  }
}

template <class Epilogue>
SBN_TARGET_AVX512VNNI void run_vnni(const PixelConvRun& run, Range pixels) {
  run_pixels<Vnni>(run, pixels, Epilogue{run.output});
}

template <class Epilogue>
SBN_TARGET_AVX512BW void run_widened(const PixelConvRun& run, Range pixels) {
  run_pixels<Widened>(run, pixels, Epilogue{run.output});
}

template <class Product>
constexpr PixelConvKernel kernel(void (*run)(const PixelConvRun&, Range)) {
  return {pixels::weight_bytes<Product>, pixels::pack_weights<Product>, run};
}

}  // namespace

const PixelConvKernel pixel_conv_threshold_vnni = kernel<Vnni>(run_vnni<Threshold>);
const PixelConvKernel pixel_conv_float_vnni = kernel<Vnni>(run_vnni<Float>);
const PixelConvKernel pixel_conv_threshold_avx512bw = kernel<Widened>(run_widened<Threshold>);
const PixelConvKernel pixel_conv_float_avx512bw = kernel<Widened>(run_widened<Float>);

}  // namespace sbn
