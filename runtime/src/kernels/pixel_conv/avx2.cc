// Four pixels by 16 channels, one accumulator of 32 bits for each. With AVX-VNNI four products are
// added by one instruction. Else pixels and weights are widened to 16 bits, and two products take a
// multiplication and an addition: vpmaddubsw, which takes bytes, saturates.
#include <immintrin.h>

#include "base/avx2.h"
#include "kernels/pixel_conv/layout.h"
#include "kernels/pixel_conv/rows.h"
#include "kernels/product/avx2.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using avx2::load256;
using pixels::kBlock;
using pixels::Patches;

constexpr int64_t kLanes = 8;
constexpr int64_t kPixels = 4;

struct Vnni {
  static constexpr int64_t kElements = 4, kLanes = 8;
  using Element = uint8_t;
  using Weight = int8_t;
  static pixels::Runs runs(const PixelConvShape& s) { return pixels::row_runs<kElements>(s); }

  static uint8_t element(uint8_t pixel) { return pixel; }
  static SBN_TARGET_AVX2 void copy(uint8_t* to, const uint8_t* from, int64_t count) {
    const auto some = [&](int64_t i) SBN_TARGET_AVX2 { avx2::store256(to + i, load256(from + i)); };
    for (int64_t i = 0; i + 32 <= count; i += 32) some(i);
    if (count >= 32) return some(count - 32);
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
  }

  // Written as an instruction, with the prefix of those that need no AVX-512: compilers before
  // gcc 11 do not know it.
  static SBN_TARGET_AVX2 SBN_INLINE __m256i add(__m256i sum, __m256i pixel, __m256i weight) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(pixel), "x"(weight));
    return sum;
  }
};

struct Widened {
  static constexpr int64_t kElements = 2, kLanes = 8;
  using Element = uint16_t;
  using Weight = int16_t;
  static pixels::Runs runs(const PixelConvShape& s) { return pixels::row_runs<kElements>(s); }

  static uint16_t element(uint8_t pixel) { return pixel; }
  static SBN_TARGET_AVX2 void copy(uint16_t* to, const uint8_t* from, int64_t count) {
    const auto widen = [&](int64_t i) SBN_TARGET_AVX2 {
      const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
      avx2::store256(to + i, _mm256_cvtepu8_epi16(some));
    };
    for (int64_t i = 0; i + 16 <= count; i += 16) widen(i);
    if (count >= 16) return widen(count - 16);
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
  }

  static SBN_TARGET_AVX2 SBN_INLINE __m256i add(__m256i sum, __m256i pixel, __m256i weight) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pixel, weight));
  }
};

// Epilogues take the sums of P pixels by `count` <= 8 * N channels and note their bits, from bit
// `shift` on.
struct Threshold {
  Output out;

  template <int P, int N>
  SBN_TARGET_AVX2 SBN_INLINE void operator()(const __m256i (&sums)[P][N], int64_t, int64_t channel,
                                             int64_t count, int64_t shift,
                                             uint64_t (&bits)[P]) const {
    const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    SBN_UNROLL
    for (int i = 0; i < N; ++i) {
      const auto left = static_cast<int>(count - 8 * i);
      const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), numbers);
      const int32_t* from = out.epilogue.threshold + channel + 8 * i;
      const __m256i limits = left >= 8 ? load256(from) : _mm256_maskload_epi32(from, lanes);
      SBN_UNROLL
      for (int p = 0; p < P; ++p) {
        const __m256i below = _mm256_and_si256(lanes, _mm256_cmpgt_epi32(limits, sums[p][i]));
        const int found = _mm256_movemask_ps(_mm256_castsi256_ps(below));
        bits[p] |= static_cast<uint64_t>(found) << (8 * i + shift);
      }
    }
  }
  SBN_INLINE void store_word(int64_t pixel, int64_t word, uint64_t bits) const {
    store(out.bits(pixel) + word, bits);
  }
};

struct NoSigns {
  static void store(const Output&, int64_t, int64_t, uint32_t) {}
};

struct Float {
  Output out;

  SBN_TARGET_AVX2 SBN_INLINE void operator()(const __m256i (&sums)[4][2], int64_t pixel,
                                             int64_t channel, int64_t count, int64_t,
                                             uint64_t (&)[4]) const {
    avx2::finish<NoSigns, 4, 2>(out, pixel, channel, count, sums[0][0], sums[0][1], sums[1][0],
                                sums[1][1], sums[2][0], sums[2][1], sums[3][0], sums[3][1]);
  }
  SBN_TARGET_AVX2 SBN_INLINE void operator()(const __m256i (&sums)[4][1], int64_t pixel,
                                             int64_t channel, int64_t count, int64_t,
                                             uint64_t (&)[4]) const {
    avx2::finish<NoSigns, 4, 1>(out, pixel, channel, count, sums[0][0], sums[1][0], sums[2][0],
                                sums[3][0]);
  }
  template <int N>
  SBN_TARGET_AVX2 SBN_INLINE void operator()(const __m256i (&sums)[1][N], int64_t pixel,
                                             int64_t channel, int64_t count, int64_t,
                                             uint64_t (&)[1]) const {
    SBN_UNROLL
    for (int i = 0; i < N; ++i) {
      if (8 * i < count) {
        avx2::finish<NoSigns, 1, 1>(out, pixel, channel + 8 * i, count - 8 * i, sums[0][i]);
      }
    }
  }
  void store_word(int64_t, int64_t, uint64_t) const {}
};

// Adds up `Registers` of channels for `Pixels` pixels; a step of weights is `stride`
// lanes long.
template <class Product, int Pixels, int Registers>
SBN_TARGET_AVX2 SBN_INLINE void multiply(const Patches& patches, const uint32_t* w, int64_t stride,
                                         __m256i (&sums)[Pixels][Registers]) {
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums[p][r] = _mm256_setzero_si256();
  }
  const char* run = patches.first;
  for (int64_t i = 0; i < patches.runs; ++i, run += patches.run_stride) {
    const char* x = run;
    for (int64_t k = 0; k < patches.steps; ++k, x += 4, w += stride) {
      __m256i weights[Registers];
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) weights[r] = load256(w + r * kLanes);
      SBN_UNROLL
      for (int p = 0; p < Pixels; ++p) {
        const __m256i some = _mm256_set1_epi32(load<int32_t>(x + p * patches.pixel_stride));
        SBN_UNROLL
        for (int r = 0; r < Registers; ++r) sums[p][r] = Product::add(sums[p][r], some, weights[r]);
      }
    }
  }
}

// Pixels [pixel, pixel + Pixels) by the channels of one block.
template <class Product, int Pixels, class Epilogue>
SBN_TARGET_AVX2 SBN_INLINE void run_tile(const PixelConvShape& s,
                                         const Patches& patches, const uint32_t* w,
                                         int64_t pixel, int64_t block,
                                         const Epilogue& epilogue) {
  const int64_t first = block * kBlock;
  const int64_t end = min(first + kBlock, s.outputs);
  const int64_t stride = div_up(end - first, kLanes) * kLanes;
  uint64_t bits[Pixels] = {};
  int64_t channel = first;
  for (; channel + kLanes < end; channel += 2 * kLanes) {
    __m256i sums[Pixels][2];
    multiply<Product>(patches, w + channel - first, stride, sums);
    epilogue(sums, pixel, channel, min(end - channel, 2 * kLanes), channel - first, bits);
  }
  if (channel < end) {
    __m256i sums[Pixels][1];
    multiply<Product>(patches, w + channel - first, stride, sums);
    epilogue(sums, pixel, channel, end - channel, channel - first, bits);
  }
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) epilogue.store_word(pixel + p, block, bits[p]);
}

template <class Product, class Epilogue>
SBN_TARGET_AVX2 void run(const PixelConvRun& run, Range pixels) {
  const PixelConvShape& s = *run.shape;
  const Epilogue epilogue = {run.output};
  const auto* weights = static_cast<const uint32_t*>(run.weights);
  const int64_t steps = pixels::steps<Product>(s);
  pixels::Rows<Product> rows(run, pixels.begin);
  for (int64_t begin = pixels.begin; begin < pixels.end;) {
    Patches all;
    const int64_t end = begin + rows.next(pixels.end - begin, &all);
    for (int64_t block = 0; block * kBlock < s.outputs; ++block) {
      const uint32_t* w = weights + block * kBlock * steps;
      Patches patches = all;
      int64_t pixel = begin;
      for (; pixel + kPixels <= end; pixel += kPixels) {
        run_tile<Product, kPixels>(s, patches, w, pixel, block, epilogue);
        patches.first += kPixels * patches.pixel_stride;
      }
      for (; pixel < end; ++pixel) {
        run_tile<Product, 1>(s, patches, w, pixel, block, epilogue);
        patches.first += patches.pixel_stride;
      }
    }
    begin = end;
  }
}

template <class Product, class Epilogue>
constexpr PixelConvKernel kernel() {
  return {pixels::weight_bytes<Product>, pixels::pack_weights<Product>, run<Product, Epilogue>};
}

}  // namespace

const PixelConvKernel pixel_conv_threshold_avx2 = kernel<Widened, Threshold>();
const PixelConvKernel pixel_conv_float_avx2 = kernel<Widened, Float>();
const PixelConvKernel pixel_conv_threshold_avxvnni = kernel<Vnni, Threshold>();
const PixelConvKernel pixel_conv_float_avxvnni = kernel<Vnni, Float>();

}  // namespace sbn
