// 16 floats become 16 bits of a mask register: bound by the load of the floats.
#include <immintrin.h>

#include "base/avx512.h"
#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using avx512::bits_of;
using avx512::first_lanes;

struct Sign {
  SBN_TARGET_AVX512BW SBN_INLINE __mmask16 operator()(__mmask16 lanes, __m512 x, int64_t) const {
    return _mm512_mask_cmp_ps_mask(lanes, x, _mm512_setzero_ps(), _CMP_LT_OQ);
  }
};

struct OutsideInterval {
  const float* low;
  const float* high;

  SBN_TARGET_AVX512BW SBN_INLINE __mmask16 operator()(__mmask16 lanes, __m512 x,
                                                    int64_t channel) const {
    const __m512 l = _mm512_maskz_loadu_ps(lanes, low + channel);
    const __m512 h = _mm512_maskz_loadu_ps(lanes, high + channel);
    const __mmask16 below = _mm512_mask_cmp_ps_mask(lanes, x, l, _CMP_LT_OQ);
    return static_cast<__mmask16>(below | _mm512_mask_cmp_ps_mask(lanes, x, h, _CMP_GT_OQ));
  }
};

template <class Negative>
SBN_TARGET_AVX512BW SBN_INLINE void pack_rows(const float* x, uint64_t* y, int64_t rows,
                                            int64_t channels, Negative negative) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < channels; first += 64) {
      const int64_t count = min(channels - first, 64);
      uint64_t word = 0;
      for (int64_t part = 0; part < count; part += 16) {
        const __mmask16 lanes = first_lanes(count - part);
        const __m512 values = _mm512_maskz_loadu_ps(lanes, x + first + part);
        word |= uint64_t{bits_of(negative(lanes, values, first + part))} << part;
      }
      store(y++, word);
    }
    x += channels;
  }
}

SBN_TARGET_AVX512BW void pack(const float* x, uint64_t* y, int64_t rows, int64_t channels) {
  pack_rows(x, y, rows, channels, Sign{});
}

SBN_TARGET_AVX512BW void pack_threshold(const float* x, const float* low, const float* high,
                                      uint64_t* y, int64_t rows, int64_t channels) {
  pack_rows(x, y, rows, channels, OutsideInterval{low, high});
}

SBN_TARGET_AVX512BW void unpack(const uint64_t* x, float* y, int64_t rows, int64_t channels) {
  const __m512 plus = _mm512_set1_ps(1.0f);
  const __m512 minus = _mm512_set1_ps(-1.0f);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < channels; first += 64) {
      const uint64_t word = load<uint64_t>(x++);
      const int64_t count = min(channels - first, 64);
      for (int64_t part = 0; part < count; part += 16) {
        const auto bits = static_cast<__mmask16>(word >> part);
        _mm512_mask_storeu_ps(y + first + part, first_lanes(count - part),
                              _mm512_mask_blend_ps(bits, plus, minus));
      }
    }
    y += channels;
  }
}

SBN_TARGET_AVX512BW void quantize(const float* x, const float* scale, const float* bias, int16_t* y,
                                  int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; c += 16) {
      const __mmask16 lanes = first_lanes(channels - c);
      const auto at = [&](const float* from) SBN_TARGET_AVX512BW {
        return _mm512_maskz_loadu_ps(lanes, from + c);
      };
      const __m512 v = _mm512_fmadd_ps(at(x), at(scale), at(bias));
      _mm256_mask_storeu_epi16(y + c, lanes, avx512::to_int16(v));
    }
    x += channels, y += channels;
  }
}

SBN_TARGET_AVX512BW void quantize_linear(const LinearRange& range, const float* x, uint8_t* y,
                                         int64_t count) {
  const __m512 scale = _mm512_set1_ps(range.scale);
  const __m512 low = _mm512_set1_ps(range.low), high = _mm512_set1_ps(range.high);
  const __m512i zero = _mm512_set1_epi32(range.zero);
  for (int64_t i = 0; i < count; i += 16) {
    const __mmask16 lanes = first_lanes(count - i);
    const __m512 v = _mm512_div_ps(_mm512_maskz_loadu_ps(lanes, x + i), scale);
    // Of NaN and a number, the second.
    const __m512 kept = _mm512_min_ps(_mm512_max_ps(v, low), high);
    const __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(kept), zero);
    _mm512_mask_cvtepi32_storeu_epi8(y + i, lanes, whole);
  }
}

}  // namespace

const PackKernel pack_avx512bw = {pack};
const PackThresholdKernel pack_threshold_avx512bw = {pack_threshold};
const UnpackKernel unpack_avx512bw = {unpack};
const QuantizeKernel quantize_avx512bw = {quantize};
const QuantizeLinearKernel quantize_linear_avx512bw = {quantize_linear};

}  // namespace sbn
