// Convolution by look-ups for pairs of neighbouring output pixels (product/pairs.h):
// how the weights and the index of the input lie, and how they are walked through.
#pragma once

#include "base/bits.h"
#include "kernels/conv/conv.h"
#include "kernels/product/pairs.h"

namespace sbn::pairs {

// The weights of digits that are flushed together are at most 8 KB a block, and serve so
// many pairs before the next ones are fetched.
constexpr int64_t kPairs = 16;
// Bytes that build_index may write past the end of a row.
constexpr int64_t kSlack = 32;

template <class Digits>
int64_t digits_per_tap(const ConvShape& s) {
  return s.group_channels / 64 * Digits::kPerWord + div_up(s.group_channels % 64, Digits::kBits);
}
template <class Digits>
int64_t digits(const ConvShape& s) {
  return s.kernel_h * s.kernel_w * digits_per_tap<Digits>(s);
}

// Bytes of weights of one group: whole registers of `Channels`.
template <class Digits, int64_t Channels>
int64_t group_bytes(const ConvShape& s) {
  return div_up(s.group_outputs, Channels) * Channels * digits<Digits>(s);
}

template <class Digits, int64_t Channels>
int64_t weight_bytes(const ConvShape& s) {
  return s.groups * group_bytes<Digits, Channels>(s);
}

// [group][block][digit][register][lane], a digit in each byte.
template <class Digits, int64_t Channels, int64_t Block, int64_t (*channel_of_lane)(int64_t)>
void pack_weights(const ConvShape& s, const uint64_t* w, void* packed) {
  auto* to = static_cast<uint8_t*>(packed);
  constexpr uint64_t kMask = (uint64_t{1} << Digits::kBits) - 1;
  const int64_t per_tap = digits_per_tap<Digits>(s);
  const int64_t taps = s.kernel_h * s.kernel_w;
  for (int64_t group = 0; group < s.groups; ++group) {
    for (int64_t first = 0; first < s.group_outputs; first += Block) {
      const int64_t lanes = min(Block, div_up(s.group_outputs - first, Channels) * Channels);
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t digit = 0; digit < per_tap; ++digit) {
          for (int64_t lane = 0; lane < lanes; ++lane) {
            const int64_t channel = first + channel_of_lane(lane);
            const int64_t at = (group * s.group_outputs + channel) * taps + tap;
            const uint64_t* from = w + at * s.group_words + digit / Digits::kPerWord;
            const int64_t shift = digit % Digits::kPerWord * Digits::kBits;
            const bool used = channel < s.group_outputs;
            *to++ = used ? load<uint64_t>(from) >> shift & kMask : 0;
          }
        }
      }
    }
  }
}

// Entries of the index of one pixel, and bytes of one padded row.
template <class Digits>
int64_t index_pixel(const ConvShape& s) {
  return s.groups * digits_per_tap<Digits>(s);
}
template <class Digits>
int64_t index_bytes(const ConvShape& s) {
  return s.padded_w * index_pixel<Digits>(s) * 2 + kSlack;
}

inline int64_t pairs_per_row(const ConvShape& s) { return div_up(s.out_w, 2); }
inline int64_t units(const ConvShape& s) { return s.batch * s.out_h * pairs_per_row(s); }

// Digits that lie side by side in the index.
struct Segment {
  int64_t at;  // bytes from a pair's first entry
  int64_t length;
};

// Cuts the digits of a pair into chunks that are flushed together.
template <class Digits>
class Chunks {
 public:
  explicit Chunks(const ConvShape& s) {
    const bool joined = s.dilation_w == 1 && s.groups == 1;
    columns_ = joined ? 1 : s.kernel_w;
    length_ = (joined ? s.kernel_w : 1) * digits_per_tap<Digits>(s);
    row_step_ = s.dilation_h * index_bytes<Digits>(s);
    column_step_ = s.dilation_w * index_pixel<Digits>(s) * 2;
    left_ = digits<Digits>(s);
    const int64_t flushes = div_up(left_, Digits::kPerFlush);
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
  int64_t done() const { return done_; }  // digits of the chunks before

 private:
  int64_t columns_, length_, row_step_, column_step_, chunk_, left_;
  int64_t row_ = 0, column_ = 0, at_ = 0, done_ = 0, size_ = 0;
  int64_t segments_ = 0;
  Segment list_[Digits::kPerFlush];
};

// A pair of neighbouring output pixels.
struct Pair {
  const char* index;
  const char* offsets[2];
  int64_t pixel;
  bool second;  // false past the end of an odd row
};

// Walks the pairs in order.
template <class Digits>
class PairCursor {
 public:
  PairCursor(const ConvRun& run, int64_t unit, int64_t group)
      : run_(run),
        s_(*run.shape),
        entry_(index_pixel<Digits>(s_) * 2),
        first_(static_cast<const char*>(run.index) + group * digits_per_tap<Digits>(s_) * 2) {
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
    row_index_ = first_ + (image_ * s_.padded_h + row_ * s_.stride_h) * index_bytes<Digits>(s_);
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
