// Border classes of a zero-padded convolution. Output rows that see the same
// kernel rows inside the image form one class, and so do columns.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"

namespace sbn {

// Kernel taps [begin, end) that fall inside an image of `size` elements.
SBN_INLINE Range taps_inside(int64_t at, int64_t stride, int64_t dilation, int64_t pad,
                             int64_t kernel, int64_t size) {
  const int64_t first = at * stride - pad;  // of the input, under tap 0
  const int64_t begin = first >= 0 ? 0 : div_up(-first, dilation);
  const int64_t end = first >= size ? 0 : div_up(size - first, dilation);
  return {min(begin, kernel), max(min(begin, kernel), min(end, kernel))};
}

// One axis of the output, walked class by class: both ends of taps_inside never
// increase along the axis, so each class is one run of indices.
struct Axis {
  int64_t outputs, stride, dilation, pad, kernel, size;

  Range taps(int64_t at) const { return taps_inside(at, stride, dilation, pad, kernel, size); }

  // Calls body(class, taps, run of outputs) and returns the number of classes.
  template <class Body>
  int64_t each_class(Body body) const {
    int64_t count = 0;
    for (int64_t begin = 0; begin < outputs; ++count) {
      const Range inside = taps(begin);
      int64_t end = begin + 1;
      for (; end < outputs; ++end) {
        const Range next = taps(end);
        if (next.begin != inside.begin || next.end != inside.end) break;
      }
      body(count, inside, Range{begin, end});
      begin = end;
    }
    return count;
  }

  int64_t classes() const {
    return each_class([](int64_t, Range, Range) {});
  }
};

}  // namespace sbn
