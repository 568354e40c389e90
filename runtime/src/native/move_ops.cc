// Operators of ONNX that move elements and compute nothing.
#include <stdlib.h>
#include <string.h>

#include "native/shapes.h"

namespace sbn::native {
namespace {

// --- Parts of tensors ---

Status* concat_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  Value& y = o.output();
  int64_t axis = o.settings.list[0];
  if (!axis_in(&axis, y.rank)) return o.invalid("its axis is not valid");
  Size size = 0;
  for (size_t i = 0; i < o.node.input_count; ++i) {
    if (!o.has(i)) return o.invalid("an input is missing");
    const Value& x = o.input(i);
    bool fits = x.type == y.type && x.rank == y.rank;
    for (size_t j = 0; fits && j < x.rank; ++j) {
      fits = static_cast<int64_t>(j) == axis || x.dims[j] == y.dims[j];
    }
    if (!fits) return o.invalid("its inputs have different types or sizes");
    size = size + x.dims[axis];
  }
  if (!size.valid()) return o.invalid("its output is too large");
  y.dims[axis] = size.value();
  return nullptr;
}

void concat_run(const Operands& o) {
  const Value& y = o.output();
  int64_t axis = o.settings.list[0];
  axis_in(&axis, y.rank);
  const auto at = static_cast<size_t>(axis);
  const int64_t rows = y.count(0, at);
  const auto bytes = static_cast<size_t>(bytes_of(y.type));
  const size_t pitch = static_cast<size_t>(y.count(at, y.rank)) * bytes;
  size_t column = 0;
  for (size_t i = 0; i < o.node.input_count; ++i) {
    const Value& x = o.input(i);
    const size_t size = static_cast<size_t>(x.count(at, x.rank)) * bytes;
    for (int64_t row = 0; size && row < rows; ++row) {
      memcpy(o.out<char>() + static_cast<size_t>(row) * pitch + column,
             x.as<char>() + static_cast<size_t>(row) * size, size);
    }
    column += size;
  }
}

// Outputs of equal sizes, the last one of what is left, or of sizes that are given.
Status* split_shape(const Operands& o) {
  const Value& x = o.input(0);
  const auto outputs = static_cast<int64_t>(o.node.output_count);
  int64_t axis = o.settings.list[0];
  if (!axis_in(&axis, x.rank)) return o.invalid("its axis is not valid");
  if (o.has(1) && (!is_list(o, 1, outputs) || o.input(1).dims[0] != outputs)) {
    return o.invalid("its sizes must be known, one for each output");
  }
  int64_t left = x.dims[axis];
  const int64_t part = div_up(left, outputs);
  for (int64_t i = 0; i < outputs; ++i) {
    const auto at = static_cast<size_t>(i);
    const int64_t size = o.has(1) ? entry(o, 1, at) : min(part, left);
    if (size < 0 || size > left) return o.invalid("its sizes are not those of its input");
    left -= size;
    Value& y = o.output(at);
    y.type = x.type, y.rank = x.rank;
    for (size_t j = 0; j < x.rank; ++j) y.dims[j] = x.dims[j];
    y.dims[axis] = size;
  }
  return left == 0 ? nullptr : o.invalid("its sizes are not those of its input");
}

void split_run(const Operands& o) {
  const Value& x = o.input(0);
  int64_t axis = o.settings.list[0];
  axis_in(&axis, x.rank);
  const auto at = static_cast<size_t>(axis);
  const auto bytes = static_cast<size_t>(bytes_of(x.type));
  const size_t pitch = static_cast<size_t>(x.count(at, x.rank)) * bytes;
  size_t column = 0;
  for (size_t i = 0; i < o.node.output_count; ++i) {
    const Value& y = o.output(i);
    const size_t size = static_cast<size_t>(y.count(at, y.rank)) * bytes;
    for (int64_t row = 0; size && row < x.count(0, at); ++row) {
      const auto to = static_cast<size_t>(row);
      memcpy(static_cast<char*>(y.data) + to * size, x.as<char>() + to * pitch + column, size);
    }
    column += size;
  }
}

// Where a Slice begins on each axis, its step there, and how many elements it takes.
struct Slices {
  int64_t begin[kMaxRank], step[kMaxRank], size[kMaxRank];
};

bool read_slices(const Operands& o, Slices* s) {
  constexpr int64_t kMostStep = int64_t{1} << 31;
  const Value& x = o.input(0);
  for (size_t i = 0; i < x.rank; ++i) s->begin[i] = 0, s->step[i] = 1, s->size[i] = x.dims[i];
  for (size_t i = 1; i < o.node.input_count; ++i) {
    if (i > 2 && !o.has(i)) continue;
    if (!is_list(o, i, kMaxRank) || o.input(i).dims[0] != o.input(1).dims[0]) return false;
  }
  bool seen[kMaxRank] = {};
  for (int64_t i = 0; i < o.input(1).dims[0]; ++i) {
    const auto at = static_cast<size_t>(i);
    int64_t axis = o.has(3) ? entry(o, 3, at) : i;
    if (!axis_in(&axis, x.rank) || seen[axis]) return false;
    seen[axis] = true;
    const int64_t size = x.dims[axis], step = o.has(4) ? entry(o, 4, at) : 1;
    if (step == 0 || step > kMostStep || step < -kMostStep) return false;
    const auto bound = [&](int64_t value) {
      if (value < 0) value += size;
      return step > 0 ? clamp(value, 0, size) : clamp(value, -1, size - 1);
    };
    const int64_t begin = bound(entry(o, 1, at)), end = bound(entry(o, 2, at));
    // The end may lie before the first element, which no number says but a large negative one.
    const int64_t length = step > 0 ? end - begin : begin - end;
    s->begin[axis] = max(begin, 0), s->step[axis] = step;
    s->size[axis] = length > 0 ? div_up(length, step > 0 ? step : -step) : 0;
    if (s->size[axis] < 2) s->step[axis] = 1;
  }
  return true;
}

Status* slice_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  Slices s = {};
  if (!read_slices(o, &s)) return o.invalid("its starts, ends, axes and steps must be known");
  for (size_t i = 0; i < o.output().rank; ++i) o.output().dims[i] = s.size[i];
  return nullptr;
}

template <class T>
void gather(const Strided& s, const T* from, T* to) {
  const int64_t inner = s.rank ? s.dims[s.rank - 1] : 1, step = s.rank ? s.steps[s.rank - 1] : 1;
  int64_t at[2 * kMaxRank] = {};
  while (true) {
    if (step == 1) {
      memcpy(to, from, static_cast<size_t>(inner) * sizeof(T));
    } else {
      for (int64_t i = 0; i < inner; ++i) to[i] = from[i * step];
    }
    to += inner;
    size_t axis = s.rank ? s.rank - 1 : 0;
    while (true) {
      if (axis == 0) return;
      --axis;
      from += s.steps[axis];
      if (++at[axis] < s.dims[axis]) break;
      from -= s.steps[axis] * s.dims[axis];
      at[axis] = 0;
    }
  }
}

template <class T>
void gather_as(const Operands& o, const Strided& s, int64_t first, Value* y) {
  const int64_t rows = s.rank ? s.dims[0] : 1, row = count(*y) / rows;
  o.each_range(rows, static_cast<double>(row), [&](Range r) {
    Strided part = s;
    part.dims[0] = r.end - r.begin;
    const T* from = o.in<T>(0) + first + (s.rank ? r.begin * s.steps[0] : 0);
    gather(part, from, static_cast<T*>(y->data) + r.begin * row);
  });
}

// Copies elements of the first input, that of number `first` first.
void gather(const Operands& o, const Strided& s, int64_t first, Value* y) {
  if (count(*y) == 0) return;
  switch (bytes_of(y->type)) {
    case 1:
      return gather_as<uint8_t>(o, s, first, y);
    case 2:
      return gather_as<uint16_t>(o, s, first, y);
    case 4:
      return gather_as<uint32_t>(o, s, first, y);
    default:
      return gather_as<uint64_t>(o, s, first, y);
  }
}

void slice_run(const Operands& o) {
  const Value& x = o.input(0);
  Slices s = {};
  read_slices(o, &s);
  Strided strided;
  int64_t first = 0;
  for (size_t i = 0; i < x.rank; ++i) {
    const int64_t pitch = x.count(i + 1, x.rank);
    first += s.begin[i] * pitch;
    strided.add(s.size[i], s.step[i] * pitch);
  }
  gather(o, strided, first, &o.output());
}

// Entries of an axis, by constant numbers.
Status* gather_shape(const Operands& o) {
  const Value& x = o.input(0);
  const Value& at = o.input(1);
  Value& y = o.output();
  int64_t axis = o.settings.list[0];
  if (!axis_in(&axis, x.rank)) return o.invalid("its axis is not valid");
  if (at.type != ElementType::kInt64 || !at.data) return o.invalid("its indices must be known int64");
  if (x.rank - 1 + at.rank > kMaxRank) return o.invalid("a tensor would have more than 8 dimensions");
  for (int64_t i = 0, all = count(at); i < all; ++i) {
    const int64_t index = entry(o, 1, static_cast<size_t>(i));
    if (index < -x.dims[axis] || index >= x.dims[axis]) return o.invalid("an index is not valid");
  }
  y.type = x.type;
  y.rank = 0;
  for (int64_t i = 0; i < axis; ++i) y.dims[y.rank++] = x.dims[i];
  for (size_t i = 0; i < at.rank; ++i) y.dims[y.rank++] = at.dims[i];
  for (auto i = static_cast<size_t>(axis) + 1; i < x.rank; ++i) y.dims[y.rank++] = x.dims[i];
  return nullptr;
}

void gather_run(const Operands& o) {
  const Value& x = o.input(0);
  int64_t axis = o.settings.list[0];
  axis_in(&axis, x.rank);
  const auto at = static_cast<size_t>(axis);
  const int64_t size = x.dims[axis], taken = count(o.input(1));
  const int64_t bytes = x.count(at + 1, x.rank) * bytes_of(x.type);
  if (count(o.output()) == 0) return;
  char* to = o.out<char>();
  for (int64_t row = 0; row < x.count(0, at); ++row) {
    for (int64_t i = 0; i < taken; ++i, to += bytes) {
      int64_t index = entry(o, 1, static_cast<size_t>(i));
      if (index < 0) index += size;
      memcpy(to, x.as<char>() + (row * size + index) * bytes, static_cast<size_t>(bytes));
    }
  }
}

// Parts of the first axes, each by a list of constant numbers.
Status* gather_parts_create(const Node& node, Settings*) {
  Message text;
  if (node.integer("batch_dims", 0) == 0) return nullptr;
  return fail(text << node << ": batch_dims are not supported");
}

Status* gather_parts_shape(const Operands& o) {
  const Value& x = o.input(0);
  const Value& at = o.input(1);
  Value& y = o.output();
  if (at.type != ElementType::kInt64 || !at.data || at.rank == 0) {
    return o.invalid("its indices must be known int64");
  }
  const int64_t taken = at.dims[at.rank - 1];
  if (taken < 1 || taken > static_cast<int64_t>(x.rank)) return o.invalid("its indices do not fit");
  const auto axes = static_cast<size_t>(taken);
  if (x.rank - axes + at.rank - 1 > kMaxRank) {
    return o.invalid("a tensor would have more than 8 dimensions");
  }
  for (int64_t i = 0, all = count(at); i < all; ++i) {
    const int64_t index = entry(o, 1, static_cast<size_t>(i)), size = x.dims[i % taken];
    if (index < -size || index >= size) return o.invalid("an index is not valid");
  }
  y.type = x.type;
  y.rank = 0;
  for (size_t i = 0; i + 1 < at.rank; ++i) y.dims[y.rank++] = at.dims[i];
  for (size_t i = axes; i < x.rank; ++i) y.dims[y.rank++] = x.dims[i];
  return nullptr;
}

void gather_parts_run(const Operands& o) {
  const Value& x = o.input(0);
  const Value& at = o.input(1);
  const auto axes = static_cast<size_t>(at.dims[at.rank - 1]);
  const int64_t bytes = x.count(axes, x.rank) * bytes_of(x.type);
  if (count(o.output()) == 0) return;
  const int64_t parts = at.count(0, at.rank - 1);
  o.each_range(parts, static_cast<double>(bytes), [&](Range r) {
    for (int64_t i = r.begin; i < r.end; ++i) {
      int64_t part = 0;
      for (size_t axis = 0; axis < axes; ++axis) {
        const int64_t index = entry(o, 1, static_cast<size_t>(i) * axes + axis);
        part = part * x.dims[axis] + (index < 0 ? index + x.dims[axis] : index);
      }
      memcpy(o.out<char>() + i * bytes, x.as<char>() + part * bytes, static_cast<size_t>(bytes));
    }
  });
}

// --- Other orders, and copies ---

Status* transpose_create(const Node& node, Settings* s) {
  const Attribute* perm = node.find("perm", Attribute::kInts);
  s->list[0] = perm ? static_cast<int64_t>(perm->integer_count) : -1;
  for (size_t i = 0; perm && i < perm->integer_count && i < kMaxRank; ++i) {
    s->list[1 + i] = perm->integers[i];
  }
  return nullptr;
}

size_t transposed_from(const Operands& o, size_t axis) {
  const size_t rank = o.input(0).rank;
  return o.settings.list[0] < 0 ? rank - 1 - axis : static_cast<size_t>(o.settings.list[1 + axis]);
}

Status* transpose_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  Value& y = o.output();
  const int64_t given = o.settings.list[0];
  if (given >= 0 && given != static_cast<int64_t>(y.rank)) {
    return o.invalid("perm has not as many numbers as its input has dimensions");
  }
  bool seen[kMaxRank] = {};
  for (size_t i = 0; i < y.rank; ++i) {
    const size_t from = transposed_from(o, i);
    if (from >= y.rank || seen[from]) return o.invalid("perm is no permutation");
    seen[from] = true;
    y.dims[i] = o.input(0).dims[from];
  }
  return nullptr;
}

void transpose_run(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  Strided strided;
  for (size_t i = 0; i < y.rank; ++i) {
    strided.add(y.dims[i], x.count(transposed_from(o, i) + 1, x.rank));
  }
  gather(o, strided, 0, &y);
}

Status* tile_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  Value& y = o.output();
  if (!is_list(o, 1, kMaxRank) || o.input(1).dims[0] != static_cast<int64_t>(y.rank)) {
    return o.invalid("its repeats must be known, one for each dimension");
  }
  for (size_t i = 0; i < y.rank; ++i) {
    const Size size = Size(y.dims[i]) * entry(o, 1, i);
    if (!size.valid()) return o.invalid("its repeats are not valid");
    y.dims[i] = size.value();
  }
  return nullptr;
}

void tile_run(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  if (count(y) == 0) return;
  Strided strided;
  for (size_t i = 0; i < y.rank; ++i) {
    strided.add(y.dims[i] / x.dims[i], 0);
    strided.add(x.dims[i], x.count(i + 1, x.rank));
  }
  gather(o, strided, 0, &y);
}

Status* expand_shape(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  if (!is_list(o, 1, kMaxRank)) return o.invalid("its shape must be known, of at most 8 sizes");
  const auto given = static_cast<size_t>(o.input(1).dims[0]);
  y.type = x.type;
  y.rank = given > x.rank ? given : x.rank;
  for (size_t i = 0; i < y.rank; ++i) {
    const int64_t size = size_on(x, i, y.rank);
    const int64_t wanted = i + given < y.rank ? 1 : entry(o, 1, i + given - y.rank);
    if (wanted < 0 || (size != 1 && wanted != 1 && wanted != size)) {
      return o.invalid("its input does not fit the shape it is given");
    }
    y.dims[i] = size == 1 ? wanted : size;
  }
  return nullptr;
}

void expand_run(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  Strided strided;
  for (size_t i = 0; i < y.rank; ++i) {
    const bool repeated = size_on(x, i, y.rank) == 1;
    strided.add(y.dims[i], repeated ? 0 : x.count(i + x.rank - y.rank + 1, x.rank));
  }
  gather(o, strided, 0, &y);
}

// Blocks of b x b pixels from b * b channels.
Status* depth_to_space_create(const Node& node, Settings* s) {
  const Attribute* mode = node.find("mode", Attribute::kString);
  s->list[0] = node.integer("blocksize", 0);
  s->list[1] = mode && mode->bytes == "CRD";  // whether a pixel's channels follow each other
  if (s->list[0] >= 1 && s->list[0] <= 1 << 15) return nullptr;
  Message text;
  return fail(text << node << ": its blocksize is not supported");
}

Status* depth_to_space_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  Value& y = o.output();
  const int64_t b = o.settings.list[0];
  if (y.rank != 4 || y.dims[1] % (b * b)) {
    return o.invalid("its input must be [N, C, H, W], with whole blocks of channels");
  }
  y.dims[1] /= b * b;
  for (size_t i = 2; i < 4; ++i) {
    const Size size = Size(y.dims[i]) * b;
    if (!size.valid()) return o.invalid("its output is too large");
    y.dims[i] = size.value();
  }
  return nullptr;
}

void depth_to_space_run(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  const int64_t b = o.settings.list[0], plane = x.count(2, 4), channels = y.dims[1];
  const int64_t column = o.settings.list[1] ? plane : channels * plane;
  const int64_t channel = o.settings.list[1] ? b * b * plane : plane;
  Strided strided;
  strided.add(x.dims[0], x.count(1, 4));
  strided.add(channels, channel);
  strided.add(x.dims[2], x.dims[3]);
  strided.add(b, b * column);
  strided.add(x.dims[3], 1);
  strided.add(b, column);
  gather(o, strided, 0, &y);
}

// The reverse: channels from blocks of pixels.
Status* space_to_depth_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  Value& y = o.output();
  const int64_t b = o.settings.list[0];
  if (y.rank != 4 || y.dims[2] % b || y.dims[3] % b) {
    return o.invalid("its input must be [N, C, H, W], with whole blocks of pixels");
  }
  const Size channels = Size(y.dims[1]) * (b * b);
  if (!channels.valid()) return o.invalid("its output is too large");
  y.dims[1] = channels.value(), y.dims[2] /= b, y.dims[3] /= b;
  return nullptr;
}

void space_to_depth_run(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  const int64_t b = o.settings.list[0], width = x.dims[3];
  Strided strided;
  strided.add(x.dims[0], x.count(1, 4));
  strided.add(b, width);
  strided.add(b, 1);
  strided.add(x.dims[1], x.count(2, 4));
  strided.add(y.dims[2], b * width);
  strided.add(y.dims[3], b);
  gather(o, strided, 0, &y);
}

// --- Shapes, and tensors of one number ---

Status* shape_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("start", 0);
  s->list[1] = node.integer("end", INT64_MAX);
  return nullptr;
}

Range axes_of_shape(const Operands& o) {
  const auto rank = static_cast<int64_t>(o.input(0).rank);
  const auto bound = [&](int64_t axis) { return clamp(axis < 0 ? axis + rank : axis, 0, rank); };
  return {bound(o.settings.list[0]), bound(o.settings.list[1])};
}

Status* shape_shape(const Operands& o) {
  const Range axes = axes_of_shape(o);
  Value& y = o.output();
  y.type = ElementType::kInt64;
  y.rank = 1;
  y.dims[0] = max(axes.end - axes.begin, 0);
  return nullptr;
}

void shape_run(const Operands& o) {
  const Range axes = axes_of_shape(o);
  for (int64_t i = axes.begin; i < axes.end; ++i) {
    o.out<int64_t>()[i - axes.begin] = o.input(0).dims[i];
  }
}

// The number is an attribute, which lives only while the model is loaded.
Status* constant_of_shape_create(const Node& node, Settings* s) {
  s->list[0] = static_cast<int64_t>(ElementType::kFloat);
  s->list[1] = 0;
  const Attribute* value = node.find("value", Attribute::kTensor);
  if (!value) return nullptr;
  Tensor tensor;
  void* memory = nullptr;
  Message text;
  text << node << ": its value";
  Status* failure = read_constant(value->bytes, text, &tensor, &memory);
  if (!failure && count(tensor) != 1) failure = fail(text << " is not one number");
  if (!failure) {
    s->list[0] = static_cast<int64_t>(tensor.type);
    memcpy(s->list + 1, tensor.data, static_cast<size_t>(bytes_of(tensor.type)));
  }
  free(memory);
  return failure;
}

Status* constant_of_shape_shape(const Operands& o) {
  Value& y = o.output();
  const Value& sizes = o.input(0);
  if (!is_list(o, 0, kMaxRank)) return o.invalid("its shape must be known, of at most 8 sizes");
  y.type = static_cast<ElementType>(o.settings.list[0]);
  y.rank = static_cast<size_t>(sizes.dims[0]);
  for (size_t i = 0; i < y.rank; ++i) {
    y.dims[i] = entry(o, 0, i);
    if (y.dims[i] < 0) return o.invalid("a size of its shape is negative");
  }
  return nullptr;
}

void constant_of_shape_run(const Operands& o) {
  const Value& y = o.output();
  const auto bytes = static_cast<size_t>(bytes_of(y.type));
  for (int64_t i = 0, all = count(y); i < all; ++i) {
    memcpy(o.out<char>() + static_cast<size_t>(i) * bytes, o.settings.list + 1, bytes);
  }
}

// --- Padding ---

enum PadMode { kConstant, kEdge, kReflect };

Status* pad_create(const Node& node, Settings* s) {
  const Attribute* mode = node.find("mode", Attribute::kString);
  s->list[0] = mode && mode->bytes == "edge"      ? kEdge
               : mode && mode->bytes == "reflect" ? kReflect
                                                  : kConstant;
  if (!mode || s->list[0] != kConstant || mode->bytes == "constant") return nullptr;
  Message text;
  return fail(text << node << ": mode " << mode->bytes
                   << " is not supported, only constant, edge and reflect");
}

Status* pad_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  Value& y = o.output();
  const auto rank = static_cast<int64_t>(y.rank);
  if (o.has(3)) return o.invalid("axes are not supported");
  if (!is_list(o, 1, 2 * kMaxRank) || o.input(1).dims[0] != 2 * rank) {
    return o.invalid("its pads must be known, two for each dimension");
  }
  if (o.has(2) && (o.input(2).type != y.type || count(o.input(2)) != 1)) {
    return o.invalid("its value must be one number of the input's type");
  }
  for (size_t i = 0; i < y.rank; ++i) {
    const auto pad = [&](size_t at) { return Size(entry(o, 1, at)); };
    const Size size = Size(y.dims[i]) + pad(i) + pad(i + y.rank);
    if (!size.valid()) return o.invalid("its pads must not be negative");
    if (o.settings.list[0] != kConstant && y.dims[i] == 0) return o.invalid("its input is empty");
    y.dims[i] = size.value();
  }
  return nullptr;
}

template <class T>
void pad_run_as(const Operands& o) {
  const Value& x = o.input(0);
  const Value& y = o.output();
  T* to = o.out<T>();
  const T value = o.has(2) ? load<T>(o.input(2).data) : T{};
  for (int64_t i = 0, all = count(y); i < all; ++i) to[i] = value;
  if (count(x) == 0) return;
  // Rows of the input are copied to where they begin in the output.
  const size_t last = y.rank ? y.rank - 1 : 0;
  const int64_t row = y.rank ? x.dims[last] : 1;
  const int64_t* pads = o.in<int64_t>(1);
  const int64_t rows = x.count(0, last);
  for (int64_t i = 0; i < rows; ++i) {
    int64_t rest = i, at = y.rank ? load<int64_t>(pads + last) : 0;
    for (size_t axis = last; axis-- > 0;) {
      const int64_t index = rest % x.dims[axis] + load<int64_t>(pads + axis);
      rest /= x.dims[axis];
      at += index * y.count(axis + 1, y.rank);
    }
    memcpy(to + at, x.as<T>() + i * row, static_cast<size_t>(row) * sizeof(T));
  }
}

// The place on an axis of `size` that an output, counted from the first input on, repeats.
int64_t repeated_place(int64_t mode, int64_t at, int64_t size) {
  if (mode == kEdge || size == 1) return clamp(at, 0, size - 1);
  const int64_t period = 2 * (size - 1), place = (at % period + period) % period;
  return place < size ? place : period - place;
}

template <class T>
void repeat_run_as(const Operands& o) {
  const Value& x = o.input(0);
  const Value& y = o.output();
  const size_t last = y.rank - 1;
  const auto place = [&](size_t axis, int64_t at) {
    return repeated_place(o.settings.list[0], at - entry(o, 1, axis), x.dims[axis]);
  };
  o.each_range(y.count(0, last), 4.0 * static_cast<double>(y.dims[last]), [&](Range r) {
    for (int64_t row = r.begin; row < r.end; ++row) {
      const T* from = o.in<T>(0);
      int64_t rest = row;
      for (size_t axis = last; axis-- > 0; rest /= y.dims[axis])
        from += place(axis, rest % y.dims[axis]) * x.count(axis + 1, x.rank);
      T* to = o.out<T>() + row * y.dims[last];
      for (int64_t i = 0; i < y.dims[last]; ++i) to[i] = from[place(last, i)];
    }
  });
}

template <class T>
void pad_run_with(const Operands& o) {
  if (o.settings.list[0] == kConstant || o.output().rank == 0) return pad_run_as<T>(o);
  repeat_run_as<T>(o);
}

void pad_run(const Operands& o) {
  switch (bytes_of(o.output().type)) {
    case 1:
      return pad_run_with<uint8_t>(o);
    case 2:
      return pad_run_with<uint16_t>(o);
    case 4:
      return pad_run_with<uint32_t>(o);
    default:
      return pad_run_with<uint64_t>(o);
  }
}

constexpr OnnxOp kOps[] = {
    {"Concat", 1, kAny, axis_create<INT64_MIN>, concat_shape, concat_run},
    {"ConstantOfShape", 1, 1, constant_of_shape_create, constant_of_shape_shape,
     constant_of_shape_run},
    {"DepthToSpace", 1, 1, depth_to_space_create, depth_to_space_shape, depth_to_space_run},
    {"Expand", 2, 2, no_settings, expand_shape, expand_run},
    {"Gather", 2, 2, axis_create<0>, gather_shape, gather_run},
    {"GatherND", 2, 2, gather_parts_create, gather_parts_shape, gather_parts_run},
    {"Pad", 2, 4, pad_create, pad_shape, pad_run},
    {"Shape", 1, 1, shape_create, shape_shape, shape_run, nullptr, nullptr, nullptr, 1, true},
    {"Slice", 3, 5, no_settings, slice_shape, slice_run},
    {"SpaceToDepth", 1, 1, depth_to_space_create, space_to_depth_shape, space_to_depth_run},
    {"Split", 1, 2, axis_create<0>, split_shape, split_run, nullptr, nullptr, nullptr, kAny},
    {"Tile", 2, 2, no_settings, tile_shape, tile_run},
    {"Transpose", 1, 1, transpose_create, transpose_shape, transpose_run},
};

}  // namespace

const OnnxOps kMoveOps = kOps;

}  // namespace sbn::native
