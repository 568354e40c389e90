// Conv, Gemm and MatMul, by the product of float matrices: kernels/float_product says in which
// order sums are made. The terms of a Conv are those of its input channels, rows and columns of the
// kernel.
#include <string.h>

#include "native/operators.h"

namespace sbn::native {
namespace {

enum ConvSetting { kStrides = 0, kDilations = 2, kPads = 4, kGroup = 8 };

// Output pixels of a Conv whose inputs are gathered at a time.
constexpr int64_t kPixels = 48;

// Packs `groups` groups of weights, each [columns, terms] or [terms, columns], and the bias.
Status* pack(const Operands& o, int64_t groups, const FloatProductShape& shape, bool by_term,
             Pool* pool, PackedProduct* to) {
  to->kernel = select_kernel<Op::float_product>(current_isa());
  to->shape = shape;
  to->group_bytes = float_product_bytes(*to->kernel, shape);
  SBN_TRY(pool->array(static_cast<size_t>(groups * to->group_bytes), &to->weights));
  SBN_TRY(pool->array(static_cast<size_t>(groups * shape.columns), &to->bias));
  for (int64_t group = 0; group < groups; ++group) {
    float_product_pack(*to->kernel, shape, o.in<float>(1) + group * shape.terms * shape.columns,
                       by_term ? shape.columns : 1, by_term ? 1 : shape.terms,
                       to->weights + group * to->group_bytes);
  }
  const auto bytes = static_cast<size_t>(groups * shape.columns) * sizeof(float);
  if (o.has(2) && bytes) memcpy(to->bias, o.input(2).data, bytes);
  return nullptr;
}

// --- Conv in two dimensions ---

Status* conv_create(const Node& node, Settings* s) {
  constexpr int64_t kMost = 1 << 15;
  const auto read = [&](const char* name, size_t count, int64_t least, size_t to) {
    const Attribute* found = node.find(name, Attribute::kInts);
    if (found && found->integer_count != count) return false;
    for (size_t i = 0; i < count; ++i) {
      const int64_t value = found ? found->integers[i] : least;
      if (value < least || value > kMost) return false;
      s->list[to + i] = value;
    }
    return true;
  };
  s->list[kGroup] = node.integer("group", 1);
  const Attribute* automatic = node.find("auto_pad", Attribute::kString);
  const bool fits = read("strides", 2, 1, kStrides) && read("dilations", 2, 1, kDilations) &&
                    read("pads", 4, 0, kPads) && s->list[kGroup] >= 1 &&
                    (!automatic || automatic->bytes == "NOTSET");
  if (fits) return nullptr;
  Message text;
  return fail(text << node
                   << ": its strides, dilations, pads, group or auto_pad are not supported");
}

Status* conv_shape(const Operands& o) {
  const Value& x = o.input(0);
  const Value& w = o.input(1);
  Value& y = o.output();
  if (!o.is_float(0) || !o.is_float(1) || x.rank != 4 || w.rank != 4) {
    return o.invalid("only float32 in two dimensions is supported");
  }
  const int64_t* s = o.settings.list;
  const int64_t outputs = w.dims[0];
  if (outputs % s[kGroup] || x.dims[1] % s[kGroup] || w.dims[1] != x.dims[1] / s[kGroup]) {
    return o.invalid("its weights and input have different channels");
  }
  if (o.has(2) && (!o.is_float(2) || o.input(2).rank != 1 || o.input(2).dims[0] != outputs)) {
    return o.invalid("its bias must be one float32 for each output channel");
  }
  const size_t spatial = o.node.channels_last ? 1 : 2;
  y.type = ElementType::kFloat;
  y.rank = 4;
  y.dims[0] = x.dims[0], y.dims[o.node.channels_last ? 3 : 1] = outputs;
  for (size_t i = 0; i < 2; ++i) {
    const int64_t kernel = w.dims[2 + i];
    const Size reach = Size(kernel - 1) * s[kDilations + i] + 1;
    const Size padded = Size(x.dims[2 + i]) + s[kPads + i] + s[kPads + 2 + i];
    if (kernel < 1 || !reach.valid() || !padded.valid() || reach.value() > padded.value()) {
      return o.invalid("the kernel does not fit into the padded input");
    }
    y.dims[spatial + i] = (padded.value() - reach.value()) / s[kStrides + i] + 1;
  }
  return nullptr;
}

Status* conv_pack(const Operands& o, Pool* pool, PackedProduct* to) {
  const Value& w = o.input(1);
  const int64_t groups = o.settings.list[kGroup];
  return pack(o, groups, {w.count(1, 4), w.dims[0] / groups}, false, pool, to);
}

// Inputs of kPixels outputs, and their sums where those are not written at once.
Size conv_scratch(const Operands& o) {
  const Value& w = o.input(1);
  const Size terms = Size(w.dims[1]) * w.dims[2] * w.dims[3];
  return (terms + w.dims[0]) * kPixels * int64_t{sizeof(float)};
}

// Copies the inputs of output pixel (row, column), of the channels from `from` on.
void gather_pixel(const Operands& o, const float* from, int64_t row, int64_t column, float* to) {
  const Value& x = o.input(0);
  const Value& w = o.input(1);
  const int64_t* s = o.settings.list;
  const int64_t height = x.dims[2], width = x.dims[3], kernel_w = w.dims[3];
  const int64_t top = row * s[kStrides] - s[kPads], left = column * s[kStrides + 1] - s[kPads + 1];
  const int64_t step = s[kDilations + 1];
  const bool inside = left >= 0 && left + (kernel_w - 1) * step < width;
  for (int64_t c = 0; c < w.dims[1]; ++c, from += height * width) {
    for (int64_t i = 0; i < w.dims[2]; ++i, to += kernel_w) {
      const int64_t y = top + i * s[kDilations];
      const float* line = from + y * width;
      if (y < 0 || y >= height) {
        for (int64_t j = 0; j < kernel_w; ++j) to[j] = 0;
      } else if (inside) {
        for (int64_t j = 0; j < kernel_w; ++j) to[j] = line[left + j * step];
      } else {
        for (int64_t j = 0; j < kernel_w; ++j) {
          const int64_t at = left + j * step;
          to[j] = at >= 0 && at < width ? line[at] : 0;
        }
      }
    }
  }
}

void conv_run(const Operands& o) {
  const Value& x = o.input(0);
  const Value& y = o.output();
  const PackedProduct& p = *o.product;
  const int64_t groups = o.settings.list[kGroup], outputs = groups * p.shape.columns;
  const bool last = o.node.channels_last;
  const int64_t out_w = y.dims[last ? 2 : 3], plane = y.dims[last ? 1 : 2] * out_w;
  const int64_t image = x.count(1, 4);
  auto* gathered = static_cast<float*>(o.scratch);
  float* sums = gathered + kPixels * p.shape.terms;
  for (int64_t n = 0; n < y.dims[0]; ++n) {
    for (int64_t group = 0; group < groups; ++group) {
      const float* from = o.in<float>(0) + n * image + group * (image / groups);
      const int64_t first_output = group * p.shape.columns;
      for (int64_t first = 0; first < plane; first += kPixels) {
        const int64_t pixels = min(kPixels, plane - first);
        for (int64_t i = 0; i < pixels; ++i) {
          gather_pixel(o, from, (first + i) / out_w, (first + i) % out_w,
                       gathered + i * p.shape.terms);
        }
        float* to = last ? o.out<float>() + (n * plane + first) * outputs + first_output : sums;
        const int64_t step = last ? outputs : p.shape.columns;
        p.kernel->run(p.shape, gathered, p.shape.terms, p.weights + group * p.group_bytes,
                      p.bias + first_output, to, step, pixels);
        for (int64_t c = 0; !last && c < p.shape.columns; ++c) {
          float* line = o.out<float>() + (n * outputs + first_output + c) * plane + first;
          for (int64_t i = 0; i < pixels; ++i) line[i] = sums[i * step + c];
        }
      }
    }
  }
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

void gemm_run(const Operands& o) {
  const PackedProduct& p = *o.product;
  p.kernel->run(p.shape, o.in<float>(0), p.shape.terms, p.weights, p.bias, o.out<float>(),
                p.shape.columns, o.output().count(0, o.output().rank - 1));
}

}  // namespace

const OnnxOp kConv = {"Conv", 2, 3, conv_create, conv_shape, conv_run, conv_scratch, conv_pack};
const OnnxOp kGemm = {"Gemm", 2, 3, gemm_create, gemm_shape, gemm_run, nullptr, gemm_pack};
const OnnxOp kMatMul = {"MatMul", 2, 2, matmul_create, matmul_shape, gemm_run, nullptr, gemm_pack};

}  // namespace sbn::native
