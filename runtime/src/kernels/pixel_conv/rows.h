// Copies the rows of the image that neighbouring output pixels need, with their border,
// so that vector kernels find the pixels under each of them at fixed distances.
#pragma once

#include <stdint.h>

#include "base/bits.h"
#include "kernels/pixel_conv/layout.h"
#include "kernels/pixel_conv/pixel_conv.h"

namespace sbn::pixels {

// Where the elements under neighbouring output pixels stand. Strides are in bytes.
struct Patches {
  const char* first;
  int64_t pixel_stride;
  int64_t runs, run_stride;
  int64_t steps;  // of one run
};

// `Product` says how products are laid out: kElements of type Element in a lane, runs(),
// and element() and copy(), from bytes to elements.
template <class Product>
class Rows {
 public:
  SBN_INLINE Rows(const PixelConvRun& run, int64_t first_pixel)
      : s_(*run.shape), x_(run.x), runs_(Product::runs(s_)) {
    column_ = first_pixel % s_.out_w;
    row_ = first_pixel / s_.out_w % s_.out_h;
    image_ = first_pixel / s_.out_w / s_.out_h;
    const int64_t row_elements = s_.kernel_w * s_.channels;
    const bool by_row = runs_.bytes == row_elements;
    steps_ = div_up(runs_.bytes, Product::kElements);
    run_ = by_row ? steps_ * Product::kElements : row_elements;
    patch_ = runs_.count * steps_ * Product::kElements;
    shared_ = by_row && s_.dilation_w == 1 && s_.stride_w <= s_.kernel_w;
    const int64_t columns = kCapacity / (s_.kernel_h * s_.channels);
    most_ = shared_ ? (columns - s_.kernel_w) / s_.stride_w + 1 : kCapacity / patch_;
    if (!shared_) zero(elements_, kCapacity);
  }

  // Copies what the next output pixels of a row need, at most `most`; returns how many
  // those are. Neighbours share columns where they overlap.
  SBN_INLINE int64_t next(int64_t most, Patches* patches) {
    const int64_t count = min(min(most, most_), s_.out_w - column_);
    const int64_t left = column_ * s_.stride_w - s_.pad_left;
    const int64_t top = row_ * s_.stride_h - s_.pad_top;
    const int64_t columns = (count - 1) * s_.stride_w + s_.kernel_w;
    const int64_t pixel_stride = shared_ ? s_.stride_w * s_.channels : patch_;
    const int64_t run_stride = shared_ ? columns * s_.channels : run_;
    for (int64_t i = 0; i < s_.kernel_h; ++i) {
      const int64_t y = top + i * s_.dilation_h;
      Element* to = elements_ + i * run_stride;
      if (shared_) {
        copy_columns(to, y, left, columns);
        continue;
      }
      for (int64_t p = 0; p < count; ++p, to += pixel_stride) {
        for (int64_t j = 0; j < s_.kernel_w; ++j) {
          const int64_t x = left + p * s_.stride_w + j * s_.dilation_w;
          copy_columns(to + j * s_.channels, y, x, 1);
        }
      }
    }
    if (shared_) zero(elements_ + s_.kernel_h * run_stride, kPadding);
    constexpr int64_t kSize = sizeof(Element);
    *patches = {reinterpret_cast<const char*>(elements_), pixel_stride * kSize, runs_.count,
                run_stride * kSize, steps_};
    column_ += count;
    if (column_ == s_.out_w) {
      column_ = 0;
      if (++row_ == s_.out_h) row_ = 0, ++image_;
    }
    return count;
  }

 private:
  using Element = typename Product::Element;
  // Elements that stay in the first cache, and those of the lane that a last run ends in.
  static constexpr int64_t kCapacity = 16384 / sizeof(Element);
  static constexpr int64_t kPadding = Product::kElements;
  // Padding its runs makes a patch half as long again, or its one run a lane longer (row_runs).
  static_assert(kMaxPixelProducts * 3 / 2 + kPadding <= kCapacity, "a patch fits");

  // Columns [left, left + count) of image row y.
  SBN_INLINE void copy_columns(Element* to, int64_t y, int64_t left, int64_t count) const {
    const bool inside = y >= 0 && y < s_.height;
    const int64_t begin = inside ? clamp(-left, 0, count) : count;
    const int64_t end = inside ? clamp(s_.width - left, begin, count) : count;
    fill(to, begin);
    if (begin < end) {
      const int64_t at = ((image_ * s_.height + y) * s_.width + left + begin) * s_.channels;
      Product::copy(to + begin * s_.channels, x_ + at, (end - begin) * s_.channels);
    }
    fill(to + end * s_.channels, count - end);
  }

  // The ends of runs may be parts of lanes, whose other elements are multiplied by 0.
  static void zero(Element* to, int64_t count) {
    __builtin_memset(to, 0, static_cast<size_t>(count) * sizeof(Element));
  }

  SBN_INLINE void fill(Element* to, int64_t columns) const {
    const Element border = Product::element(static_cast<uint8_t>(s_.pad_value));
    for (int64_t i = 0; i < columns * s_.channels; ++i) to[i] = border;
  }

  const PixelConvShape& s_;
  const uint8_t* x_;
  Runs runs_;
  int64_t steps_, run_, patch_;  // of a run; elements of a run and of a pixel that shares none
  bool shared_;
  int64_t most_;  // output pixels at a time
  int64_t column_, row_, image_;
  alignas(64) Element elements_[kCapacity + kPadding];
};

}  // namespace sbn::pixels
