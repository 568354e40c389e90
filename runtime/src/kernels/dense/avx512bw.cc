#include "kernels/dense/bytes.h"
#include "kernels/product/avx512bw.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = avx512bw;
using product::Counts;
using product::kChannels;

constexpr int64_t kBlock = 4 * kChannels;

template <int Registers>
SBN_TARGET_AVX512BW SBN_INLINE void accumulate(Counts (&counts)[Registers], const uint8_t* x,
                                               const uint8_t* w, int64_t size) {
  const __m512i low = _mm512_set1_epi8(15);
  for (int64_t begin = 0; begin < size; begin += bytes::kBytesPerFlush) {
    __m512i sums[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums[r] = _mm512_setzero_si512();
    const int64_t end = min(begin + bytes::kBytesPerFlush, size);
    for (int64_t byte = begin; byte < end; ++byte, w += Registers * kChannels) {
      const auto table = [&](unsigned nibble) SBN_TARGET_AVX512BW {
        return _mm512_broadcast_i32x4(
            _mm_load_si128(reinterpret_cast<const __m128i*>(bytes::kNibbleTables.entries[nibble])));
      };
      const __m512i low_table = table(x[byte] & 15u);
      const __m512i high_table = table(x[byte] >> 4);
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) {
        const __m512i both = _mm512_loadu_si512(w + r * kChannels);
        const __m512i first = _mm512_and_si512(both, low);
        const __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        const __m512i found = _mm512_add_epi8(_mm512_shuffle_epi8(low_table, first),
                                              _mm512_shuffle_epi8(high_table, second));
        sums[r] = _mm512_add_epi8(sums[r], found);
      }
    }
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      const __m512i even = _mm512_and_si512(sums[r], _mm512_set1_epi16(255));
      counts[r].even = _mm512_add_epi16(counts[r].even, even);
      counts[r].odd = _mm512_add_epi16(counts[r].odd, _mm512_srli_epi16(sums[r], 8));
    }
  }
}

#define SBN_BYTES_TARGET SBN_TARGET_AVX512BW
#include "kernels/dense/bytes.inc"
#undef SBN_BYTES_TARGET

}  // namespace

const DenseKernel dense_threshold_avx512bw = kernel<product::Threshold>();
const DenseKernel dense_scale_avx512bw = kernel<product::Float<Finish::kScale>>();
const DenseKernel dense_scale_clamp_avx512bw = kernel<product::Float<Finish::kClamp>>();
const DenseKernel dense_scale_prelu_avx512bw = kernel<product::Float<Finish::kPRelu>>();
const DenseKernel dense_quantize_avx512bw = kernel<product::Float<Finish::kQuantize>>();
const DenseKernel dense_residual_avx512bw = kernel<product::Float<Finish::kResidual>>();

}  // namespace sbn
