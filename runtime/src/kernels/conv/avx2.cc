// Convolution by LUT2 (product/avx2.h): pairs of neighbouring output pixels by
// blocks of 128 channels. The weights of 63 nibbles of a block are 8 KB and serve
// kPairs pairs before the next 63 are fetched.
#include "kernels/product/avx2.h"

#include "kernels/registry.h"

namespace sbn {
namespace {

using avx2::Counts;
using avx2::kBlock;
using avx2::kChannels;
using avx2::kNibblesPerFlush;

constexpr int64_t kPairs = 16;
// Bytes that build_index may write past the end of a row.
constexpr int64_t kSlack = 32;

int64_t nibbles_per_tap(const ConvShape& s) { return div_up(s.group_channels, 4); }
int64_t nibbles(const ConvShape& s) { return s.kernel_h * s.kernel_w * nibbles_per_tap(s); }

// Bytes of weights of one group: whole registers of channels.
int64_t group_bytes(const ConvShape& s) {
  return div_up(s.group_outputs, kChannels) * kChannels * nibbles(s);
}

int64_t weight_bytes(const ConvShape& s) { return s.groups * group_bytes(s); }

// [group][block][nibble][register][lane], a nibble in each byte.
void pack_weights(const ConvShape& s, const uint64_t* w, void* packed) {
  auto* to = static_cast<uint8_t*>(packed);
  const int64_t per_tap = nibbles_per_tap(s);
  const int64_t taps = s.kernel_h * s.kernel_w;
  for (int64_t group = 0; group < s.groups; ++group) {
    for (int64_t first = 0; first < s.group_outputs; first += kBlock) {
      const int64_t lanes = min(kBlock, div_up(s.group_outputs - first, kChannels) * kChannels);
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t nibble = 0; nibble < per_tap; ++nibble) {
          for (int64_t lane = 0; lane < lanes; ++lane) {
            const int64_t channel = first + lane;
            const int64_t at = (group * s.group_outputs + channel) * taps + tap;
            const uint64_t* from = w + at * s.group_words + nibble / 16;
            const bool used = channel < s.group_outputs;
            *to++ = used ? load<uint64_t>(from) >> nibble % 16 * 4 & 15 : 0;
          }
        }
      }
    }
  }
}

// Entries of the index of one pixel, and bytes of one padded row.
int64_t index_pixel(const ConvShape& s) { return s.groups * nibbles_per_tap(s); }
int64_t index_bytes(const ConvShape& s) { return s.padded_w * index_pixel(s) * 2 + kSlack; }

// Entry c of a row: offsets of the tables for the nibbles of the pixels c and
// c + stride_w, which the same tap sees for two neighbouring outputs.
SBN_TARGET_AVX2 void build_index(const ConvShape& s, const uint64_t* padded_row, int64_t row,
                                 void* index) {
  auto* to = reinterpret_cast<uint16_t*>(static_cast<char*>(index) + row * index_bytes(s));
  const int64_t words = s.groups * s.group_words;
  const int64_t per_tap = nibbles_per_tap(s);
  const __m128i low = _mm_set1_epi8(15);
  for (int64_t column = 0; column < s.padded_w; ++column) {
    const uint64_t* first = padded_row + column * words;
    const uint64_t* second = padded_row + min(column + s.stride_w, s.padded_w - 1) * words;
    for (int64_t word = 0; word < words; ++word) {
      const __m128i a = _mm_cvtsi64_si128(load<int64_t>(first + word));
      const __m128i b = _mm_cvtsi64_si128(load<int64_t>(second + word));
      const __m128i even = _mm_or_si128(_mm_and_si128(a, low),
                                        _mm_andnot_si128(low, _mm_slli_epi16(b, 4)));
      const __m128i odd = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(a, 4), low),
                                       _mm_andnot_si128(low, b));
      const __m256i pairs = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(even, odd));
      avx2::store256(to, _mm256_slli_epi16(pairs, 4));
      to += min(16, per_tap - word % s.group_words * 16);
    }
  }
}

int64_t pairs_per_row(const ConvShape& s) { return div_up(s.out_w, 2); }
int64_t units(const ConvShape& s) { return s.batch * s.out_h * pairs_per_row(s); }

// Where the nibbles of a chunk lie in the index, relative to a pair's first one.
class NibbleWalk {
 public:
  explicit NibbleWalk(const ConvShape& s) {
    const bool joined = s.dilation_w == 1 && s.groups == 1;
    columns_ = joined ? 1 : s.kernel_w;
    length_ = (joined ? s.kernel_w : 1) * nibbles_per_tap(s);
    row_step_ = s.dilation_h * index_bytes(s);
    column_step_ = s.dilation_w * index_pixel(s) * 2;
  }

  // Calls body(byte offset, nibbles) for each run of the next `count` nibbles.
  template <class Body>
  SBN_INLINE void next(int64_t count, Body body) {
    while (count) {
      const int64_t run = min(count, length_ - at_);
      body(row_ * row_step_ + column_ * column_step_ + 2 * at_, run);
      count -= run;
      at_ += run;
      if (at_ < length_) continue;
      at_ = 0;
      if (++column_ < columns_) continue;
      column_ = 0;
      ++row_;
    }
  }

 private:
  int64_t columns_, length_, row_step_, column_step_;
  int64_t row_ = 0, column_ = 0, at_ = 0;
};

// A pair of neighbouring output pixels.
struct Pair {
  const char* index;
  const char* offsets[2];
  int64_t pixel;
  bool second;  // false past the end of an odd row
};

Pair find_pair(const ConvRun& run, int64_t unit, int64_t group) {
  const ConvShape& s = *run.shape;
  const int64_t per_row = pairs_per_row(s);
  const int64_t column = unit % per_row * 2;
  const int64_t row = unit / per_row % s.out_h;
  const int64_t image = unit / per_row / s.out_h;
  Pair pair;
  const int64_t index_row = image * s.padded_h + row * s.stride_h;
  const int64_t entry = column * s.stride_w * index_pixel(s) + group * nibbles_per_tap(s);
  pair.index = static_cast<const char*>(run.index) + index_row * index_bytes(s) + 2 * entry;
  pair.second = column + 1 < s.out_w;
  const char* offsets = static_cast<const char*>(run.offsets) + run.row_offset[row];
  pair.offsets[0] = offsets + run.column_offset[column];
  pair.offsets[1] = offsets + run.column_offset[column + pair.second];
  pair.pixel = (image * s.out_h + row) * s.out_w + column;
  return pair;
}

SBN_TARGET_AVX2 SBN_INLINE Counts operator+(const Counts& a, const Counts& b) {
  return {_mm256_add_epi16(a.even, b.even), _mm256_add_epi16(a.odd, b.odd)};
}

// All units of one block.
template <int Registers, class Epilogue>
SBN_TARGET_AVX2 void run_block(const ConvRun& run, const ConvBlock& block, const uint8_t* w,
                               Range units, const Epilogue& epilogue) {
  const ConvShape& s = *run.shape;
  const int64_t total = nibbles(s);
  const int64_t flushes = div_up(total, kNibblesPerFlush);
  const int64_t chunk = div_up(div_up(total, flushes), 3) * 3;
  const int64_t first_slot = block.group * div_up(s.group_outputs, kChannels) +
                             (block.channel - block.group * s.group_outputs) / kChannels;
  Counts counts[kPairs][Registers][2];
  Pair pairs[kPairs];
  for (int64_t begin = units.begin; begin < units.end; begin += kPairs) {
    const int64_t here = min(kPairs, units.end - begin);
    for (int64_t i = 0; i < here; ++i) pairs[i] = find_pair(run, begin + i, block.group);
    NibbleWalk chunk_begin(s);
    for (int64_t done = 0; done < total; done += chunk) {
      const int64_t count = min(chunk, total - done);
      const uint8_t* chunk_weights = w + done * Registers * kChannels;
      NibbleWalk chunk_end = chunk_begin;
      for (int64_t i = 0; i < here; ++i) {
        avx2::Sums<Registers> sums;
        avx2::clear(sums);
        const uint8_t* run_weights = chunk_weights;
        chunk_end = chunk_begin;
        chunk_end.next(count, [&](int64_t at, int64_t length) SBN_TARGET_AVX2 {
          const auto* index = reinterpret_cast<const uint16_t*>(pairs[i].index + at);
          avx2::add_run(sums, index, run_weights, length);
          run_weights += length * Registers * kChannels;
        });
        SBN_UNROLL
        for (int r = 0; r < Registers; ++r) {
          Counts first, second;
          avx2::flush(sums.a[r], sums.b[r], first, second);
          counts[i][r][0] = done ? counts[i][r][0] + first : first;
          counts[i][r][1] = done ? counts[i][r][1] + second : second;
        }
      }
      chunk_begin = chunk_end;
    }
    for (int64_t i = 0; i < here; ++i) {
      for (int64_t r = 0; r < Registers; ++r) {
        const int64_t first = r * kChannels;
        const int64_t left = min(block.count - first, kChannels);
        epilogue(counts[i][r][0], pairs[i].offsets[0], first_slot + r, pairs[i].pixel,
                 block.channel + first, left);
        if (!pairs[i].second) continue;
        epilogue(counts[i][r][1], pairs[i].offsets[1], first_slot + r, pairs[i].pixel + 1,
                 block.channel + first, left);
      }
    }
  }
}

template <class Epilogue>
void run_blocks(const ConvRun& run, Range blocks, Range units, const Epilogue& epilogue) {
  const ConvShape& s = *run.shape;
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const ConvBlock block = conv_block(s, index, kBlock);
    const int64_t first = block.channel - block.group * s.group_outputs;
    const uint8_t* w = static_cast<const uint8_t*>(run.weights) + block.group * group_bytes(s) +
                       first * nibbles(s);
    switch (div_up(block.count, kChannels)) {
      case 1: run_block<1>(run, block, w, units, epilogue); break;
      case 2: run_block<2>(run, block, w, units, epilogue); break;
      case 3: run_block<3>(run, block, w, units, epilogue); break;
      default: run_block<4>(run, block, w, units, epilogue); break;
    }
  }
}

void run_threshold(const ConvRun& run, Range blocks, Range units) {
  run_blocks(run, blocks, units,
             avx2::Threshold{static_cast<uint64_t*>(run.y), run.shape->output_words, run.merge});
}

void run_scale(const ConvRun& run, Range blocks, Range units) {
  run_blocks(run, blocks, units,
             avx2::Scale{static_cast<float*>(run.y), run.shape->outputs, run.scale, run.bias});
}

template <class Epilogue>
int64_t offset_bytes(const ConvShape& s) {
  return Epilogue::offset_bytes(s.groups, s.group_outputs);
}

template <class Epilogue>
void pack_offsets(const ConvShape& s, const int32_t* offsets, void* packed) {
  Epilogue::pack_offsets(s.groups, s.group_outputs, offsets, packed);
}

template <class Epilogue>
constexpr ConvKernel kernel(void (*run)(const ConvRun&, Range, Range)) {
  return {avx2::kMaxProducts,
          kBlock,
          kChannels,
          weight_bytes,
          pack_weights,
          offset_bytes<Epilogue>,
          pack_offsets<Epilogue>,
          index_bytes,
          build_index,
          units,
          run};
}

}  // namespace

const ConvKernel conv_threshold_avx2 = kernel<avx2::Threshold>(run_threshold);
const ConvKernel conv_scale_avx2 = kernel<avx2::Scale>(run_scale);

}  // namespace sbn
