// A tile of pixels by up to 64 channels, one accumulator of 32 bits for each. With VNNI four
// products are added by one instruction, else two by a multiplication and an addition.
#include <immintrin.h>

#include "base/avx512.h"
#include "kernels/pixel_conv/gather.h"
#include "kernels/pixel_conv/layout.h"
#include "kernels/product/avx512_float.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using avx512::bits_of;
using avx512::first_lanes;
using pixels::kBlock;
using pixels::kRows;

constexpr int64_t kLanes = 16;

struct Vnni {
  static constexpr int64_t kElements = 4;
  using Weight = int8_t;
  static pixels::Runs runs(const PixelConvShape& s) { return pixels::row_runs(s); }

  // Written as an instruction: only the outermost function may ask for VNNI.
  static SBN_TARGET_AVX512BW SBN_INLINE __m512i add(__m512i sum, __m512i pixel, __m512i weight) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(pixel), "v"(weight));
    return sum;
  }
};

struct Widened {
  static constexpr int64_t kElements = 2;
  using Weight = int16_t;
  static pixels::Runs runs(const PixelConvShape& s) { return pixels::one_run(s); }

  static SBN_TARGET_AVX512BW SBN_INLINE void gather(PixelGather& from, const PixelConvShape& s,
                                                    uint32_t* row) {
    alignas(64) uint8_t bytes[4 * pixels::kMaxSteps];
    from.next(bytes);
    auto* to = reinterpret_cast<uint8_t*>(row);
    for (int64_t k = 0; k < s.products; k += 16) {
      const __m128i some = _mm_load_si128(reinterpret_cast<const __m128i*>(bytes + k));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 2 * k), _mm256_cvtepu8_epi16(some));
    }
  }

  static SBN_TARGET_AVX512BW SBN_INLINE __m512i add(__m512i sum, __m512i pixel, __m512i weight) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pixel, weight));
  }
};

// Epilogues take the sums of 16 channels and return their bits.
struct Threshold {
  Output out;

  SBN_TARGET_AVX512BW SBN_INLINE uint64_t operator()(__m512i sums, int64_t, int64_t channel,
                                                     __mmask16 lanes) const {
    const __m512i limits =
        _mm512_maskz_loadu_epi32(lanes, out.epilogue.threshold + channel);
    return bits_of(_mm512_mask_cmplt_epi32_mask(lanes, sums, limits));
  }
  SBN_INLINE void store_word(int64_t pixel, int64_t word, uint64_t bits) const {
    store(out.bits(pixel) + word, bits);
  }
};

template <Finish finish>
struct Float {
  Output out;

  SBN_TARGET_AVX512BW SBN_INLINE uint64_t operator()(__m512i sums, int64_t pixel, int64_t channel,
                                                     __mmask16 lanes) const {
    return avx512::finish_sixteen<finish>(out, sums, pixel, channel, lanes);
  }
  void store_word(int64_t, int64_t, uint64_t) const {}
};

// Where the bytes under neighbouring output pixels stand: in the image, or gathered.
struct Patches {
  const uint8_t* first;
  int64_t pixel_stride;       // bytes
  int64_t runs, run_stride;   // run_stride in bytes
  int64_t steps;              // of one run
};

// Pixels [pixel, pixel + Pixels) by the channels of one block.
template <class Product, int Pixels, int Registers, class Epilogue>
SBN_TARGET_AVX512BW SBN_INLINE void run_tile(const Patches& patches, const uint32_t* w, int64_t pixel,
                                             int64_t block, int64_t outputs,
                                             const Epilogue& epilogue) {
  __m512i sums[Pixels][Registers];
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums[p][r] = _mm512_setzero_si512();
  }
  const uint8_t* run = patches.first;
  for (int64_t i = 0; i < patches.runs; ++i, run += patches.run_stride) {
    const uint8_t* x = run;
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
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    uint64_t bits = 0;
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      const int64_t channel = block * kBlock + r * kLanes;
      bits |= epilogue(sums[p][r], pixel + p, channel, first_lanes(outputs - channel))
              << (r * kLanes);
    }
    epilogue.store_word(pixel + p, block, bits);
  }
}

// Pixels taken at a time at the borders of an image, where most are gathered.
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

// Takes the next output pixels, at most `most`, and says where their bytes stand.
template <class Product>
SBN_TARGET_AVX512BW SBN_INLINE int64_t gather(PixelGather& from, const PixelConvShape& s, int64_t most,
                          uint32_t (*rows)[pixels::kMaxSteps], Patches* patches) {
  constexpr bool kInPlace = Product::kElements == 4;
  const pixels::Runs runs = Product::runs(s);
  const int64_t steps = div_up(runs.bytes, Product::kElements);
  int64_t count = min(most, kRows);
  if (kInPlace && runs.bytes == s.kernel_w * s.channels && s.dilation_w == 1) {
    const uint8_t* x = from.in_place(count, steps * 4);
    if (!x) {
      count = min(most, kFew);
      x = from.in_place(count, steps * 4);
    }
    if (x) {
      *patches = {x, s.stride_w * s.channels, runs.count, s.dilation_h * s.width * s.channels,
                  steps};
      from.advance(count);
      return count;
    }
  }
  *patches = {reinterpret_cast<const uint8_t*>(rows), sizeof(*rows), runs.count, steps * 4, steps};
  for (int64_t i = 0; i < count; ++i) {
    if constexpr (kInPlace) {
      const bool joined = runs.bytes == s.products;
      from.next(reinterpret_cast<uint8_t*>(rows[i]),
                joined ? s.kernel_w * s.channels : steps * 4);
    } else {
      Product::gather(from, s, rows[i]);
    }
  }
  return count;
}

template <class Product, class Epilogue>
SBN_TARGET_AVX512BW SBN_INLINE void run_pixels(const PixelConvRun& run, Range pixels,
                                               const Epilogue& epilogue) {
  const PixelConvShape& s = *run.shape;
  const auto* weights = static_cast<const uint32_t*>(run.weights);
  const int64_t steps = pixels::steps<Product::kElements>(Product::runs(s));
  PixelGather from(run, pixels.begin);
  // The ends of runs may be parts of lanes; their weights are 0.
  alignas(64) uint32_t rows[kRows][pixels::kMaxSteps];
  for (auto& row : rows) {
    for (int64_t k = 0; k < steps; ++k) row[k] = 0;
  }
  for (int64_t begin = pixels.begin; begin < pixels.end;) {
    Patches patches;
    const int64_t count = gather<Product>(from, s, pixels.end - begin, rows, &patches);
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
  return {pixels::weight_bytes<kLanes, Product::kElements, Product::runs>,
          pixels::pack_weights<typename Product::Weight, kLanes, Product::kElements,
                               Product::runs>,
          run};
}

}  // namespace

const PixelConvKernel pixel_conv_threshold_vnni = kernel<Vnni>(run_vnni<Threshold>);
const PixelConvKernel pixel_conv_scale_vnni = kernel<Vnni>(run_vnni<Float<Finish::kScale>>);
const PixelConvKernel pixel_conv_scale_clamp_vnni =
    kernel<Vnni>(run_vnni<Float<Finish::kClamp>>);
const PixelConvKernel pixel_conv_threshold_avx512bw = kernel<Widened>(run_widened<Threshold>);
const PixelConvKernel pixel_conv_scale_avx512bw =
    kernel<Widened>(run_widened<Float<Finish::kScale>>);
const PixelConvKernel pixel_conv_scale_clamp_avx512bw =
    kernel<Widened>(run_widened<Float<Finish::kClamp>>);
const PixelConvKernel pixel_conv_quantize_vnni =
    kernel<Vnni>(run_vnni<Float<Finish::kQuantize>>);
const PixelConvKernel pixel_conv_quantize_avx512bw =
    kernel<Widened>(run_widened<Float<Finish::kQuantize>>);

}  // namespace sbn
