// Walks the output pixels of a batch in order, for kernels that read the padded
// input word by word.
#pragma once

#include <stdint.h>

#include "base/attributes.h"
#include "kernels/conv/conv.h"

namespace sbn {

// The taps under one output pixel as runs of words: a run holds the whole kernel
// row where taps lie side by side in the input, and one tap otherwise.
struct Taps {
  int64_t rows, columns, length;
  int64_t row_step, column_step;

  explicit Taps(const ConvShape& s) {
    const int64_t pixel = s.groups * s.group_words;
    const bool joined = s.dilation_w == 1 && s.groups == 1;
    rows = s.kernel_h;
    columns = joined ? 1 : s.kernel_w;
    length = joined ? s.kernel_w * s.group_words : s.group_words;
    row_step = s.dilation_h * s.padded_w * pixel;
    column_step = s.dilation_w * pixel;
  }
};

class PixelCursor {
 public:
  PixelCursor(const ConvRun& run, int64_t pixel, int64_t group)
      : run_(run), s_(*run.shape), words_(s_.groups * s_.group_words) {
    first_ = run.input + group * s_.group_words;
    column_ = pixel % s_.out_w;
    row_ = pixel / s_.out_w % s_.out_h;
    image_ = pixel / s_.out_w / s_.out_h;
    begin_row();
  }

  const uint64_t* input() const { return row_input_ + column_ * s_.stride_w * words_; }
  const char* offsets() const { return row_offsets_ + run_.column_offset[column_]; }

  SBN_INLINE void next() {
    if (++column_ < s_.out_w) return;
    column_ = 0;
    if (++row_ == s_.out_h) row_ = 0, ++image_;
    if (image_ < s_.batch) begin_row();
  }

 private:
  void begin_row() {
    row_input_ = first_ + (image_ * s_.padded_h + row_ * s_.stride_h) * s_.padded_w * words_;
    row_offsets_ = static_cast<const char*>(run_.offsets) + run_.row_offset[row_];
  }

  const ConvRun& run_;
  const ConvShape& s_;
  int64_t words_;
  const uint64_t* first_;
  const uint64_t* row_input_;
  const char* row_offsets_;
  int64_t column_, row_, image_;
};

}  // namespace sbn
