#include "kernels/dense/bytes.h"
#include "kernels/product/avx512bw.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using avx512bw::Counts;
using avx512bw::kChannels;

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

template <int Registers, class Epilogue>
SBN_TARGET_AVX512BW SBN_INLINE void run_block(const DenseRun& run, int64_t channel, Range rows,
                                              const Epilogue& epilogue) {
  const DenseShape& s = *run.shape;
  const uint8_t* w = static_cast<const uint8_t*>(run.weights) + channel * s.words * 8;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    Counts counts[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      counts[r] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    }
    accumulate(counts, reinterpret_cast<const uint8_t*>(run.x + row * s.words), w, s.words * 8);
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      const int64_t first = channel + r * kChannels;
      epilogue(counts[r], run.offsets, first / kChannels, row, first,
               min(kChannels, s.outputs - first));
    }
  }
}

template <class Epilogue>
SBN_TARGET_AVX512BW SBN_INLINE void run_blocks(const DenseRun& run, Range blocks, Range rows,
                                               const Epilogue& epilogue) {
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const int64_t channel = index * kBlock;
    switch (div_up(min(kBlock, run.shape->outputs - channel), kChannels)) {
      case 1: run_block<1>(run, channel, rows, epilogue); break;
      case 2: run_block<2>(run, channel, rows, epilogue); break;
      case 3: run_block<3>(run, channel, rows, epilogue); break;
      default: run_block<4>(run, channel, rows, epilogue); break;
    }
  }
}

template <class Epilogue>
SBN_TARGET_AVX512BW void run(const DenseRun& run, Range blocks, Range rows) {
  run_blocks(run, blocks, rows, Epilogue{run.output});
}

template <class Epilogue>
int64_t offset_bytes(const DenseShape& s) {
  return Epilogue::offset_bytes(1, s.outputs);
}

template <class Epilogue>
void pack_offsets(const DenseShape& s, const int32_t* offsets, void* packed) {
  Epilogue::pack_offsets(1, s.outputs, offsets, packed);
}

template <class Epilogue>
constexpr DenseKernel kernel() {
  return {avx512bw::kMaxProducts,
          kBlock,
          bytes::weight_bytes<kChannels>,
          bytes::pack_weights<kChannels, kBlock, avx512bw::channel_of_lane>,
          offset_bytes<Epilogue>,
          pack_offsets<Epilogue>,
          run<Epilogue>};
}

}  // namespace

const DenseKernel dense_threshold_avx512bw = kernel<avx512bw::Threshold>();
const DenseKernel dense_scale_avx512bw = kernel<avx512bw::Float<Finish::kScale>>();
const DenseKernel dense_scale_clamp_avx512bw = kernel<avx512bw::Float<Finish::kClamp>>();
const DenseKernel dense_scale_prelu_avx512bw = kernel<avx512bw::Float<Finish::kPRelu>>();
const DenseKernel dense_quantize_avx512bw = kernel<avx512bw::Float<Finish::kQuantize>>();
const DenseKernel dense_residual_avx512bw = kernel<avx512bw::Float<Finish::kResidual>>();

}  // namespace sbn
