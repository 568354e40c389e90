// Operators of ONNX that compute each element of their output alone.
#include <string.h>

#include "native/functions.h"
#include "native/shapes.h"

namespace sbn::native {
namespace {

// --- Of one tensor ---

Status* floats_shape(const Operands& o) {
  if (!o.is_float(0)) return o.invalid("only float32 is supported");
  return set_same(o);
}

template <class T, class R, class Function>
void each_element(const Operands& o, Function function) {
  const T* x = o.in<T>(0);
  R* y = o.out<R>();
  o.each_range(count(o.output()), 1, [&](Range r) {
    for (int64_t i = r.begin; i < r.end; ++i) y[i] = function(x[i]);
  });
}

template <float (*function)(float)>
void floats_run(const Operands& o) {
  each_element<float, float>(o, [](float x) { return function(x); });
}

float abs_of(float x) { return x < 0 ? -x : x == 0 ? 0.0f : x; }
float hard_swish_of(float x) {
  const float v = x * (1.0f / 6) + 0.5f;
  return x * (v < 0 ? 0.0f : v > 1 ? 1.0f : v);
}
float neg_of(float x) { return -x; }
float reciprocal_of(float x) { return 1 / x; }
float relu_of(float x) { return x < 0 ? 0.0f : x; }
float sign_of(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f; }
float softplus_of(float x) {
  const double e = static_cast<double>(exp_of_negative(x < 0 ? x : -x));
  return (x < 0 ? 0.0f : x) + static_cast<float>(log_of_double(1 + e));
}
float mish_of(float x) { return x * tanh_of(softplus_of(x)); }
float softsign_of(float x) { return x / (1 + abs_of(x)); }
float sqrt_of(float x) { return __builtin_sqrtf(x); }

// Two float attributes, with what they are otherwise.
struct Defaults {
  const char* first;
  float first_value;
  const char* second;
  float second_value;
};
template <const Defaults& defaults>
Status* numbers_create(const Node& node, Settings* s) {
  const auto read = [&](const char* name, float otherwise) {
    const Attribute* found = name ? node.find(name, Attribute::kFloat) : nullptr;
    return found ? found->number : otherwise;
  };
  s->numbers[0] = read(defaults.first, defaults.first_value);
  s->numbers[1] = read(defaults.second, defaults.second_value);
  return nullptr;
}
constexpr Defaults kElu = {"alpha", 1.0f, nullptr, 1.0f};
constexpr Defaults kHardSigmoid = {"alpha", 0.2f, "beta", 0.5f};
constexpr Defaults kLeakyRelu = {"alpha", 0.01f, nullptr, 0.0f};
constexpr Defaults kSelu = {"alpha", 1.6732632f, "gamma", 1.0507010f};

// gamma * (x, or alpha * (e^x - 1) below 0)
void elu_run(const Operands& o) {
  const float alpha = o.settings.numbers[0], gamma = o.settings.numbers[1];
  each_element<float, float>(o, [=](float x) {
    return gamma * (x < 0 ? alpha * exp_minus_1_of_negative(x) : x);
  });
}

void leaky_relu_run(const Operands& o) {
  const float alpha = o.settings.numbers[0];
  each_element<float, float>(o, [=](float x) { return x < 0 ? alpha * x : x; });
}

void hard_sigmoid_run(const Operands& o) {
  const float alpha = o.settings.numbers[0], beta = o.settings.numbers[1];
  each_element<float, float>(o, [=](float x) {
    const float v = alpha * x + beta;
    return v < 0 ? 0.0f : v > 1 ? 1.0f : v;
  });
}

Status* gelu_create(const Node& node, Settings* s) {
  const Attribute* form = node.find("approximate", Attribute::kString);
  s->list[0] = form && form->bytes == "tanh";
  return nullptr;
}

void gelu_run(const Operands& o) {
  if (o.settings.list[0]) {
    each_element<float, float>(o, [](float x) {
      return 0.5f * x * (1 + tanh_of(0.7978846f * (x + 0.044715f * x * x * x)));
    });
  } else {
    each_element<float, float>(o, [](float x) {
      return 0.5f * x * (1 + erf_of(x * 0.70710678f));
    });
  }
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
  const float low = o.has(1) ? load<float>(o.input(1).data) : -kInfinity;
  const float high = o.has(2) ? load<float>(o.input(2).data) : kInfinity;
  each_element<float, float>(o, [=](float x) {
    const float raised = x < low ? low : x;
    return raised > high ? high : raised;
  });
}

Status* not_shape(const Operands& o) {
  return o.input(0).type == ElementType::kBool ? set_same(o) : o.invalid("only bool is supported");
}

void not_run(const Operands& o) {
  each_element<uint8_t, uint8_t>(o, [](uint8_t x) -> uint8_t { return x == 0; });
}

// --- From one type to another ---

Status* cast_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("to", 0);
  if (bytes_of(static_cast<ElementType>(s->list[0]))) return nullptr;
  Message text;
  return fail(text << node << ": casts to type " << s->list[0] << " of ONNX are not supported");
}

Status* cast_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  o.output().type = static_cast<ElementType>(o.settings.list[0]);
  return nullptr;
}

// To the type of the second input, of which nothing else is read.
Status* cast_like_shape(const Operands& o) {
  SBN_TRY(set_same(o));
  o.output().type = o.input(1).type;
  return nullptr;
}

// Calls body(element of that type). Bools are their bytes.
template <class Body>
void with_integers(ElementType type, Body body) {
  switch (type) {
    case ElementType::kUint8:
    case ElementType::kBool:
      return body(uint8_t{});
    case ElementType::kInt8:
      return body(int8_t{});
    case ElementType::kInt16:
      return body(int16_t{});
    case ElementType::kInt32:
      return body(int32_t{});
    case ElementType::kInt64:
      return body(int64_t{});
    default:
      return body(uint64_t{});
  }
}

int64_t integer_of(float x) {
  constexpr float kMost = 9.2233715e18f;  // the largest float that int64 holds
  return static_cast<int64_t>(is_nan(x) ? 0.0f : x < -kMost ? -kMost : x < kMost ? x : kMost);
}

// Floats lose their fraction, and are clamped to what int64 holds; integers keep their lowest bits.
// All go through int64, some at a time.
void cast_run(const Operands& o) {
  constexpr int64_t kSome = 256;
  const ElementType from = o.input(0).type, to = o.output().type;
  if (from == to) {
    memcpy(o.out<char>(), o.in<char>(0), static_cast<size_t>(count(o.output()) * bytes_of(to)));
    return;
  }
  o.each_range(div_up(count(o.output()), kSome), 4 * kSome, [&](Range r) {
    for (int64_t first = r.begin * kSome; first < r.end * kSome; first += kSome) {
      const int64_t size = min(kSome, count(o.output()) - first);
      int64_t some[kSome];
      if (from == ElementType::kFloat) {
        const float* x = o.in<float>(0) + first;
        const bool is_bool = to == ElementType::kBool;
        for (int64_t i = 0; i < size; ++i) some[i] = is_bool ? x[i] != 0 : integer_of(x[i]);
      } else {
        with_integers(from, [&](auto element) {
          const auto* x = o.in<decltype(element)>(0) + first;
          for (int64_t i = 0; i < size; ++i) some[i] = static_cast<int64_t>(x[i]);
        });
      }
      if (to == ElementType::kFloat) {
        float* y = o.out<float>() + first;
        const bool is_unsigned = from == ElementType::kUint64;
        for (int64_t i = 0; i < size; ++i) {
          y[i] = is_unsigned ? static_cast<float>(static_cast<uint64_t>(some[i]))
                             : static_cast<float>(some[i]);
        }
      } else if (to == ElementType::kBool) {
        for (int64_t i = 0; i < size; ++i) o.out<uint8_t>()[first + i] = some[i] != 0;
      } else {
        with_integers(to, [&](auto element) {
          using R = decltype(element);
          for (int64_t i = 0; i < size; ++i) o.out<R>()[first + i] = static_cast<R>(some[i]);
        });
      }
    }
  });
}

// --- Of several tensors, whose sizes of 1 are stretched ---

// Elements of the inputs in the order of the output's. The last axes, as far as all inputs go on
// without a gap or stay where they are, are one row.
struct Rows {
  static constexpr size_t kMost = 3;

  int64_t count, size;
  int64_t step[kMost] = {};  // in a row
  Strided starts[kMost];

  Rows(const Operands& o, size_t inputs) {
    const Value& y = o.output();
    int64_t steps[kMost][kMaxRank];
    for (size_t i = 0; i < inputs; ++i) {
      int64_t pitch = 1;
      for (size_t axis = y.rank; axis-- > 0;) {
        const int64_t size_here = size_on(o.input(i), axis, y.rank);
        steps[i][axis] = size_here == 1 ? 0 : pitch;
        pitch *= size_here;
      }
      step[i] = y.rank ? steps[i][y.rank - 1] : 0;
    }
    size_t outer = y.rank;
    size = 1;
    for (bool goes_on = true; outer > 0; --outer) {
      for (size_t i = 0; i < inputs; ++i) goes_on &= steps[i][outer - 1] == step[i] * size;
      if (!goes_on) break;
      size *= y.dims[outer - 1];
    }
    count = y.count(0, outer);
    for (size_t i = 0; i < inputs; ++i) {
      starts[i].rank = outer;
      for (size_t axis = 0; axis < outer; ++axis) {
        starts[i].dims[axis] = y.dims[axis], starts[i].steps[axis] = steps[i][axis];
      }
    }
  }

  // Calls body(first element in the output, elements, first element in each input).
  template <class Body>
  void each(const Operands& o, Body body) const {
    o.each_range(count * size, 1, [&](Range r) {
      for (int64_t i = r.begin; i < r.end;) {
        const int64_t row = i / size, at = i % size, length = min(size - at, r.end - i);
        int64_t from[kMost];
        for (size_t j = 0; j < kMost; ++j) from[j] = starts[j].place(row) + at * step[j];
        body(i, length, from);
        i += length;
      }
    });
  }
};

template <class T, class R, class Function>
void broadcast(const Operands& o, Function function) {
  const Rows rows(o, 2);
  const int64_t a_step = rows.step[0], b_step = rows.step[1];
  rows.each(o, [&](int64_t first, int64_t size, const int64_t* from) {
    const T* a = o.in<T>(0) + from[0];
    const T* b = o.in<T>(1) + from[1];
    R* to = o.out<R>() + first;
    if (a_step == 1 && b_step == 1) {
      for (int64_t i = 0; i < size; ++i) to[i] = function(a[i], b[i]);
    } else if (a_step == 1 && b_step == 0) {
      const T one = b[0];
      for (int64_t i = 0; i < size; ++i) to[i] = function(a[i], one);
    } else {
      for (int64_t i = 0; i < size; ++i) to[i] = function(a[i * a_step], b[i * b_step]);
    }
  });
}

// The inputs are of one type, and so is the output.
Status* same_types_shape(const Operands& o) {
  Value& y = o.output();
  const ElementType type = o.input(0).type;
  if (o.input(1).type != type) return o.invalid("its inputs are of different types");
  y.type = type;
  if (set_broadcast(o, &y)) return nullptr;
  Message text;
  return fail(text << o.node << ": its inputs of shapes " << o.input(0) << " and " << o.input(1)
                   << " do not fit each other");
}

Status* numbers_shape(const Operands& o) {
  const ElementType type = o.input(0).type;
  const bool fits = type == ElementType::kFloat || type == ElementType::kInt32 ||
                    type == ElementType::kInt64;
  return fits ? same_types_shape(o) : o.invalid("only float32, int32 and int64 are supported");
}

Status* two_floats_shape(const Operands& o) {
  return o.is_float(0) ? same_types_shape(o) : o.invalid("only float32 is supported");
}

Status* bools_shape(const Operands& o) {
  const bool fits = o.input(0).type == ElementType::kBool;
  return fits ? same_types_shape(o) : o.invalid("only bool is supported");
}

Status* compare_shape(const Operands& o) {
  if (o.input(0).type == ElementType::kUint64) return o.invalid("uint64 is not supported");
  SBN_TRY(same_types_shape(o));
  o.output().type = ElementType::kBool;
  return nullptr;
}

// Integers wrap around, and nothing divides by 0.
struct AddOf {
  static float of(float a, float b) { return a + b; }
  static uint64_t of(uint64_t a, uint64_t b) { return a + b; }
};
struct SubOf {
  static float of(float a, float b) { return a - b; }
  static uint64_t of(uint64_t a, uint64_t b) { return a - b; }
};
struct MulOf {
  static float of(float a, float b) { return a * b; }
  static uint64_t of(uint64_t a, uint64_t b) { return a * b; }
};
struct DivOf {
  static float of(float a, float b) { return a / b; }
  static uint64_t of(uint64_t a, uint64_t b) {
    const auto top = static_cast<int64_t>(a), bottom = static_cast<int64_t>(b);
    if (bottom == 0) return 0;
    return bottom == -1 ? 0 - a : static_cast<uint64_t>(top / bottom);
  }
};
struct MaxOf {
  static float of(float a, float b) { return a > b ? a : b; }
  static uint64_t of(uint64_t a, uint64_t b) {
    return static_cast<int64_t>(a) > static_cast<int64_t>(b) ? a : b;
  }
};
struct MinOf {
  static float of(float a, float b) { return a < b ? a : b; }
  static uint64_t of(uint64_t a, uint64_t b) {
    return static_cast<int64_t>(a) < static_cast<int64_t>(b) ? a : b;
  }
};

using OfIntegers = uint64_t (*)(uint64_t, uint64_t);
template <class T>
void integers_run(const Operands& o, OfIntegers function) {
  broadcast<T, T>(o, [=](T a, T b) {
    return static_cast<T>(function(static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
  });
}

template <class Op>
void numbers_run(const Operands& o) {
  switch (o.output().type) {
    case ElementType::kFloat:
      return broadcast<float, float>(o, [](float a, float b) { return Op::of(a, b); });
    case ElementType::kInt32:
      return integers_run<int32_t>(o, Op::of);
    default:
      return integers_run<int64_t>(o, Op::of);
  }
}

void pow_run(const Operands& o) {
  broadcast<float, float>(o, [](float a, float b) { return pow_of(a, b); });
}
void prelu_run(const Operands& o) {
  broadcast<float, float>(o, [](float a, float b) { return a < 0 ? a * b : a; });
}

struct Equals {
  static bool of(float a, float b) { return a == b; }
  static bool of(int64_t a, int64_t b) { return a == b; }
};
struct Exceeds {
  static bool of(float a, float b) { return a > b; }
  static bool of(int64_t a, int64_t b) { return a > b; }
};
struct Reaches {
  static bool of(float a, float b) { return a >= b; }
  static bool of(int64_t a, int64_t b) { return a >= b; }
};
struct Below {
  static bool of(float a, float b) { return a < b; }
  static bool of(int64_t a, int64_t b) { return a < b; }
};
struct AtMost {
  static bool of(float a, float b) { return a <= b; }
  static bool of(int64_t a, int64_t b) { return a <= b; }
};

void compare_integers(const Operands& o, bool (*function)(int64_t, int64_t)) {
  with_integers(o.input(0).type, [&](auto element) {
    using T = decltype(element);
    broadcast<T, uint8_t>(o, [=](T a, T b) -> uint8_t {
      return function(static_cast<int64_t>(a), static_cast<int64_t>(b));
    });
  });
}

template <class Op>
void compare_run(const Operands& o) {
  if (o.input(0).type != ElementType::kFloat) return compare_integers(o, Op::of);
  broadcast<float, uint8_t>(o, [](float a, float b) -> uint8_t { return Op::of(a, b); });
}

void and_run(const Operands& o) {
  broadcast<uint8_t, uint8_t>(o, [](uint8_t a, uint8_t b) -> uint8_t { return a && b; });
}
void or_run(const Operands& o) {
  broadcast<uint8_t, uint8_t>(o, [](uint8_t a, uint8_t b) -> uint8_t { return a || b; });
}
void xor_run(const Operands& o) {
  broadcast<uint8_t, uint8_t>(o, [](uint8_t a, uint8_t b) -> uint8_t { return !a != !b; });
}

Status* where_shape(const Operands& o) {
  Value& y = o.output();
  const bool fits = o.input(0).type == ElementType::kBool && o.input(1).type == o.input(2).type;
  if (!fits) return o.invalid("needs bools and two tensors of one type");
  y.type = o.input(1).type;
  if (set_broadcast(o, &y)) return nullptr;
  return o.invalid("the shapes of its inputs do not fit each other");
}

template <class T>
void where_run_as(const Operands& o) {
  const Rows rows(o, 3);
  rows.each(o, [&](int64_t first, int64_t size, const int64_t* from) {
    const uint8_t* condition = o.in<uint8_t>(0) + from[0];
    const T* a = o.in<T>(1) + from[1];
    const T* b = o.in<T>(2) + from[2];
    T* to = o.out<T>() + first;
    for (int64_t i = 0; i < size; ++i) {
      to[i] = condition[i * rows.step[0]] ? a[i * rows.step[1]] : b[i * rows.step[2]];
    }
  });
}

void where_run(const Operands& o) {
  switch (bytes_of(o.output().type)) {
    case 1:
      return where_run_as<uint8_t>(o);
    case 2:
      return where_run_as<uint16_t>(o);
    case 4:
      return where_run_as<uint32_t>(o);
    default:
      return where_run_as<uint64_t>(o);
  }
}

// --- Batch-norm ---

Status* batch_norm_create(const Node& node, Settings* s) {
  const Attribute* epsilon = node.find("epsilon", Attribute::kFloat);
  s->numbers[0] = epsilon ? epsilon->number : 1e-5f;
  if (node.integer("training_mode", 0) == 0) return nullptr;
  Message text;
  return fail(text << node << ": training is not supported");
}

Status* batch_norm_shape(const Operands& o) {
  const Value& x = o.input(0);
  bool fits = o.is_float(0) && x.rank >= 2;
  for (size_t i = 1; fits && i < 5; ++i) {
    fits = o.is_float(i) && o.input(i).rank == 1 && o.input(i).dims[0] == x.dims[1];
  }
  return fits ? set_same(o) : o.invalid("its inputs must be float32, and numbers of each channel");
}

// x * scale + bias, of the scale and bias that all four numbers of a channel come to.
void batch_norm_run(const Operands& o) {
  const Value& x = o.input(0);
  const int64_t channels = x.dims[1], plane = x.count(2, x.rank);
  if (count(x) == 0) return;
  o.each_range(x.dims[0] * channels, static_cast<double>(plane), [&](Range r) {
    for (int64_t i = r.begin; i < r.end; ++i) {
      const auto number = [&](size_t input) {
        return load<float>(o.in<float>(input) + i % channels);
      };
      const float scale = number(1) / __builtin_sqrtf(number(4) + o.settings.numbers[0]);
      const float bias = number(2) - number(3) * scale;
      const float* from = o.in<float>(0) + i * plane;
      float* to = o.out<float>() + i * plane;
      for (int64_t j = 0; j < plane; ++j) to[j] = from[j] * scale + bias;
    }
  });
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

void quantize_run(const Operands& o) {
  const bool is_signed = o.output().type == ElementType::kInt8;
  LinearRange range = {load<float>(o.input(1).data), 0, 0, 0};
  if (o.has(2)) {
    const void* zero = o.input(2).data;
    range.zero = is_signed ? int32_t{load<int8_t>(zero)} : int32_t{load<uint8_t>(zero)};
  }
  range.low = static_cast<float>((is_signed ? -128 : 0) - range.zero);
  range.high = static_cast<float>((is_signed ? 127 : 255) - range.zero);
  const auto* kernel = select_kernel<Op::quantize_linear>(current_isa());
  o.each_range(count(o.output()), 1, [&](Range r) {
    kernel->run(range, o.in<float>(0) + r.begin, o.out<uint8_t>() + r.begin, r.end - r.begin);
  });
}

constexpr OnnxOp kOps[] = {
    {"Abs", 1, 1, no_settings, floats_shape, floats_run<abs_of>},
    {"Add", 2, 2, no_settings, numbers_shape, numbers_run<AddOf>},
    {"And", 2, 2, no_settings, bools_shape, and_run},
    {"BatchNormalization", 5, 5, batch_norm_create, batch_norm_shape, batch_norm_run},
    {"Cast", 1, 1, cast_create, cast_shape, cast_run},
    {"CastLike", 2, 2, no_settings, cast_like_shape, cast_run},
    {"Ceil", 1, 1, no_settings, floats_shape, floats_run<ceil_of>},
    {"Clip", 1, 3, no_settings, clip_shape, clip_run},
    {"Div", 2, 2, no_settings, numbers_shape, numbers_run<DivOf>},
    {"Elu", 1, 1, numbers_create<kElu>, floats_shape, elu_run},
    {"Equal", 2, 2, no_settings, compare_shape, compare_run<Equals>},
    {"Erf", 1, 1, no_settings, floats_shape, floats_run<erf_of>},
    {"Exp", 1, 1, no_settings, floats_shape, floats_run<exp_of>},
    {"Floor", 1, 1, no_settings, floats_shape, floats_run<floor_of>},
    {"Gelu", 1, 1, gelu_create, floats_shape, gelu_run},
    {"Greater", 2, 2, no_settings, compare_shape, compare_run<Exceeds>},
    {"GreaterOrEqual", 2, 2, no_settings, compare_shape, compare_run<Reaches>},
    {"HardSigmoid", 1, 1, numbers_create<kHardSigmoid>, floats_shape, hard_sigmoid_run},
    {"HardSwish", 1, 1, no_settings, floats_shape, floats_run<hard_swish_of>},
    {"LeakyRelu", 1, 1, numbers_create<kLeakyRelu>, floats_shape, leaky_relu_run},
    {"Less", 2, 2, no_settings, compare_shape, compare_run<Below>},
    {"LessOrEqual", 2, 2, no_settings, compare_shape, compare_run<AtMost>},
    {"Log", 1, 1, no_settings, floats_shape, floats_run<log_of>},
    {"Max", 2, 2, no_settings, numbers_shape, numbers_run<MaxOf>},
    {"Min", 2, 2, no_settings, numbers_shape, numbers_run<MinOf>},
    {"Mish", 1, 1, no_settings, floats_shape, floats_run<mish_of>},
    {"Mul", 2, 2, no_settings, numbers_shape, numbers_run<MulOf>},
    {"Neg", 1, 1, no_settings, floats_shape, floats_run<neg_of>},
    {"Not", 1, 1, no_settings, not_shape, not_run},
    {"Or", 2, 2, no_settings, bools_shape, or_run},
    {"PRelu", 2, 2, no_settings, two_floats_shape, prelu_run},
    {"Pow", 2, 2, no_settings, two_floats_shape, pow_run},
    {"QuantizeLinear", 2, 3, no_settings, quantize_shape, quantize_run},
    {"Reciprocal", 1, 1, no_settings, floats_shape, floats_run<reciprocal_of>},
    {"Relu", 1, 1, no_settings, floats_shape, floats_run<relu_of>},
    {"Round", 1, 1, no_settings, floats_shape, floats_run<round_of>},
    {"Selu", 1, 1, numbers_create<kSelu>, floats_shape, elu_run},
    {"Sigmoid", 1, 1, no_settings, floats_shape, floats_run<sigmoid_of>},
    {"Sign", 1, 1, no_settings, floats_shape, floats_run<sign_of>},
    {"Softplus", 1, 1, no_settings, floats_shape, floats_run<softplus_of>},
    {"Softsign", 1, 1, no_settings, floats_shape, floats_run<softsign_of>},
    {"Sqrt", 1, 1, no_settings, floats_shape, floats_run<sqrt_of>},
    {"Sub", 2, 2, no_settings, numbers_shape, numbers_run<SubOf>},
    {"Sum", 2, 2, no_settings, numbers_shape, numbers_run<AddOf>},
    {"Tanh", 1, 1, no_settings, floats_shape, floats_run<tanh_of>},
    {"Where", 3, 3, no_settings, where_shape, where_run},
    {"Xor", 2, 2, no_settings, bools_shape, xor_run},
};

}  // namespace

const OnnxOps kElementwiseOps = kOps;

}  // namespace sbn::native
