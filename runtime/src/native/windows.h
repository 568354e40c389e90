// Windows that slide over inputs of one to three axes behind batch and channels.
#pragma once

#include "native/shapes.h"

namespace sbn::native {

// Reads strides, dilations and pads, and the kernel where `sized`.
Status* read_window(const Node& node, bool sized, Window* window);

// Sizes of a tensor on the axes of a window, or of a kernel [..., ...]: the last `rank - skipped`.
struct Extent {
  int64_t size[Window::kAxes];

  int64_t count() const { return size[0] * size[1] * size[2]; }
};

// Whether a tensor of two axes and one to three more fits what the window's attributes are for.
inline bool has_axes_of(const Value& x, const Window& window) {
  const bool possible = x.rank >= 3 && x.rank <= 2 + Window::kAxes;
  return possible && (window.given == 0 || window.given == x.rank - 2);
}

inline Extent extent_of(const Value& x) {
  Extent extent = {{1, 1, 1}};
  for (size_t i = 2; i < x.rank; ++i) extent.size[Window::kAxes + i - x.rank] = x.dims[i];
  return extent;
}

// How far a kernel reaches on an axis: its first and last element and all between.
inline int64_t reach_of(const Window& w, int64_t kernel, size_t axis) {
  return (kernel - 1) * w.dilations[axis] + 1;
}

// The i in [0, count) for which first + i * step lies in [0, size).
inline Range inside(int64_t first, int64_t step, int64_t size, int64_t count) {
  const int64_t begin = first < 0 ? div_up(-first, step) : 0;
  const int64_t end = first >= size ? 0 : (size - 1 - first) / step + 1;
  return {min(begin, count), max(min(begin, count), min(end, count))};
}

}  // namespace sbn::native
