// Operators of ONNX whose output is the memory of their first input, seen otherwise.
#include "native/shapes.h"

namespace sbn::native {
namespace {

Status* too_many_dimensions(const Operands& o) {
  return o.invalid("a tensor would have more than 8 dimensions");
}

Status* reshape_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("allowzero", 0);
  return nullptr;
}

Status* reshape_shape(const Operands& o) {
  if (!is_list(o, 1, kMaxRank)) return o.invalid("its shape must be known, of at most 8 sizes");
  const Value& x = o.input(0);
  Value& y = o.output();
  y.type = x.type;
  y.rank = static_cast<size_t>(o.input(1).dims[0]);
  Size given = 1;
  size_t open = kMaxRank;
  for (size_t i = 0; i < y.rank; ++i) {
    int64_t size = load<int64_t>(o.in<int64_t>(1) + i);
    if (size == 0 && !o.settings.list[0]) size = i < x.rank ? x.dims[i] : -2;
    if (size == -1 && open == kMaxRank) {
      open = i, size = 1;
    }
    given = given * size;
    y.dims[i] = size;
  }
  const int64_t all = count(x);
  if (given.valid() && open < kMaxRank && given.value() > 0) {
    y.dims[open] = all / given.value();
    given = given * y.dims[open];
  }
  if (given.valid() && given.value() == all) return nullptr;
  Message text;
  return fail(text << o.node << ": its input of shape " << x
                   << " has not the elements of the shape it is given");
}

Status* flatten_shape(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  const auto rank = static_cast<int64_t>(x.rank);
  int64_t axis = o.settings.list[0];
  if (axis < 0) axis += rank;
  if (axis < 0 || axis > rank) return o.invalid("its axis is not valid");
  y.type = x.type;
  y.rank = 2;
  y.dims[0] = x.count(0, static_cast<size_t>(axis));
  y.dims[1] = x.count(static_cast<size_t>(axis), x.rank);
  return nullptr;
}

Status* unsqueeze_shape(const Operands& o) {
  if (!is_list(o, 1, kMaxRank)) return o.invalid("its axes must be known");
  const Value& x = o.input(0);
  Value& y = o.output();
  const auto added = static_cast<size_t>(o.input(1).dims[0]);
  if (x.rank + added > kMaxRank) return too_many_dimensions(o);
  y.type = x.type;
  y.rank = x.rank + added;
  bool is_new[kMaxRank] = {};
  for (size_t i = 0; i < added; ++i) {
    int64_t axis = load<int64_t>(o.in<int64_t>(1) + i);
    if (!axis_in(&axis, y.rank) || is_new[axis]) return o.invalid("its axes are not valid");
    is_new[axis] = true;
  }
  for (size_t i = 0, from = 0; i < y.rank; ++i) y.dims[i] = is_new[i] ? 1 : x.dims[from++];
  return nullptr;
}

Status* squeeze_shape(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  if (o.has(1) && !is_list(o, 1, kMaxRank)) return o.invalid("its axes must be known");
  bool left_out[kMaxRank] = {};
  for (size_t i = 0; i < x.rank; ++i) left_out[i] = !o.has(1) && x.dims[i] == 1;
  for (int64_t i = 0; o.has(1) && i < o.input(1).dims[0]; ++i) {
    int64_t axis = load<int64_t>(o.in<int64_t>(1) + i);
    if (!axis_in(&axis, x.rank) || x.dims[axis] != 1) return o.invalid("its axes are not valid");
    left_out[axis] = true;
  }
  y.type = x.type;
  y.rank = 0;
  for (size_t i = 0; i < x.rank; ++i) {
    if (!left_out[i]) y.dims[y.rank++] = x.dims[i];
  }
  return nullptr;
}

constexpr OnnxOp kOps[] = {
    {"Dropout", 1, 3, no_settings, set_same, nullptr},
    {"Flatten", 1, 1, axis_create<1>, flatten_shape, nullptr},
    {"Identity", 1, 1, no_settings, set_same, nullptr},
    {"Reshape", 2, 2, reshape_create, reshape_shape, nullptr},
    {"Squeeze", 1, 2, no_settings, squeeze_shape, nullptr},
    {"Unsqueeze", 2, 2, no_settings, unsqueeze_shape, nullptr},
};

}  // namespace

const OnnxOps kViewOps = kOps;

}  // namespace sbn::native
