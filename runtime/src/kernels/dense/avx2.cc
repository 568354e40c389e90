#include "kernels/dense/bytes.h"
#include "kernels/product/avx2.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = avx2;
using product::Counts;
using product::kChannels;

constexpr int64_t kBlock = 4 * kChannels;

template <int Registers>
SBN_TARGET_AVX2 SBN_INLINE void accumulate(Counts (&counts)[Registers], const uint8_t* x,
                                           const uint8_t* w, int64_t size) {
  const __m256i low = _mm256_set1_epi8(15);
  for (int64_t begin = 0; begin < size; begin += bytes::kBytesPerFlush) {
    __m256i sums[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums[r] = _mm256_setzero_si256();
    const int64_t end = min(begin + bytes::kBytesPerFlush, size);
    for (int64_t byte = begin; byte < end; ++byte, w += Registers * kChannels) {
      const auto table = [&](unsigned nibble) SBN_TARGET_AVX2 {
        return avx2::broadcast128(bytes::kNibbleTables.entries[nibble]);
      };
      const __m256i low_table = table(x[byte] & 15u);
      const __m256i high_table = table(x[byte] >> 4);
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) {
        const __m256i both = avx2::load256(w + r * kChannels);
        const __m256i first = _mm256_and_si256(both, low);
        const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
        const __m256i found = _mm256_add_epi8(_mm256_shuffle_epi8(low_table, first),
                                              _mm256_shuffle_epi8(high_table, second));
        sums[r] = _mm256_add_epi8(sums[r], found);
      }
    }
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      const __m256i even = _mm256_and_si256(sums[r], _mm256_set1_epi16(255));
      counts[r].even = _mm256_add_epi16(counts[r].even, even);
      counts[r].odd = _mm256_add_epi16(counts[r].odd, _mm256_srli_epi16(sums[r], 8));
    }
  }
}

#define SBN_BYTES_TARGET SBN_TARGET_AVX2
#include "kernels/dense/bytes.inc"
#undef SBN_BYTES_TARGET

}  // namespace

const DenseKernel dense_threshold_avx2 = kernel<product::Threshold>();
const DenseKernel dense_scale_avx2 = kernel<product::Float<Finish::kScale>>();
const DenseKernel dense_scale_clamp_avx2 = kernel<product::Float<Finish::kClamp>>();
const DenseKernel dense_scale_prelu_avx2 = kernel<product::Float<Finish::kPRelu>>();
const DenseKernel dense_quantize_avx2 = kernel<product::Float<Finish::kQuantize>>();
const DenseKernel dense_residual_avx2 = kernel<product::Float<Finish::kResidual>>();

}  // namespace sbn
