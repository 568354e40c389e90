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
  const auto taps = [&](int64_t space) { return dilation == 1 ? space : div_up(space, dilation); };
  const int64_t begin = first >= 0 ? 0 : taps(-first);
  const int64_t end = first >= size ? 0 : taps(size - first);
  return {min(begin, kernel), max(min(begin, kernel), min(end, kernel))};
}

// The border classes of an axis that an image of any size may have: taps are missing
// before the image, after it, or both.
struct AxisClasses {
  int64_t kernel, most_before, most_after;

  AxisClasses(int64_t kernel_size, int64_t dilation, int64_t before, int64_t after)
      : kernel(kernel_size),
        most_before(min(div_up(before, dilation), kernel_size)),
        most_after(min(div_up(after, dilation), kernel_size)) {}

  int64_t count() const { return (most_before + 1) * (most_after + 1); }
  int64_t index_of(Range inside) const {
    return inside.begin * (most_after + 1) + kernel - inside.end;
  }
  Range inside(int64_t index) const {
    const int64_t begin = index / (most_after + 1);
    return {begin, max(begin, kernel - index % (most_after + 1))};
  }
};

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
