#include <immintrin.h>

#include "base/arithmetic.h"
#include "base/avx2.h"
#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

struct Sign {
  SBN_TARGET_AVX2 SBN_INLINE __m256 operator()(__m256 x, int64_t) const {
    return _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ);
  }
  bool operator()(float x, int64_t) const { return x < 0; }
};

struct OutsideInterval {
  const float* low;
  const float* high;

  SBN_TARGET_AVX2 SBN_INLINE __m256 operator()(__m256 x, int64_t channel) const {
    const __m256 below = _mm256_cmp_ps(x, _mm256_loadu_ps(low + channel), _CMP_LT_OQ);
    return _mm256_or_ps(below, _mm256_cmp_ps(x, _mm256_loadu_ps(high + channel), _CMP_GT_OQ));
  }
  bool operator()(float x, int64_t channel) const {
    return x < load<float>(low + channel) || x > load<float>(high + channel);
  }
};

template <class Negative>
SBN_TARGET_AVX2 SBN_INLINE void pack_rows(const float* x, uint64_t* y, int64_t rows,
                                          int64_t channels, Negative negative) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < channels; first += 64) {
      const int64_t count = min(channels - first, 64);
      uint64_t word = 0;
      int64_t part = 0;
      for (; part + 8 <= count; part += 8) {
        const __m256 set = negative(_mm256_loadu_ps(x + first + part), first + part);
        word |= uint64_t{static_cast<uint32_t>(_mm256_movemask_ps(set))} << part;
      }
      for (; part < count; ++part) {
        word |= uint64_t{negative(load<float>(x + first + part), first + part)} << part;
      }
      store(y++, word);
    }
    x += channels;
  }
}

SBN_TARGET_AVX2 void pack(const float* x, uint64_t* y, int64_t rows, int64_t channels) {
  pack_rows(x, y, rows, channels, Sign{});
}

SBN_TARGET_AVX2 void pack_threshold(const float* x, const float* low, const float* high,
                                    uint64_t* y, int64_t rows, int64_t channels) {
  pack_rows(x, y, rows, channels, OutsideInterval{low, high});
}

SBN_TARGET_AVX2 void unpack(const uint64_t* x, float* y, int64_t rows, int64_t channels) {
  const __m256i select = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256 one = _mm256_set1_ps(1.0f);
  const __m256 sign = _mm256_set1_ps(-0.0f);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < channels; first += 64) {
      const uint64_t word = load<uint64_t>(x++);
      const int64_t count = min(channels - first, 64);
      int64_t part = 0;
      for (; part + 8 <= count; part += 8) {
        const __m256i byte = _mm256_set1_epi32(static_cast<int>(word >> part & 255));
        const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(byte, select), select);
        const __m256 flip = _mm256_and_ps(_mm256_castsi256_ps(set), sign);
        _mm256_storeu_ps(y + part, _mm256_or_ps(one, flip));
      }
      for (; part < count; ++part) store(y + part, word >> part & 1 ? -1.0f : 1.0f);
      y += count;
    }
  }
}

SBN_TARGET_AVX2 void quantize(const float* x, const float* scale, const float* bias, int16_t* y,
                              int64_t rows, int64_t channels) {
  const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; c += 8) {
      const int64_t count = channels - c;
      const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(min(count, 8))),
                                               numbers);
      const auto at = [&](const float* from) SBN_TARGET_AVX2 {
        return count >= 8 ? _mm256_loadu_ps(from + c) : _mm256_maskload_ps(from + c, lanes);
      };
      avx2::store_int16(y + c, avx2::to_int16(_mm256_fmadd_ps(at(x), at(scale), at(bias))), count);
    }
    x += channels, y += channels;
  }
}

SBN_TARGET_AVX2 void quantize_linear(const LinearRange& range, const float* x, uint8_t* y,
                                     int64_t count) {
  const __m256 scale = _mm256_set1_ps(range.scale);
  const __m256 low = _mm256_set1_ps(range.low), high = _mm256_set1_ps(range.high);
  const __m256i zero = _mm256_set1_epi32(range.zero), byte = _mm256_set1_epi32(0xff);
  // Packing interleaves the halves of its inputs.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    __m256i parts[4];
    SBN_UNROLL
    for (int j = 0; j < 4; ++j) {
      const __m256 v = _mm256_div_ps(_mm256_loadu_ps(x + i + 8 * j), scale);
      // Of NaN and a number, the second.
      const __m256 kept = _mm256_min_ps(_mm256_max_ps(v, low), high);
      parts[j] = _mm256_and_si256(_mm256_add_epi32(_mm256_cvtps_epi32(kept), zero), byte);
    }
    const __m256i bytes = _mm256_packus_epi16(_mm256_packus_epi32(parts[0], parts[1]),
                                              _mm256_packus_epi32(parts[2], parts[3]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i),
                        _mm256_permutevar8x32_epi32(bytes, order));
  }
  for (; i < count; ++i) y[i] = quantize_linear(range, load<float>(x + i));
}

}  // namespace

const PackKernel pack_avx2 = {pack};
const PackThresholdKernel pack_threshold_avx2 = {pack_threshold};
const UnpackKernel unpack_avx2 = {unpack};
const QuantizeKernel quantize_avx2 = {quantize};
const QuantizeLinearKernel quantize_linear_avx2 = {quantize_linear};

}  // namespace sbn
