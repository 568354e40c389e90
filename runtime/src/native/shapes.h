// What the operators of ONNX share when they check their inputs and set their outputs' shapes.
#pragma once

#include "base/bits.h"
#include "native/operators.h"

namespace sbn::native {

constexpr size_t kMaxRank = ort::kMaxRank;

inline int64_t count(const Tensor& tensor) { return tensor.count(0, tensor.rank); }

inline Status* no_settings(const Node&, Settings*) { return nullptr; }

// The attribute `axis`.
template <int64_t otherwise>
Status* axis_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("axis", otherwise);
  return nullptr;
}

// The output is like the input.
inline Status* set_same(const Operands& o) {
  Value& y = o.output();
  void* data = y.data;
  static_cast<Tensor&>(y) = o.input(0);
  y.data = data;
  return nullptr;
}

// An axis, counted from the end where it is negative.
inline bool axis_in(int64_t* axis, size_t rank) {
  const auto size = static_cast<int64_t>(rank);
  if (*axis < 0) *axis += size;
  return *axis >= 0 && *axis < size;
}

// Whether input i is a known list of at most `most` int64.
inline bool is_list(const Operands& o, size_t i, int64_t most) {
  if (!o.has(i)) return false;
  const Value& list = o.input(i);
  return list.type == ElementType::kInt64 && list.rank == 1 && list.data && list.dims[0] <= most;
}

// Entry `at` of such a list.
inline int64_t entry(const Operands& o, size_t i, size_t at) {
  return load<int64_t>(o.in<int64_t>(i) + at);
}

// The size of `x` on an axis of `rank`; missing axes come first, of size 1.
inline int64_t size_on(const Value& x, size_t axis, size_t rank) {
  return axis + x.rank < rank ? 1 : x.dims[axis + x.rank - rank];
}

// Makes `y` the common shape of all inputs, with sizes of 1 stretched, but for the last axes, which
// are left open; false where they do not fit each other.
inline bool set_broadcast(const Operands& o, Value* y, size_t last = 0) {
  y->rank = 0;
  for (size_t i = 0; i < o.node.input_count; ++i) {
    if (o.has(i) && o.input(i).rank > y->rank) y->rank = o.input(i).rank;
  }
  for (size_t axis = 0; axis < y->rank; ++axis) {
    y->dims[axis] = 1;
    for (size_t i = 0; i < o.node.input_count && axis + last < y->rank; ++i) {
      if (!o.has(i)) return false;
      const int64_t size = size_on(o.input(i), axis, y->rank);
      if (size == 1 || size == y->dims[axis]) continue;
      if (y->dims[axis] != 1) return false;
      y->dims[axis] = size;
    }
  }
  return true;
}

// Where elements lie that are visited in order: element [i, j, ...] lies i * steps[0] +
// j * steps[1] ... elements after the first.
struct Strided {
  size_t rank = 0;
  int64_t dims[2 * kMaxRank] = {};
  int64_t steps[2 * kMaxRank] = {};

  // Adds an axis after the others. One that goes on where the last one ends makes it longer.
  void add(int64_t size, int64_t step) {
    if (size == 1) return;
    if (rank && steps[rank - 1] == size * step) {
      dims[rank - 1] *= size, steps[rank - 1] = step;
      return;
    }
    dims[rank] = size, steps[rank++] = step;
  }

  // Where the element of that number lies.
  int64_t place(int64_t index) const {
    int64_t at = 0;
    for (size_t i = rank; i-- > 0; index /= dims[i]) at += index % dims[i] * steps[i];
    return at;
  }
};

}  // namespace sbn::native
