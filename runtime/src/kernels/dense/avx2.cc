// Rows of bytes by look-up: both nibbles of a weight byte index a table of the
// popcounts of one activation nibble against every weight nibble. The weights take
// no more room than in the model, since a single row is bound by their bandwidth.
#include "kernels/product/avx2.h"

#include "kernels/registry.h"

namespace sbn {
namespace {

using avx2::Counts;
using avx2::kBlock;
using avx2::kChannels;

// A byte adds at most 8 to an 8-bit counter.
constexpr int64_t kBytesPerFlush = 31;

struct NibbleTables {
  alignas(64) uint8_t entries[16][16];

  constexpr NibbleTables() : entries() {
    for (unsigned a = 0; a < 16; ++a) {
      for (unsigned w = 0; w < 16; ++w) {
        entries[a][w] = static_cast<uint8_t>(__builtin_popcount(a ^ w));
      }
    }
  }
};
constexpr NibbleTables kNibbleTables;

int64_t weight_bytes(const DenseShape& s) {
  return div_up(s.outputs, kChannels) * kChannels * s.words * 8;
}

// [block][byte][register][lane]
void pack_weights(const DenseShape& s, const uint64_t* w, void* packed) {
  auto* to = static_cast<uint8_t*>(packed);
  for (int64_t first = 0; first < s.outputs; first += kBlock) {
    const int64_t lanes = min(kBlock, div_up(s.outputs - first, kChannels) * kChannels);
    for (int64_t byte = 0; byte < s.words * 8; ++byte) {
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const uint64_t* from = w + (first + lane) * s.words + byte / 8;
        const bool used = first + lane < s.outputs;
        *to++ = used ? static_cast<uint8_t>(load<uint64_t>(from) >> byte % 8 * 8) : 0;
      }
    }
  }
}

template <int Registers>
SBN_TARGET_AVX2 SBN_INLINE void accumulate(Counts (&counts)[Registers], const uint8_t* x,
                                           const uint8_t* w, int64_t bytes) {
  const __m256i low = _mm256_set1_epi8(15);
  for (int64_t begin = 0; begin < bytes; begin += kBytesPerFlush) {
    __m256i sums[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) sums[r] = _mm256_setzero_si256();
    const int64_t end = min(begin + kBytesPerFlush, bytes);
    for (int64_t byte = begin; byte < end; ++byte, w += Registers * kChannels) {
      const auto table = [&](unsigned nibble) SBN_TARGET_AVX2 {
        return avx2::broadcast128(kNibbleTables.entries[nibble]);
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

template <int Registers, class Epilogue>
SBN_TARGET_AVX2 SBN_INLINE void run_block(const DenseRun& run, int64_t channel, Range rows,
                                          const Epilogue& epilogue) {
  const DenseShape& s = *run.shape;
  const uint8_t* w = static_cast<const uint8_t*>(run.weights) + channel * s.words * 8;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    Counts counts[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) counts[r] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
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
SBN_TARGET_AVX2 SBN_INLINE void run_blocks(const DenseRun& run, Range blocks, Range rows,
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

SBN_TARGET_AVX2 void run_threshold(const DenseRun& run, Range blocks, Range rows) {
  run_blocks(run, blocks, rows,
             avx2::Threshold{static_cast<uint64_t*>(run.y), run.shape->output_words, false});
}

SBN_TARGET_AVX2 void run_scale(const DenseRun& run, Range blocks, Range rows) {
  run_blocks(run, blocks, rows,
             avx2::Scale{static_cast<float*>(run.y), run.shape->outputs, run.scale, run.bias});
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
constexpr DenseKernel kernel(void (*run)(const DenseRun&, Range, Range)) {
  return {avx2::kMaxProducts,     kBlock, weight_bytes, pack_weights, offset_bytes<Epilogue>,
          pack_offsets<Epilogue>, run};
}

}  // namespace

const DenseKernel dense_threshold_avx2 = kernel<avx2::Threshold>(run_threshold);
const DenseKernel dense_scale_avx2 = kernel<avx2::Scale>(run_scale);

}  // namespace sbn
