// The operators of ONNX that the exporter leaves in its files. Plain loops in a stated order, so
// that results are the same on every machine.
#include <string.h>

#include "base/bits.h"
#include "native/exp.h"
#include "native/operators.h"

namespace sbn::native {
namespace {

constexpr size_t kMaxRank = ort::kMaxRank;

int64_t count(const Tensor& tensor) { return tensor.count(0, tensor.rank); }

Status* no_settings(const Node&, Settings*) { return nullptr; }

Status* set_same(const Operands& o) {
  Value& y = o.output();
  void* data = y.data;
  static_cast<Tensor&>(y) = o.input(0);
  y.data = data;
  return nullptr;
}

// An axis, counted from the end where it is negative.
bool axis_in(int64_t* axis, size_t rank) {
  const auto size = static_cast<int64_t>(rank);
  if (*axis < 0) *axis += size;
  return *axis >= 0 && *axis < size;
}

// Whether input i is a known list of at most `most` int64.
bool is_list(const Operands& o, size_t i, int64_t most) {
  if (!o.has(i)) return false;
  const Value& list = o.input(i);
  return list.type == ElementType::kInt64 && list.rank == 1 && list.data && list.dims[0] <= most;
}

Status* too_many_dimensions(const Operands& o) {
  return o.invalid("a tensor would have more than 8 dimensions");
}

// --- Another view of the same elements ---

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

Status* flatten_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("axis", 1);
  return nullptr;
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

// --- Copies ---

Status* concat_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("axis", INT64_MIN);
  return nullptr;
}

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

// Where elements lie that are copied in order: element [i, j, ...] lies i * steps[0] + j * steps[1]
// ... elements after the first.
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
};

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

void gather(const Strided& s, const void* from, const Value& y) {
  if (count(y) == 0) return;
  switch (bytes_of(y.type)) {
    case 1:
      return gather(s, static_cast<const uint8_t*>(from), static_cast<uint8_t*>(y.data));
    case 2:
      return gather(s, static_cast<const uint16_t*>(from), static_cast<uint16_t*>(y.data));
    case 4:
      return gather(s, static_cast<const uint32_t*>(from), static_cast<uint32_t*>(y.data));
    default:
      return gather(s, static_cast<const uint64_t*>(from), static_cast<uint64_t*>(y.data));
  }
}

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
  const Value& y = o.output();
  Strided strided;
  for (size_t i = 0; i < y.rank; ++i) {
    strided.add(y.dims[i], x.count(transposed_from(o, i) + 1, x.rank));
  }
  gather(strided, x.data, y);
}

Status* tile_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  Value& y = o.output();
  if (!is_list(o, 1, kMaxRank) || o.input(1).dims[0] != static_cast<int64_t>(y.rank)) {
    return o.invalid("its repeats must be known, one for each dimension");
  }
  for (size_t i = 0; i < y.rank; ++i) {
    const Size size = Size(y.dims[i]) * load<int64_t>(o.in<int64_t>(1) + i);
    if (!size.valid()) return o.invalid("its repeats are not valid");
    y.dims[i] = size.value();
  }
  return nullptr;
}

void tile_run(const Operands& o) {
  const Value& x = o.input(0);
  const Value& y = o.output();
  if (count(y) == 0) return;
  Strided strided;
  for (size_t i = 0; i < y.rank; ++i) {
    strided.add(y.dims[i] / x.dims[i], 0);
    strided.add(x.dims[i], x.count(i + 1, x.rank));
  }
  gather(strided, x.data, y);
}

// --- Padding ---

Status* pad_create(const Node& node, Settings*) {
  const Attribute* mode = node.find("mode", Attribute::kString);
  if (!mode || mode->bytes == "constant") return nullptr;
  Message text;
  return fail(text << node << ": mode " << mode->bytes << " is not supported, only constant");
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
    const auto pad = [&](size_t at) { return Size(load<int64_t>(o.in<int64_t>(1) + at)); };
    const Size size = Size(y.dims[i]) + pad(i) + pad(i + y.rank);
    if (!size.valid()) return o.invalid("its pads must not be negative");
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

void pad_run(const Operands& o) {
  switch (bytes_of(o.output().type)) {
    case 1:
      return pad_run_as<uint8_t>(o);
    case 2:
      return pad_run_as<uint16_t>(o);
    case 4:
      return pad_run_as<uint32_t>(o);
    default:
      return pad_run_as<uint64_t>(o);
  }
}

// --- One element after the other ---

Status* floats_shape(const Operands& o) {
  if (!o.is_float(0)) return o.invalid("only float32 is supported");
  return set_same(o);
}

template <class Function>
void each_element(const Operands& o, Function function) {
  const float* x = o.in<float>(0);
  float* y = o.out<float>();
  for (int64_t i = 0, all = count(o.output()); i < all; ++i) y[i] = function(x[i]);
}

void relu_run(const Operands& o) {
  each_element(o, [](float x) { return x < 0 ? 0.0f : x; });
}

void sigmoid_run(const Operands& o) {
  each_element(o, [](float x) {
    const float e = exp_of_negative(x < 0 ? x : -x);
    return (x < 0 ? e : 1.0f) / (1.0f + e);
  });
}

Status* clip_shape(const Operands& o) {
  for (size_t i = 1; i < 3; ++i) {
    if (o.has(i) && (!o.is_float(i) || o.input(i).rank != 0)) {
      return o.invalid("its bounds must be float32 numbers");
    }
  }
  return floats_shape(o);
}

void clip_run(const Operands& o) {
  const float low = o.has(1) ? load<float>(o.input(1).data) : -__builtin_inff();
  const float high = o.has(2) ? load<float>(o.input(2).data) : __builtin_inff();
  each_element(o, [&](float x) {
    const float raised = x < low ? low : x;
    return raised > high ? high : raised;
  });
}

// The size of `x` on an axis of `rank`; missing axes come first, of size 1.
int64_t size_on(const Value& x, size_t axis, size_t rank) {
  return axis + x.rank < rank ? 1 : x.dims[axis + x.rank - rank];
}

Status* broadcast_shape(const Operands& o) {
  const Value& a = o.input(0);
  const Value& b = o.input(1);
  Value& y = o.output();
  if (!o.is_float(0) || !o.is_float(1)) return o.invalid("only float32 is supported");
  y.type = ElementType::kFloat;
  y.rank = a.rank > b.rank ? a.rank : b.rank;
  for (size_t i = 0; i < y.rank; ++i) {
    const int64_t left = size_on(a, i, y.rank), right = size_on(b, i, y.rank);
    y.dims[i] = left == 1 ? right : left;
    if (right == 1 || right == y.dims[i]) continue;
    Message text;
    return fail(text << o.node << ": its inputs of shapes " << a << " and " << b
                     << " do not fit each other");
  }
  return nullptr;
}

// Elements of both inputs in the order of the output's. An input is read again along an axis on
// which its size is 1.
template <class Function>
void broadcast(const Operands& o, Function function) {
  const Value& y = o.output();
  const auto strided = [&](const Value& x) {
    Strided s;
    s.rank = y.rank;
    int64_t step = 1;
    for (size_t i = y.rank; i-- > 0;) {
      s.dims[i] = y.dims[i];
      s.steps[i] = size_on(x, i, y.rank) == 1 ? 0 : step;
      step *= size_on(x, i, y.rank);
    }
    return s;
  };
  const Strided left = strided(o.input(0)), right = strided(o.input(1));
  // The last axes, as far as both inputs go on without a gap or stay where they are.
  size_t outer = y.rank;
  int64_t inner = 1;
  const int64_t a_step = y.rank ? left.steps[y.rank - 1] : 0;
  const int64_t b_step = y.rank ? right.steps[y.rank - 1] : 0;
  for (; outer > 0; --outer) {
    const bool goes_on =
        left.steps[outer - 1] == a_step * inner && right.steps[outer - 1] == b_step * inner;
    if (!goes_on) break;
    inner *= y.dims[outer - 1];
  }
  float* to = o.out<float>();
  const int64_t rows = y.count(0, outer);
  for (int64_t row = 0; inner && row < rows; ++row, to += inner) {
    const float* a = o.in<float>(0);
    const float* b = o.in<float>(1);
    int64_t rest = row;
    for (size_t i = outer; i-- > 0; rest /= y.dims[i]) {
      a += rest % y.dims[i] * left.steps[i];
      b += rest % y.dims[i] * right.steps[i];
    }
    if (a_step == 1 && b_step == 1) {
      for (int64_t i = 0; i < inner; ++i) to[i] = function(a[i], b[i]);
    } else {
      for (int64_t i = 0; i < inner; ++i) to[i] = function(a[i * a_step], b[i * b_step]);
    }
  }
}

void add_run(const Operands& o) {
  broadcast(o, [](float a, float b) { return a + b; });
}
void sub_run(const Operands& o) {
  broadcast(o, [](float a, float b) { return a - b; });
}
void mul_run(const Operands& o) {
  broadcast(o, [](float a, float b) { return a * b; });
}
void div_run(const Operands& o) {
  broadcast(o, [](float a, float b) { return a / b; });
}

// --- Means ---

// The mean over axes: the sum in order, begun with 0, divided by the number of elements.
Status* mean_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("keepdims", 1);
  return nullptr;
}

// Sets a bit for each axis that is averaged over; false where they are not valid.
bool mean_axes(const Operands& o, uint32_t* axes) {
  *axes = 0;
  if (!is_list(o, 1, kMaxRank) || o.input(1).dims[0] == 0) return false;
  for (int64_t i = 0; i < o.input(1).dims[0]; ++i) {
    int64_t axis = load<int64_t>(o.in<int64_t>(1) + i);
    if (!axis_in(&axis, o.input(0).rank) || *axes >> axis & 1) return false;
    *axes |= uint32_t{1} << axis;
  }
  return true;
}

Status* mean_shape(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  if (!o.is_float(0)) return o.invalid("only float32 is supported");
  uint32_t axes = 0;
  if (!mean_axes(o, &axes)) return o.invalid("its axes must be known and valid");
  y.type = x.type;
  y.rank = 0;
  for (size_t i = 0; i < x.rank; ++i) {
    const bool reduced = axes >> i & 1;
    if (reduced && x.dims[i] == 0) return o.invalid("it would average over nothing");
    if (!reduced || o.settings.list[0]) y.dims[y.rank++] = reduced ? 1 : x.dims[i];
  }
  return nullptr;
}

void mean_run(const Operands& o) {
  const Value& x = o.input(0);
  uint32_t axes = 0;
  mean_axes(o, &axes);
  Strided outer, inner;
  for (size_t i = 0; i < x.rank; ++i) {
    (axes >> i & 1 ? inner : outer).add(x.dims[i], x.count(i + 1, x.rank));
  }
  const auto place = [](const Strided& s, int64_t index) {
    int64_t at = 0;
    for (size_t i = s.rank; i-- > 0; index /= s.dims[i]) at += index % s.dims[i] * s.steps[i];
    return at;
  };
  const int64_t outputs = count(o.output());
  const int64_t terms = outputs ? count(x) / outputs : 0;
  for (int64_t i = 0; i < outputs; ++i) {
    const float* from = o.in<float>(0) + place(outer, i);
    float sum = 0;
    for (int64_t j = 0; j < terms; ++j) sum += from[place(inner, j)];
    o.out<float>()[i] = sum / static_cast<float>(terms);
  }
}

// Softmax: e^(x - largest), divided by the sum of all in order.
Status* softmax_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("axis", -1);
  return nullptr;
}

Status* softmax_shape(const Operands& o) {
  if (!o.is_float(0)) return o.invalid("only float32 is supported");
  int64_t axis = o.settings.list[0];
  if (!axis_in(&axis, o.input(0).rank)) return o.invalid("its axis is not valid");
  return set_same(o);
}

void softmax_run(const Operands& o) {
  const Value& x = o.input(0);
  int64_t axis = o.settings.list[0];
  axis_in(&axis, x.rank);
  const auto at = static_cast<size_t>(axis);
  const int64_t size = x.dims[at], step = x.count(at + 1, x.rank);
  for (int64_t i = 0; size && i < count(x) / size; ++i) {
    const int64_t first = i / step * step * size + i % step;
    const float* from = o.in<float>(0) + first;
    float* to = o.out<float>() + first;
    float largest = from[0];
    for (int64_t j = 1; j < size; ++j)
      largest = from[j * step] > largest ? from[j * step] : largest;
    float sum = 0;
    for (int64_t j = 0; j < size; ++j)
      sum += to[j * step] = exp_of_negative(from[j * step] - largest);
    for (int64_t j = 0; j < size; ++j) to[j * step] /= sum;
  }
}

// --- Numbers of eight bits ---

Status* quantize_shape(const Operands& o) {
  const auto number = [&](size_t i) { return o.has(i) && o.input(i).rank == 0; };
  const bool given = number(1) && (!o.has(2) || number(2));
  if (!o.is_float(0) || !o.is_float(1) || !given) {
    return o.invalid("only float32 with one scale and one zero point is supported");
  }
  SBN_TRY(set_same(o));
  Value& y = o.output();
  y.type = o.has(2) ? o.input(2).type : ElementType::kUint8;
  const bool bytes = y.type == ElementType::kUint8 || y.type == ElementType::kInt8;
  return bytes ? nullptr : o.invalid("only to uint8 and int8 is supported");
}

// The nearest integer to x / scale, of two the even one, plus the zero point, kept in range.
template <class T>
void quantize_run_as(const Operands& o, float lowest, float highest) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const auto scale = load<float>(o.input(1).data);
  const auto zero = o.has(2) ? static_cast<float>(load<T>(o.input(2).data)) : 0.0f;
  const float low = lowest - zero, high = highest - zero;
  const float* x = o.in<float>(0);
  T* y = o.out<T>();
  for (int64_t i = 0, all = count(o.input(0)); i < all; ++i) {
    float v = x[i] / scale;
    v = v > low ? v : low;
    v = v < high ? v : high;
    y[i] = static_cast<T>(static_cast<int32_t>((v + kMagic) - kMagic + zero));
  }
}

void quantize_run(const Operands& o) {
  const bool is_signed = o.output().type == ElementType::kInt8;
  return is_signed ? quantize_run_as<int8_t>(o, -128, 127) : quantize_run_as<uint8_t>(o, 0, 255);
}

constexpr size_t kAny = SIZE_MAX;

constexpr OnnxOp kOps[] = {
    {"Add", 2, 2, no_settings, broadcast_shape, add_run},
    {"Clip", 1, 3, no_settings, clip_shape, clip_run},
    {"Concat", 1, kAny, concat_create, concat_shape, concat_run},
    {"Div", 2, 2, no_settings, broadcast_shape, div_run},
    {"Flatten", 1, 1, flatten_create, flatten_shape, nullptr},
    {"Identity", 1, 1, no_settings, set_same, nullptr},
    {"Mul", 2, 2, no_settings, broadcast_shape, mul_run},
    {"Pad", 2, 4, pad_create, pad_shape, pad_run},
    {"QuantizeLinear", 2, 3, no_settings, quantize_shape, quantize_run},
    {"ReduceMean", 2, 2, mean_create, mean_shape, mean_run},
    {"Relu", 1, 1, no_settings, floats_shape, relu_run},
    {"Reshape", 2, 2, reshape_create, reshape_shape, nullptr},
    {"Sigmoid", 1, 1, no_settings, floats_shape, sigmoid_run},
    {"Softmax", 1, 1, softmax_create, softmax_shape, softmax_run},
    {"Squeeze", 1, 2, no_settings, squeeze_shape, nullptr},
    {"Sub", 2, 2, no_settings, broadcast_shape, sub_run},
    {"Tile", 2, 2, no_settings, tile_shape, tile_run},
    {"Transpose", 1, 1, transpose_create, transpose_shape, transpose_run},
    {"Unsqueeze", 2, 2, no_settings, unsqueeze_shape, nullptr},
};

constexpr const OnnxOp* kProducts[] = {&kConv, &kGemm, &kMatMul};

}  // namespace

Status* Operands::invalid(const char* reason) const {
  Message text;
  return fail(text << node << ": " << reason);
}

const OnnxOp* onnx_op(const Bytes& name) {
  for (const OnnxOp& op : kOps) {
    if (name == op.name) return &op;
  }
  for (const OnnxOp* op : kProducts) {
    if (name == op->name) return op;
  }
  return nullptr;
}

}  // namespace sbn::native
