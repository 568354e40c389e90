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
  for (; word + 4 <= s.words; word += 4) {
    const __m256i turned = avx2::load256(minimum + word);
    __m256i all = _mm256_set1_epi64x(-1);
    for (int64_t i = ys.begin; i < ys.end; ++i) {
      for (int64_t j = xs.begin; j < xs.end; ++j) {
        const __m256i here = avx2::load256(image + (i * s.width + j) * s.words + word);
        all = _mm256_and_si256(all, _mm256_xor_si256(here, turned));
      }
    }
    avx2::store256(y + word, _mm256_xor_si256(all, turned));
  }
  for (; word + 2 <= s.words; word += 2) {
    const __m128i turned = _mm_loadu_si128(reinterpret_cast<const __m128i*>(minimum + word));
    __m128i all = _mm_set1_epi64x(-1);
    for (int64_t i = ys.begin; i < ys.end; ++i) {
      for (int64_t j = xs.begin; j < xs.end; ++j) {
        const uint64_t* at = image + (i * s.width + j) * s.words + word;
        const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        all = _mm_and_si128(all, _mm_xor_si128(here, turned));
      }
    }
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + word), _mm_xor_si128(all, turned));
  }
  for (; word < s.words; ++word) {
    const uint64_t turned = load<uint64_t>(minimum + word);
    uint64_t all = ~uint64_t{0};
    for (int64_t i = ys.begin; i < ys.end; ++i) {
      for (int64_t j = xs.begin; j < xs.end; ++j) {
        all &= load<uint64_t>(image + (i * s.width + j) * s.words + word) ^ turned;
      }
    }
    store(y + word, all ^ turned);
  }
}

SBN_TARGET_AVX2 void run(const MaxPoolShape& s, const uint64_t* x, const uint64_t* minimum,
                         uint64_t* y, Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const uint64_t* image = x + row / s.out_h * s.height * s.width * s.words;
    const Range ys = pool_window(row % s.out_h, s.stride_h, s.pad_top, s.kernel_h, s.height);
    for (int64_t column = 0; column < s.out_w; ++column) {
      const Range xs = pool_window(column, s.stride_w, s.pad_left, s.kernel_w, s.width);
      pool_pixel(s, image, minimum, y + (row * s.out_w + column) * s.words, ys, xs);
    }
  }
}

}  // namespace

const MaxPoolKernel max_pool_avx2 = {run};

}  // namespace sbn
