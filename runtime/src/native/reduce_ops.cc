// Operators of ONNX that go over all elements of an axis. Sums are made in the order of elements.
#include "native/functions.h"
#include "native/shapes.h"

namespace sbn::native {
namespace {

// --- Sums, means and the like over axes ---

enum ReduceSetting { kKeep, kNoneForNone };

Status* reduce_create(const Node& node, Settings* s) {
  s->list[kKeep] = node.integer("keepdims", 1);
  s->list[kNoneForNone] = node.integer("noop_with_empty_axes", 0);
  return nullptr;
}

// Sets a bit for each axis that is gone over; false where they are not valid. No axes stand for all.
bool axes_of(const Operands& o, uint32_t* axes) {
  const size_t rank = o.input(0).rank;
  *axes = 0;
  if (o.has(1) && !is_list(o, 1, kMaxRank)) return false;
  if (!o.has(1) || o.input(1).dims[0] == 0) {
    *axes = (uint32_t{1} << rank) - 1;
    return !o.settings.list[kNoneForNone];
  }
  for (size_t i = 0; i < static_cast<size_t>(o.input(1).dims[0]); ++i) {
    int64_t axis = entry(o, 1, i);
    if (!axis_in(&axis, rank) || *axes >> axis & 1) return false;
    *axes |= uint32_t{1} << axis;
  }
  return true;
}

Status* set_reduced(const Operands& o, uint32_t axes, bool keep) {
  const Value& x = o.input(0);
  Value& y = o.output();
  y.type = x.type;
  y.rank = 0;
  for (size_t i = 0; i < x.rank; ++i) {
    const bool reduced = axes >> i & 1;
    if (reduced && x.dims[i] == 0) return o.invalid("it would go over nothing");
    if (!reduced || keep) y.dims[y.rank++] = reduced ? 1 : x.dims[i];
  }
  return nullptr;
}

template <bool integers>
Status* reduce_shape(const Operands& o) {
  uint32_t axes = 0;
  const bool fits = o.is_float(0) || (integers && o.input(0).type == ElementType::kInt64);
  if (!fits) return o.invalid(integers ? "only float32 and int64 are supported"
                                       : "only float32 is supported");
  if (!axes_of(o, &axes)) return o.invalid("its axes must be known and valid");
  return set_reduced(o, axes, o.settings.list[kKeep]);
}

struct Sum {
  static constexpr float kFirst = 0;
  static int64_t add_integers(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  }
  static float add(float sum, float x) { return sum + x; }
  static float end(float sum, float) { return sum; }
};
struct Mean : Sum {
  static float end(float sum, float terms) { return sum / terms; }
};
struct Magnitudes : Sum {
  static float add(float sum, float x) { return sum + (x < 0 ? -x : x); }
};
struct Squares : Sum {
  static float add(float sum, float x) { return sum + x * x; }
};
struct Length : Squares {
  static float end(float sum, float) { return __builtin_sqrtf(sum); }
};
struct Largest : Sum {
  static constexpr float kFirst = -kInfinity;
  static int64_t add_integers(int64_t a, int64_t b) { return max(a, b); }
  static float add(float most, float x) { return x > most ? x : most; }
};
struct Smallest : Sum {
  static constexpr float kFirst = kInfinity;
  static int64_t add_integers(int64_t a, int64_t b) { return min(a, b); }
  static float add(float least, float x) { return x < least ? x : least; }
};

// Outputs that lie side by side, as their inputs do, are computed together.
template <class Op>
void reduce(const Operands& o, uint32_t axes) {
  const Value& x = o.input(0);
  const int64_t outputs = count(o.output());
  if (outputs == 0) return;
  Strided outer, inner;
  for (size_t i = 0; i < x.rank; ++i) {
    (axes >> i & 1 ? inner : outer).add(x.dims[i], x.count(i + 1, x.rank));
  }
  const bool side_by_side = outer.rank && outer.steps[outer.rank - 1] == 1;
  const int64_t width = side_by_side ? outer.dims[outer.rank - 1] : 1;
  const int64_t terms = count(x) / outputs;
  const int64_t run = inner.rank ? inner.dims[inner.rank - 1] : 1;
  const int64_t step = inner.rank ? inner.steps[inner.rank - 1] : 0;
  const auto finish = [&](float sum) { return Op::end(sum, static_cast<float>(terms)); };
  o.each_range(outputs / width, static_cast<double>(terms * width), [&](Range r) {
    for (int64_t row = r.begin; row < r.end; ++row) {
      const float* from = o.in<float>(0) + outer.place(row * width);
      float* to = o.out<float>() + row * width;
      float sum = Op::kFirst;
      for (int64_t c = 0; c < width; ++c) to[c] = Op::kFirst;
      for (int64_t first = 0; first < terms; first += run) {
        const float* line = from + inner.place(first);
        if (width == 1) {
          for (int64_t i = 0; i < run; ++i) sum = Op::add(sum, line[i * step]);
          continue;
        }
        for (int64_t i = 0; i < run; ++i, line += step) {
          for (int64_t c = 0; c < width; ++c) to[c] = Op::add(to[c], line[c]);
        }
      }
      if (width == 1) to[0] = sum;
      for (int64_t c = 0; c < width; ++c) to[c] = finish(to[c]);
    }
  });
}

// Of int64, which are few.
void reduce_integers(const Operands& o, int64_t (*add)(int64_t, int64_t)) {
  const Value& x = o.input(0);
  const int64_t outputs = count(o.output());
  uint32_t axes = 0;
  axes_of(o, &axes);
  Strided outer, inner;
  for (size_t i = 0; i < x.rank; ++i) {
    (axes >> i & 1 ? inner : outer).add(x.dims[i], x.count(i + 1, x.rank));
  }
  for (int64_t i = 0; i < outputs; ++i) {
    const int64_t* from = o.in<int64_t>(0) + outer.place(i);
    int64_t all = from[0];
    for (int64_t j = 1; j < count(x) / outputs; ++j) all = add(all, from[inner.place(j)]);
    o.out<int64_t>()[i] = all;
  }
}

template <class Op>
void reduce_run(const Operands& o) {
  uint32_t axes = 0;
  axes_of(o, &axes);
  reduce<Op>(o, axes);
}

template <class Op>
void reduce_numbers_run(const Operands& o) {
  if (o.is_float(0)) return reduce_run<Op>(o);
  reduce_integers(o, Op::add_integers);
}

// Over all pixels of [N, C, ...].
Status* global_shape(const Operands& o) {
  if (!o.is_float(0) || o.input(0).rank < 3) return o.invalid("only float32 [N, C, ...] is supported");
  return set_reduced(o, ~uint32_t{3}, true);
}

template <class Op>
void global_run(const Operands& o) {
  reduce<Op>(o, ~uint32_t{3});
}

// --- Along one axis ---

// The elements of an axis: where the first one is, how many there are, and how far apart.
struct Lines {
  int64_t count, size, step;

  Lines(const Value& x, int64_t axis) {
    axis_in(&axis, x.rank);
    const auto at = static_cast<size_t>(axis);
    size = x.dims[at], step = x.count(at + 1, x.rank);
    count = x.count(0, at) * step;
  }
  int64_t first(int64_t line) const { return line / step * step * size + line % step; }
};

Status* axis_shape(const Operands& o) {
  if (!o.is_float(0)) return o.invalid("only float32 is supported");
  int64_t axis = o.settings.list[0];
  if (!axis_in(&axis, o.input(0).rank)) return o.invalid("its axis is not valid");
  return set_same(o);
}

// e^(x - largest), divided by the sum of all in order; or the logarithm of that.
template <bool logarithm>
void softmax_run(const Operands& o) {
  const Lines lines(o.input(0), o.settings.list[0]);
  const int64_t size = lines.size, step = lines.step;
  if (size == 0) return;
  o.each_range(lines.count, 8.0 * static_cast<double>(size), [&](Range r) {
    for (int64_t line = r.begin; line < r.end; ++line) {
      const float* from = o.in<float>(0) + lines.first(line);
      float* to = o.out<float>() + lines.first(line);
      float largest = from[0];
      for (int64_t j = 1; j < size; ++j)
        largest = from[j * step] > largest ? from[j * step] : largest;
      float sum = 0;
      for (int64_t j = 0; j < size; ++j)
        sum += to[j * step] = exp_of_negative(from[j * step] - largest);
      if (logarithm) {
        const float total = log_of(sum);
        for (int64_t j = 0; j < size; ++j) to[j * step] = from[j * step] - largest - total;
      } else {
        for (int64_t j = 0; j < size; ++j) to[j * step] /= sum;
      }
    }
  });
}

Status* arg_max_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("axis", 0);
  s->list[1] = node.integer("keepdims", 1);
  if (node.integer("select_last_index", 0) == 0) return nullptr;
  Message text;
  return fail(text << node << ": only the first of equal numbers can be taken");
}

Status* arg_max_shape(const Operands& o) {
  SBN_TRY(axis_shape(o));
  int64_t axis = o.settings.list[0];
  axis_in(&axis, o.input(0).rank);
  SBN_TRY(set_reduced(o, uint32_t{1} << axis, o.settings.list[1]));
  o.output().type = ElementType::kInt64;
  return nullptr;
}

void arg_max_run(const Operands& o) {
  const Lines lines(o.input(0), o.settings.list[0]);
  o.each_range(lines.count, static_cast<double>(lines.size), [&](Range r) {
    for (int64_t line = r.begin; line < r.end; ++line) {
      const float* from = o.in<float>(0) + lines.first(line);
      int64_t best = 0;
      for (int64_t j = 1; j < lines.size; ++j) {
        if (from[j * lines.step] > from[best * lines.step]) best = j;
      }
      o.out<int64_t>()[line] = best;
    }
  });
}

// --- Less their mean, divided by their deviation ---

void normalise(const float* from, int64_t size, float epsilon, float* to) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(from[i]);
  const double mean = sum / static_cast<double>(size);
  for (int64_t i = 0; i < size; ++i) {
    const double distance = static_cast<double>(from[i]) - mean;
    squares += distance * distance;
  }
  const auto variance = static_cast<float>(squares / static_cast<double>(size));
  const float factor = 1 / __builtin_sqrtf(variance + epsilon);
  for (int64_t i = 0; i < size; ++i) to[i] = (from[i] - static_cast<float>(mean)) * factor;
}

Status* layer_norm_create(const Node& node, Settings* s) {
  const Attribute* epsilon = node.find("epsilon", Attribute::kFloat);
  s->numbers[0] = epsilon ? epsilon->number : 1e-5f;
  return axis_create<-1>(node, s);
}

// Of all axes from one on; scale and bias are of their elements.
Status* layer_norm_shape(const Operands& o) {
  SBN_TRY(axis_shape(o));
  const Value& x = o.input(0);
  int64_t axis = o.settings.list[0];
  axis_in(&axis, x.rank);
  const int64_t size = x.count(static_cast<size_t>(axis), x.rank);
  for (size_t i = 1; i < 3; ++i) {
    if (o.has(i) && (!o.is_float(i) || count(o.input(i)) != size)) {
      return o.invalid("its scale and bias must be float32, one for each element of those axes");
    }
  }
  return nullptr;
}

void layer_norm_run(const Operands& o) {
  const Value& x = o.input(0);
  int64_t axis = o.settings.list[0];
  axis_in(&axis, x.rank);
  const auto at = static_cast<size_t>(axis);
  const int64_t size = x.count(at, x.rank);
  if (size == 0) return;
  o.each_range(x.count(0, at), 4.0 * static_cast<double>(size), [&](Range r) {
    for (int64_t row = r.begin; row < r.end; ++row) {
      float* to = o.out<float>() + row * size;
      normalise(o.in<float>(0) + row * size, size, o.settings.numbers[0], to);
      for (int64_t i = 0; i < size; ++i)
        to[i] = to[i] * o.in<float>(1)[i] + (o.has(2) ? o.in<float>(2)[i] : 0.0f);
    }
  });
}

// Of the pixels of each channel; scale and bias are of the channels.
Status* instance_norm_shape(const Operands& o) {
  const Value& x = o.input(0);
  bool fits = o.is_float(0) && x.rank >= 3;
  for (size_t i = 1; fits && i < 3; ++i) {
    fits = o.is_float(i) && o.input(i).rank == 1 && o.input(i).dims[0] == x.dims[1];
  }
  return fits ? set_same(o) : o.invalid("its inputs must be float32, and numbers of each channel");
}

void instance_norm_run(const Operands& o) {
  const Value& x = o.input(0);
  const int64_t channels = x.dims[1], size = x.count(2, x.rank);
  if (count(x) == 0) return;
  o.each_range(x.dims[0] * channels, 4.0 * static_cast<double>(size), [&](Range r) {
    for (int64_t row = r.begin; row < r.end; ++row) {
      float* to = o.out<float>() + row * size;
      normalise(o.in<float>(0) + row * size, size, o.settings.numbers[0], to);
      const auto scale = load<float>(o.in<float>(1) + row % channels);
      const auto bias = load<float>(o.in<float>(2) + row % channels);
      for (int64_t i = 0; i < size; ++i) to[i] = to[i] * scale + bias;
    }
  });
}

constexpr OnnxOp kOps[] = {
    {"ArgMax", 1, 1, arg_max_create, arg_max_shape, arg_max_run},
    {"GlobalAveragePool", 1, 1, no_settings, global_shape, global_run<Mean>},
    {"GlobalMaxPool", 1, 1, no_settings, global_shape, global_run<Largest>},
    {"InstanceNormalization", 3, 3, layer_norm_create, instance_norm_shape, instance_norm_run},
    {"LayerNormalization", 2, 3, layer_norm_create, layer_norm_shape, layer_norm_run},
    {"LogSoftmax", 1, 1, axis_create<-1>, axis_shape, softmax_run<true>},
    {"ReduceL1", 1, 2, reduce_create, reduce_shape<false>, reduce_run<Magnitudes>},
    {"ReduceL2", 1, 2, reduce_create, reduce_shape<false>, reduce_run<Length>},
    {"ReduceMax", 1, 2, reduce_create, reduce_shape<true>, reduce_numbers_run<Largest>},
    {"ReduceMean", 1, 2, reduce_create, reduce_shape<false>, reduce_run<Mean>},
    {"ReduceMin", 1, 2, reduce_create, reduce_shape<true>, reduce_numbers_run<Smallest>},
    {"ReduceSum", 1, 2, reduce_create, reduce_shape<true>, reduce_numbers_run<Sum>},
    {"ReduceSumSquare", 1, 2, reduce_create, reduce_shape<false>, reduce_run<Squares>},
    {"Softmax", 1, 1, axis_create<-1>, axis_shape, softmax_run<false>},
};

}  // namespace

const OnnxOps kReduceOps = kOps;

}  // namespace sbn::native
