// Conv, Gemm and MatMul, by the product of float matrices: kernels/float_product says in which
// order sums are made. The terms of a Conv are those of its input channels, rows and columns of the
// kernel.
#include <string.h>

#include "native/windows.h"

namespace sbn::native {
namespace {

// Output pixels of a Conv whose inputs are gathered at a time.
constexpr int64_t kPixels = 48;
// Of a kernel, so many take as long as an element of a simple loop does.
constexpr double kProductsPerElement = 16;
constexpr int64_t kMostKernel = 1 << 15;

// Packs `groups` groups of weights, each [columns, terms] or [terms, columns], and the bias.
Status* pack(const Operands& o, int64_t groups, const FloatProductShape& shape, bool by_term,
             Pool* pool, PackedProduct* to) {
  to->kernel = select_kernel<Op::float_product>(
      current_isa(), [&](const FloatProductKernel& kernel) { return fits(kernel, shape); });
  to->shape = shape;
  to->group_bytes = float_product_bytes(*to->kernel, shape);
  SBN_TRY(pool->array(static_cast<size_t>(groups * to->group_bytes), &to->weights,
                      kScratchAlignment));
  SBN_TRY(pool->array(static_cast<size_t>(groups * shape.columns), &to->bias, kScratchAlignment));
  for (int64_t group = 0; group < groups; ++group) {
    float_product_pack(*to->kernel, shape, o.in<float>(1) + group * shape.terms * shape.columns,
                       by_term ? shape.columns : 1, by_term ? 1 : shape.terms,
                       to->weights + group * to->group_bytes);
  }
  const auto bytes = static_cast<size_t>(groups * shape.columns) * sizeof(float);
  if (o.has(2) && bytes) memcpy(to->bias, o.input(2).data, bytes);
  return nullptr;
}

// --- Conv ---

Status* conv_create(const Node& node, Settings* s) {
  s->list[0] = node.integer("group", 1);
  SBN_TRY(read_window(node, false, &s->window));
  Message text;
  return s->list[0] >= 1 ? nullptr : fail(text << node << ": its group is not valid");
}

// Checks the kernel, and the bias of `outputs`.
Status* check_weights(const Operands& o, int64_t outputs) {
  const Value& x = o.input(0);
  const Value& w = o.input(1);
  const bool floats = o.is_float(0) && o.is_float(1);
  if (!floats || !has_axes_of(x, o.settings.window) || w.rank != x.rank) {
    return o.invalid("only float32 in one to three dimensions is supported");
  }
  for (size_t i = 2; i < w.rank; ++i) {
    if (w.dims[i] < 1 || w.dims[i] > kMostKernel) return o.invalid("its kernel is not valid");
  }
  if (o.has(2) && (!o.is_float(2) || o.input(2).rank != 1 || o.input(2).dims[0] != outputs)) {
    return o.invalid("its bias must be one float32 for each output channel");
  }
  return nullptr;
}

Status* conv_shape(const Operands& o) {
  const Value& x = o.input(0);
  const Value& w = o.input(1);
  Value& y = o.output();
  const Window& window = o.settings.window;
  const int64_t groups = o.settings.list[0], outputs = w.dims[0];
  SBN_TRY(check_weights(o, outputs));
  if (outputs % groups || x.dims[1] % groups || w.dims[1] != x.dims[1] / groups) {
    return o.invalid("its weights and input have different channels");
  }
  const bool last = o.node.channels_last;
  if (last && x.rank != 4) return o.invalid("the Transpose behind it is not of its dimensions");
  y.type = ElementType::kFloat;
  y.rank = x.rank;
  y.dims[0] = x.dims[0], y.dims[last ? 3 : 1] = outputs;
  for (size_t i = 2; i < x.rank; ++i) {
    const size_t axis = Window::kAxes + i - x.rank;
    const int64_t room = x.dims[i] + window.before[axis] + window.after[axis] -
                         reach_of(window, w.dims[i], axis);
    if (room < 0) return o.invalid("the kernel does not fit into the padded input");
    y.dims[last ? i - 1 : i] = room / window.strides[axis] + 1;
  }
  return nullptr;
}

Status* conv_pack(const Operands& o, Pool* pool, PackedProduct* to) {
  const Value& w = o.input(1);
  const int64_t groups = o.settings.list[0];
  return pack(o, groups, {w.count(1, w.rank), w.dims[0] / groups}, false, pool, to);
}

// Inputs of kPixels outputs, and their sums where those are not written at once.
Size conv_scratch(const Operands& o) {
  const Value& w = o.input(1);
  return (Size(w.count(1, w.rank)) + w.dims[0]) * kPixels * int64_t{sizeof(float)};
}

// What a Conv gathers its inputs from.
struct Source {
  const Window& window;
  Extent in, kernel;
  int64_t channels;  // of a group

  // Copies the inputs of an output at a place on each axis, of the channels from `from` on.
  void gather(const float* from, const int64_t* at, float* to) const {
    int64_t first[Window::kAxes];
    for (size_t i = 0; i < Window::kAxes; ++i)
      first[i] = at[i] * window.strides[i] - window.before[i];
    const int64_t width = in.size[2], taps = kernel.size[2], step = window.dilations[2];
    const bool whole = first[2] >= 0 && first[2] + (taps - 1) * step < width;
    for (int64_t c = 0; c < channels; ++c, from += in.count()) {
      for (int64_t d = 0; d < kernel.size[0]; ++d) {
        const int64_t z = first[0] + d * window.dilations[0];
        for (int64_t h = 0; h < kernel.size[1]; ++h, to += taps) {
          const int64_t y = first[1] + h * window.dilations[1];
          if (z < 0 || z >= in.size[0] || y < 0 || y >= in.size[1]) {
            for (int64_t i = 0; i < taps; ++i) to[i] = 0;
            continue;
          }
          const float* line = from + (z * in.size[1] + y) * width;
          if (whole) {
            for (int64_t i = 0; i < taps; ++i) to[i] = line[first[2] + i * step];
            continue;
          }
          for (int64_t i = 0; i < taps; ++i) {
            const int64_t x = first[2] + i * step;
            to[i] = x >= 0 && x < width ? line[x] : 0;
          }
        }
      }
    }
  }
};

// Blocks of kPixels outputs of one image and group.
void conv_run(const Operands& o) {
  const Value& x = o.input(0);
  const Value& y = o.output();
  const PackedProduct& p = *o.product;
  const int64_t groups = o.settings.list[0], columns = p.shape.columns;
  const int64_t outputs = groups * columns;
  const bool last = o.node.channels_last;
  Extent out = extent_of(y);
  if (last) out = {{1, y.dims[1], y.dims[2]}};
  const Source source = {o.settings.window, extent_of(x), extent_of(o.input(1)), o.input(1).dims[1]};
  const int64_t plane = out.count(), blocks = div_up(plane, kPixels);
  const int64_t image = x.count(1, x.rank);
  const auto cost = static_cast<double>(kPixels * p.shape.terms) *
                    (1 + static_cast<double>(columns) / kProductsPerElement);
  const auto run_block = [&](int64_t n, int64_t group, int64_t block, char* scratch) {
    auto* gathered = reinterpret_cast<float*>(scratch);
    float* sums = gathered + kPixels * p.shape.terms;
    const float* from = o.in<float>(0) + n * image + group * (image / groups);
    const int64_t first_output = group * columns, first = block * kPixels;
    const int64_t pixels = min(kPixels, plane - first);
    for (int64_t i = 0; i < pixels; ++i) {
      const int64_t at = first + i, row = at / out.size[2];
      const int64_t place[] = {row / out.size[1], row % out.size[1], at % out.size[2]};
      source.gather(from, place, gathered + i * p.shape.terms);
    }
    float* to = last ? o.out<float>() + (n * plane + first) * outputs + first_output : sums;
    const int64_t step = last ? outputs : columns;
    p.kernel->run(p.shape, gathered, p.shape.terms, p.weights + group * p.group_bytes,
                  p.bias + first_output, to, step, pixels);
    for (int64_t c = 0; !last && c < columns; ++c) {
      float* line = o.out<float>() + (n * outputs + first_output + c) * plane + first;
      for (int64_t i = 0; i < pixels; ++i) line[i] = sums[i * step + c];
    }
  };
  o.each_range_with_scratch(y.dims[0] * groups * blocks, cost, [&](Range r, char* scratch) {
    for (int64_t i = r.begin; i < r.end; ++i)
      run_block(i / blocks / groups, i / blocks % groups, i % blocks, scratch);
  });
}

// --- ConvTranspose, whose terms are those of its input channels, then of the kernel ---

Status* transposed_create(const Node& node, Settings* s) {
  SBN_TRY(conv_create(node, s));
  const Attribute* more = node.find("output_padding", Attribute::kInts);
  s->list[1] = s->list[2] = s->list[3] = 0;
  bool fits = !node.find("output_shape", Attribute::kInts) &&
              (!more || more->integer_count <= Window::kAxes);
  for (size_t i = 0; fits && more && i < more->integer_count; ++i) {
    fits = more->integers[i] >= 0 && more->integers[i] <= kMostKernel;
    s->list[1 + Window::kAxes - more->integer_count + i] = more->integers[i];
  }
  Message text;
  if (!fits) return fail(text << node << ": its output_shape or output_padding is not supported");
  return nullptr;
}

Status* transposed_shape(const Operands& o) {
  const Value& x = o.input(0);
  const Value& w = o.input(1);
  Value& y = o.output();
  const int64_t groups = o.settings.list[0];
  const Size outputs = Size(w.rank > 1 ? w.dims[1] : 0) * groups;
  SBN_TRY(check_weights(o, outputs.value()));
  if (!outputs.valid() || x.dims[1] != w.dims[0] || x.dims[1] % groups) {
    return o.invalid("its weights and input have different channels");
  }
  const Window& window = o.settings.window;
  y.type = ElementType::kFloat;
  y.rank = x.rank;
  y.dims[0] = x.dims[0], y.dims[1] = outputs.value();
  for (size_t i = 2; i < x.rank; ++i) {
    const size_t axis = Window::kAxes + i - x.rank;
    const Size padded = Size(max(x.dims[i] - 1, 0)) * window.strides[axis] +
                        reach_of(window, w.dims[i], axis) + o.settings.list[1 + axis];
    const int64_t size = padded.value() - window.before[axis] - window.after[axis];
    if (!padded.valid() || size < 0 || x.dims[i] == 0) return o.invalid("its pads leave no output");
    y.dims[i] = size;
  }
  return nullptr;
}

// Rows of outputs, in which the inputs are spread.
void transposed_run(const Operands& o) {
  const Value& x = o.input(0);
  const Window& w = o.settings.window;
  const Extent in = extent_of(x), out = extent_of(o.output()), kernel = extent_of(o.input(1));
  const int64_t groups = o.settings.list[0], channels = x.dims[1] / groups;
  const int64_t outputs = o.output().dims[1], columns = outputs / groups;
  const int64_t rows = out.size[0] * out.size[1], width = out.size[2];
  if (count(o.output()) == 0) return;
  // The input that tap `tap` sends to output `at` of an axis; -1 where there is none.
  const auto sender = [&](size_t axis, int64_t at, int64_t tap) {
    const int64_t place = at + w.before[axis] - tap * w.dilations[axis];
    if (place < 0 || place % w.strides[axis]) return int64_t{-1};
    return place / w.strides[axis] < in.size[axis] ? place / w.strides[axis] : -1;
  };
  const auto spread = [&](const float* line, const float* weights, float* to) {
    for (int64_t k = 0; k < kernel.size[2]; ++k) {
      const int64_t offset = k * w.dilations[2] - w.before[2], stride = w.strides[2];
      const Range r = inside(offset, stride, width, in.size[2]);
      for (int64_t i = r.begin; i < r.end; ++i) to[i * stride + offset] += weights[k] * line[i];
    }
  };
  const auto cost = static_cast<double>(channels * kernel.count() * in.size[2]);
  o.each_range(o.output().dims[0] * outputs * rows, cost, [&](Range r) {
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t n = i / rows / outputs, output = i / rows % outputs;
      const int64_t depth = i % rows / out.size[1], row = i % out.size[1];
      const int64_t first_channel = output / columns * channels;
      float* to = o.out<float>() + i * width;
      for (int64_t c = 0; c < width; ++c) to[c] = o.has(2) ? o.in<float>(2)[output] : 0.0f;
      for (int64_t c = first_channel; c < first_channel + channels; ++c) {
        const float* plane = o.in<float>(0) + (n * x.dims[1] + c) * in.count();
        const float* weights = o.in<float>(1) + (c * columns + output % columns) * kernel.count();
        for (int64_t d = 0; d < kernel.size[0]; ++d) {
          for (int64_t h = 0; h < kernel.size[1]; ++h, weights += kernel.size[2]) {
            const int64_t z = sender(0, depth, d), y = sender(1, row, h);
            if (z >= 0 && y >= 0) spread(plane + (z * in.size[1] + y) * in.size[2], weights, to);
          }
        }
      }
    }
  });
}

// --- Gemm and MatMul ---

Status* gemm_create(const Node& node, Settings* s) {
  const auto is_one = [&](const char* name) {
    const Attribute* found = node.find(name, Attribute::kFloat);
    return !found || found->number == 1.0f;
  };
  s->list[0] = node.integer("transB", 0) != 0;
  if (node.integer("transA", 0) == 0 && is_one("alpha") && is_one("beta")) return nullptr;
  Message text;
  return fail(text << node << ": only alpha = beta = 1 and transA = 0 are supported");
}

Status* gemm_shape(const Operands& o) {
  const Value& a = o.input(0);
  const Value& b = o.input(1);
  Value& y = o.output();
  const bool floats = o.is_float(0) && o.is_float(1) && (!o.has(2) || o.is_float(2));
  const size_t terms = o.settings.list[0] ? 1 : 0;
  if (!floats || a.rank != 2 || b.rank != 2 || a.dims[1] != b.dims[terms]) {
    return o.invalid("its inputs must be float32 matrices that fit each other");
  }
  const int64_t columns = b.dims[1 - terms];
  if (o.has(2) && (o.input(2).rank != 1 || o.input(2).dims[0] != columns)) {
    return o.invalid("its third input must be a vector, one number for each column");
  }
  y.type = ElementType::kFloat;
  y.rank = 2;
  y.dims[0] = a.dims[0], y.dims[1] = columns;
  return nullptr;
}

Status* matmul_create(const Node&, Settings* s) {
  s->list[0] = 0;
  return nullptr;
}

// The rows of all matrices of the first input, times one matrix.
Status* matmul_shape(const Operands& o) {
  const Value& a = o.input(0);
  const Value& b = o.input(1);
  Value& y = o.output();
  const bool fits = o.is_float(0) && o.is_float(1) && a.rank >= 2 && b.rank == 2;
  if (!fits || a.dims[a.rank - 1] != b.dims[0]) {
    return o.invalid("only float32 matrices times one float32 matrix that fits are supported");
  }
  void* data = y.data;
  static_cast<Tensor&>(y) = a;
  y.data = data;
  y.dims[a.rank - 1] = b.dims[1];
  return nullptr;
}

Status* gemm_pack(const Operands& o, Pool* pool, PackedProduct* to) {
  const Value& b = o.input(1);
  const bool transposed = o.settings.list[0];
  return pack(o, 1, {b.dims[transposed], b.dims[!transposed]}, !transposed, pool, to);
}

// Rows, and panels of columns.
void gemm_run(const Operands& o) {
  constexpr double kTaskProducts = 1 << 19;
  const PackedProduct& p = *o.product;
  const int64_t rows = o.output().count(0, o.output().rank - 1);
  const int64_t panel = p.kernel->panel, terms = p.shape.terms, columns = p.shape.columns;
  const auto products = static_cast<double>(rows) * static_cast<double>(terms * columns);
  if (rows == 0 || columns == 0) return;
  parallel_grid(o.parallel, div_up(columns, panel), rows, products, kTaskProducts,
                [&](Range panels, Range mine) {
                  const int64_t first = panels.begin * panel;
                  const int64_t end = min(panels.end * panel, columns);
                  p.kernel->run({terms, end - first}, o.in<float>(0) + mine.begin * terms, terms,
                                p.weights + first * terms * int64_t{sizeof(float)},
                                p.bias + first, o.out<float>() + mine.begin * columns + first,
                                columns, mine.end - mine.begin);
                });
}

// --- MatMul of two tensors that are computed ---

Status* product_shape(const Operands& o) {
  const Value& a = o.input(0);
  const Value& b = o.input(1);
  Value& y = o.output();
  if (!o.is_float(0) || !o.is_float(1) || a.rank < 2 || b.rank < 2 ||
      a.dims[a.rank - 1] != b.dims[b.rank - 2]) {
    return o.invalid("its inputs must be float32 matrices that fit each other");
  }
  y.type = ElementType::kFloat;
  if (!set_broadcast(o, &y, 2)) return o.invalid("its inputs have different numbers of matrices");
  y.dims[y.rank - 2] = a.dims[a.rank - 2], y.dims[y.rank - 1] = b.dims[b.rank - 1];
  return nullptr;
}

// Where the matrix of that number of the output is in an input.
const float* matrix_of(const Operands& o, size_t input, int64_t index) {
  const Value& x = o.input(input);
  const Value& y = o.output();
  int64_t at = 0, pitch = x.count(x.rank - 2, x.rank);
  for (size_t axis = y.rank - 2; axis-- > 0; index /= y.dims[axis]) {
    const int64_t size = size_on(x, axis, y.rank);
    at += (size == 1 ? 0 : index % y.dims[axis]) * pitch;
    pitch *= size;
  }
  return o.in<float>(input) + at;
}

void product_run(const Operands& o) {
  const Value& a = o.input(0);
  const Value& y = o.output();
  const int64_t terms = a.dims[a.rank - 1], rows = y.dims[y.rank - 2], columns = y.dims[y.rank - 1];
  if (count(y) == 0) return;
  o.each_range(y.count(0, y.rank - 1), static_cast<double>(terms * columns), [&](Range r) {
    for (int64_t i = r.begin; i < r.end; ++i) {
      const float* left = matrix_of(o, 0, i / rows) + i % rows * terms;
      const float* right = matrix_of(o, 1, i / rows);
      float* to = o.out<float>() + i * columns;
      for (int64_t c = 0; c < columns; ++c) to[c] = 0;
      for (int64_t k = 0; k < terms; ++k, right += columns) {
        for (int64_t c = 0; c < columns; ++c) to[c] += left[k] * right[c];
      }
    }
  });
}

constexpr OnnxOp kProduct = {"MatMul", 2, 2, no_settings, product_shape, product_run};

constexpr OnnxOp kOps[] = {
    {"Conv", 2, 3, conv_create, conv_shape, conv_run, conv_scratch, conv_pack},
    {"ConvTranspose", 2, 3, transposed_create, transposed_shape, transposed_run},
    {"Gemm", 2, 3, gemm_create, gemm_shape, gemm_run, nullptr, gemm_pack},
    {"MatMul", 2, 2, matmul_create, matmul_shape, gemm_run, nullptr, gemm_pack, &kProduct},
};

}  // namespace

const OnnxOps kFloatProductOps = kOps;

}  // namespace sbn::native
