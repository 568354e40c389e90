// Convolution by look-ups for pairs of neighbouring output pixels (product/pairs.h):
// how the weights and the index of the input lie, and how they are walked through.
#pragma once

#include "base/avx2.h"
#include "base/bits.h"
#include "kernels/conv/conv.h"
#include "kernels/product/pairs.h"

namespace sbn::pairs {

// The weights of 63 nibbles of a block are 8 KB and serve so many pairs before the
// next 63 are fetched.
constexpr int64_t kPairs = 16;
// Bytes that build_index may write past the end of a row.
constexpr int64_t kSlack = 32;

inline int64_t nibbles_per_tap(const ConvShape& s) { return div_up(s.group_channels, 4); }
inline int64_t nibbles(const ConvShape& s) { return s.kernel_h * s.kernel_w * nibbles_per_tap(s); }

// Bytes of weights of one group: whole registers of `Channels`.
template <int64_t Channels>
int64_t group_bytes(const ConvShape& s) {
  return div_up(s.group_outputs, Channels) * Channels * nibbles(s);
}

template <int64_t Channels>
int64_t weight_bytes(const ConvShape& s) {
  return s.groups * group_bytes<Channels>(s);
}

// [group][block][nibble][register][lane], a nibble in each byte.
template <int64_t Channels, int64_t Block, int64_t (*channel_of_lane)(int64_t)>
void pack_weights(const ConvShape& s, const uint64_t* w, void* packed) {
  auto* to = static_cast<uint8_t*>(packed);
  const int64_t per_tap = nibbles_per_tap(s);
  const int64_t taps = s.kernel_h * s.kernel_w;
  for (int64_t group = 0; group < s.groups; ++group) {
    for (int64_t first = 0; first < s.group_outputs; first += Block) {
      const int64_t lanes = min(Block, div_up(s.group_outputs - first, Channels) * Channels);
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t nibble = 0; nibble < per_tap; ++nibble) {
          for (int64_t lane = 0; lane < lanes; ++lane) {
            const int64_t channel = first + channel_of_lane(lane);
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
inline int64_t index_pixel(const ConvShape& s) { return s.groups * nibbles_per_tap(s); }
inline int64_t index_bytes(const ConvShape& s) { return s.padded_w * index_pixel(s) * 2 + kSlack; }

// The index entries of 16 nibbles of two pixels: tables for even nibbles and odd ones,
// each in the low or high half of a byte.
SBN_TARGET_AVX2 SBN_INLINE void store_entries(__m128i nibbles, uint16_t* to) {
  ::sbn::avx2::store256(to, _mm256_slli_epi16(_mm256_cvtepu8_epi16(nibbles), 4));
}

// Entry c of a row: offsets of the tables for the nibbles of the pixels c and
// c + stride_w, which the same tap sees for two neighbouring outputs.
SBN_TARGET_AVX2 inline void build_index(const ConvShape& s, const uint64_t* padded_row,
                                        int64_t row, void* index) {
  auto* to = reinterpret_cast<uint16_t*>(static_cast<char*>(index) + row * index_bytes(s));
  const int64_t words = s.groups * s.group_words;
  const int64_t per_tap = nibbles_per_tap(s);
  const __m128i low = _mm_set1_epi8(15);
  const auto even = [&](__m128i a, __m128i b) SBN_TARGET_AVX2 {
    return _mm_or_si128(_mm_and_si128(a, low), _mm_andnot_si128(low, _mm_slli_epi16(b, 4)));
  };
  const auto odd = [&](__m128i a, __m128i b) SBN_TARGET_AVX2 {
    return _mm_or_si128(_mm_and_si128(_mm_srli_epi16(a, 4), low), _mm_andnot_si128(low, b));
  };
  for (int64_t column = 0; column < s.padded_w; ++column) {
    const uint64_t* first = padded_row + column * words;
    const uint64_t* second = padded_row + min(column + s.stride_w, s.padded_w - 1) * words;
    for (int64_t group = 0; group < s.groups; ++group, to += per_tap) {
      int64_t word = 0;
      for (; word + 2 <= s.group_words; word += 2, first += 2, second += 2) {
        const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first));
        const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second));
        store_entries(_mm_unpacklo_epi8(even(a, b), odd(a, b)), to + 16 * word);
        store_entries(_mm_unpackhi_epi8(even(a, b), odd(a, b)), to + 16 * word + 16);
      }
      if (word == s.group_words) continue;
      const __m128i a = _mm_cvtsi64_si128(load<int64_t>(first++));
      const __m128i b = _mm_cvtsi64_si128(load<int64_t>(second++));
      store_entries(_mm_unpacklo_epi8(even(a, b), odd(a, b)), to + 16 * word);
    }
  }
}

inline int64_t pairs_per_row(const ConvShape& s) { return div_up(s.out_w, 2); }
inline int64_t units(const ConvShape& s) { return s.batch * s.out_h * pairs_per_row(s); }

// Nibbles that lie side by side in the index.
struct Segment {
  int64_t at;  // bytes from a pair's first entry
  int64_t length;
};

// Cuts the nibbles of a pair into chunks that are flushed together.
class Chunks {
 public:
  explicit Chunks(const ConvShape& s) {
    const bool joined = s.dilation_w == 1 && s.groups == 1;
    columns_ = joined ? 1 : s.kernel_w;
    length_ = (joined ? s.kernel_w : 1) * nibbles_per_tap(s);
    row_step_ = s.dilation_h * index_bytes(s);
    column_step_ = s.dilation_w * index_pixel(s) * 2;
    left_ = nibbles(s);
    const int64_t flushes = div_up(left_, kNibblesPerFlush);
    chunk_ = div_up(div_up(left_, flushes), 3) * 3;
  }

  // Goes to the next chunk; false after the last one.
  bool next() {
    done_ += size_;
    size_ = min(chunk_, left_);
    segments_ = 0;
    for (int64_t count = size_; count > 0;) {
      const int64_t length = min(count, length_ - at_);
      list_[segments_++] = {row_ * row_step_ + column_ * column_step_ + 2 * at_, length};
      count -= length;
      at_ += length;
      if (at_ < length_) continue;
      at_ = 0;
      if (++column_ < columns_) continue;
      column_ = 0;
      ++row_;
    }
    left_ -= size_;
    return size_ > 0;
  }

  const Segment* begin() const { return list_; }
  const Segment* end() const { return list_ + segments_; }
  int64_t done() const { return done_; }  // nibbles of the chunks before

 private:
  int64_t columns_, length_, row_step_, column_step_, chunk_, left_;
  int64_t row_ = 0, column_ = 0, at_ = 0, done_ = 0, size_ = 0;
  int64_t segments_ = 0;
  Segment list_[kNibblesPerFlush];
};

// A pair of neighbouring output pixels.
struct Pair {
  const char* index;
  const char* offsets[2];
  int64_t pixel;
  bool second;  // false past the end of an odd row
};

// Walks the pairs in order.
class PairCursor {
 public:
  PairCursor(const ConvRun& run, int64_t unit, int64_t group)
      : run_(run),
        s_(*run.shape),
        entry_(index_pixel(s_) * 2),
        first_(static_cast<const char*>(run.index) + group * nibbles_per_tap(s_) * 2) {
    const int64_t per_row = pairs_per_row(s_);
    column_ = unit % per_row * 2;
    row_ = unit / per_row % s_.out_h;
    image_ = unit / per_row / s_.out_h;
    begin_row();
  }

  SBN_INLINE Pair next() {
    Pair pair;
    pair.index = row_index_ + column_ * s_.stride_w * entry_;
    pair.second = column_ + 1 < s_.out_w;
    pair.offsets[0] = row_offsets_ + run_.column_offset[column_];
    pair.offsets[1] = row_offsets_ + run_.column_offset[column_ + pair.second];
    pair.pixel = row_pixel_ + column_;
    column_ += 2;
    if (column_ < s_.out_w) return pair;
    column_ = 0;
    if (++row_ == s_.out_h) row_ = 0, ++image_;
    if (image_ < s_.batch) begin_row();
    return pair;
  }

 private:
  void begin_row() {
    row_index_ = first_ + (image_ * s_.padded_h + row_ * s_.stride_h) * index_bytes(s_);
    row_offsets_ = static_cast<const char*>(run_.offsets) + run_.row_offset[row_];
    row_pixel_ = (image_ * s_.out_h + row_) * s_.out_w;
  }

  const ConvRun& run_;
  const ConvShape& s_;
  int64_t entry_;
  const char* first_;
  const char* row_index_;
  const char* row_offsets_;
  int64_t row_pixel_, column_, row_, image_;
};

}  // namespace sbn::pairs
