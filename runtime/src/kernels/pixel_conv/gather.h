// Gathers the pixels under each output pixel into rows.
#pragma once

#include <stdint.h>

#include "base/bits.h"
#include "kernels/pixel_conv/pixel_conv.h"

namespace sbn {

// Copies without touching a byte outside: in chunks, of which the last overlaps.
SBN_INLINE void copy_bytes(uint8_t* to, const uint8_t* from, int64_t count) {
  if (count >= 8) {
    for (int64_t i = 0; i + 8 <= count; i += 8) store(to + i, load<uint64_t>(from + i));
    store(to + count - 8, load<uint64_t>(from + count - 8));
  } else if (count >= 4) {
    store(to, load<uint32_t>(from));
    store(to + count - 4, load<uint32_t>(from + count - 4));
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
  }
}

SBN_INLINE void fill_bytes(uint8_t* to, int64_t value, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<uint8_t>(value);
}

class PixelGather {
 public:
  PixelGather(const PixelConvRun& run, int64_t first_pixel) : s_(*run.shape), x_(run.x) {
    column_ = first_pixel % s_.out_w;
    row_ = first_pixel / s_.out_w % s_.out_h;
    image_ = first_pixel / s_.out_w / s_.out_h;
  }

  // Writes the K bytes under the next output pixel.
  SBN_INLINE void next(uint8_t* to) {
    const int64_t left = column_ * s_.stride_w - s_.pad_left;
    const int64_t top = row_ * s_.stride_h - s_.pad_top;
    const bool joined = s_.dilation_w == 1 && left >= 0 && left + s_.kernel_w <= s_.width;
    const int64_t row_bytes = s_.kernel_w * s_.channels;
    for (int64_t i = 0; i < s_.kernel_h; ++i, to += row_bytes) {
      const int64_t y = top + i * s_.dilation_h;
      const uint8_t* row = x_ + (image_ * s_.height + y) * s_.width * s_.channels;
      if (y < 0 || y >= s_.height) {
        fill_bytes(to, s_.pad_value, row_bytes);
      } else if (joined) {
        copy_bytes(to, row + left * s_.channels, row_bytes);
      } else {
        edge_row(row, left, to);
      }
    }
    advance();
  }

 private:
  void edge_row(const uint8_t* row, int64_t left, uint8_t* to) const {
    for (int64_t j = 0; j < s_.kernel_w; ++j, to += s_.channels) {
      const int64_t x = left + j * s_.dilation_w;
      if (x >= 0 && x < s_.width) {
        copy_bytes(to, row + x * s_.channels, s_.channels);
      } else {
        fill_bytes(to, s_.pad_value, s_.channels);
      }
    }
  }

  void advance() {
    if (++column_ < s_.out_w) return;
    column_ = 0;
    if (++row_ == s_.out_h) row_ = 0, ++image_;
  }

  const PixelConvShape& s_;
  const uint8_t* x_;
  int64_t column_, row_, image_;
};

}  // namespace sbn
