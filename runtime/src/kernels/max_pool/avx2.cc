#include <immintrin.h>

#include "base/avx2.h"
#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

// One output pixel, four words at a time, then two, then one.
SBN_TARGET_AVX2 void pool_pixel(const MaxPoolShape& s, const uint64_t* image,
                                const uint64_t* minimum, uint64_t* y, Range ys, Range xs) {
  int64_t word = 0;
  for (; word + 4 <= s.elements; word += 4) {
    const __m256i turned = avx2::load256(minimum + word);
    __m256i all = _mm256_set1_epi64x(-1);
    for (int64_t i = ys.begin; i < ys.end; ++i) {
      for (int64_t j = xs.begin; j < xs.end; ++j) {
        const __m256i here = avx2::load256(image + (i * s.width + j) * s.elements + word);
        all = _mm256_and_si256(all, _mm256_xor_si256(here, turned));
      }
    }
    avx2::store256(y + word, _mm256_xor_si256(all, turned));
  }
  for (; word + 2 <= s.elements; word += 2) {
    const __m128i turned = _mm_loadu_si128(reinterpret_cast<const __m128i*>(minimum + word));
    __m128i all = _mm_set1_epi64x(-1);
    for (int64_t i = ys.begin; i < ys.end; ++i) {
      for (int64_t j = xs.begin; j < xs.end; ++j) {
        const uint64_t* at = image + (i * s.width + j) * s.elements + word;
        const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        all = _mm_and_si128(all, _mm_xor_si128(here, turned));
      }
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + word), _mm_xor_si128(all, turned));
  }
  for (; word < s.elements; ++word) {
    const uint64_t turned = load<uint64_t>(minimum + word);
    uint64_t all = ~uint64_t{0};
    for (int64_t i = ys.begin; i < ys.end; ++i) {
      for (int64_t j = xs.begin; j < xs.end; ++j) {
        all &= load<uint64_t>(image + (i * s.width + j) * s.elements + word) ^ turned;
      }
    }
    store(y + word, all ^ turned);
  }
}

SBN_TARGET_AVX2 void run(const MaxPoolShape& s, const uint64_t* x, const uint64_t* minimum,
                         uint64_t* y, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const uint64_t* image = x + row / s.out_h * s.height * s.width * s.elements;
    const Range ys = pool_window(row % s.out_h, s.stride_h, s.pad_top, s.kernel_h, s.height);
    for (int64_t column = 0; column < s.out_w; ++column) {
      const Range xs = pool_window(column, s.stride_w, s.pad_left, s.kernel_w, s.width);
      pool_pixel(s, image, minimum, y + (row * s.out_w + column) * s.elements, ys, xs);
    }
  }
}

// All ones where bit i of 16 is set, for lane i.
SBN_TARGET_AVX2 SBN_INLINE __m256i lanes_of(uint64_t bits) {
  const __m256i each = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096,
                                         8192, 16384, INT16_MIN);
  const __m256i all = _mm256_set1_epi16(static_cast<int16_t>(bits));
  return _mm256_cmpeq_epi16(_mm256_and_si256(all, each), each);
}

// One output pixel, 16 channels at a time. The last 16 overlap with those before, or are
// copied where there are fewer.
SBN_TARGET_AVX2 void pool_integers(const MaxPoolShape& s, const int16_t* image,
                                   const uint64_t* minimum, int16_t* y, Range ys, Range xs) {
  constexpr int64_t kLanes = 16;
  const int64_t count = min(s.elements, kLanes);
  const auto pool = [&](int64_t channel, auto load_lanes) SBN_TARGET_AVX2 {
    const uint64_t* words = minimum + channel / 64;
    uint64_t bits = load<uint64_t>(words) >> channel % 64;
    const int64_t missing = channel % 64 + count - 64;
    if (missing > 0) bits |= load<uint64_t>(words + 1) << (count - missing);
    const __m256i turned = lanes_of(bits);
    __m256i most = _mm256_set1_epi16(INT16_MIN);
    for (int64_t i = ys.begin; i < ys.end; ++i) {
      for (int64_t j = xs.begin; j < xs.end; ++j) {
        const __m256i here = load_lanes(image + (i * s.width + j) * s.elements + channel);
        most = _mm256_max_epi16(most, _mm256_xor_si256(here, turned));
      }
    }
    return _mm256_xor_si256(most, turned);
  };
  if (s.elements < kLanes) {
    alignas(32) int16_t lanes[kLanes] = {};
    const __m256i most = pool(0, [&](const int16_t* from) SBN_TARGET_AVX2 {
      for (int64_t i = 0; i < count; ++i) lanes[i] = load<int16_t>(from + i);
      return avx2::load256(lanes);
    });
    avx2::store256(lanes, most);
    for (int64_t i = 0; i < count; ++i) store(y + i, lanes[i]);
    return;
  }
  for (int64_t first = 0; first < s.elements; first += kLanes) {
    const int64_t channel = min(first, s.elements - kLanes);
    avx2::store256(y + channel, pool(channel, [&](const int16_t* from) SBN_TARGET_AVX2 {
                     return avx2::load256(from);
                   }));
  }
}

SBN_TARGET_AVX2 void run_quantized(const MaxPoolShape& s, const int16_t* x,
                                   const uint64_t* minimum, int16_t* y, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int16_t* image = x + row / s.out_h * s.height * s.width * s.elements;
    const Range ys = pool_window(row % s.out_h, s.stride_h, s.pad_top, s.kernel_h, s.height);
    for (int64_t column = 0; column < s.out_w; ++column) {
      const Range xs = pool_window(column, s.stride_w, s.pad_left, s.kernel_w, s.width);
      pool_integers(s, image, minimum, y + (row * s.out_w + column) * s.elements, ys, xs);
    }
  }
}

}  // namespace

const MaxPoolKernel max_pool_avx2 = {run};
const QuantizedMaxPoolKernel quantized_max_pool_avx2 = {run_quantized};

}  // namespace sbn
