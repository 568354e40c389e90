#include "ort/max_pool_op.h"

#include "ort/windows.h"

namespace sbn::ort {
namespace {

// Bytes read that are worth a task of their own.
constexpr double kTaskBytes = 1 << 18;

// Outputs along one axis, or 0 where the window does not fit.
int64_t pooled_size(const MaxPoolAttributes& a, int axis, int64_t size) {
  const int64_t space = size + a.pads[axis] + a.pads[axis + 2] - a.kernel_shape[axis];
  return space < 0 ? 0 : space / a.strides[axis] + 1;
}

}  // namespace

template <Op op>
Status* MaxPoolOp<op>::create(const Node& node, const Attributes& a, const KernelInfo* info) {
  kernel = select_kernel<op>(current_isa());
  attributes = a;
  return check_pool(node, info, a.kernel_shape, a.pads);
}

template <Op op>
Status* MaxPoolOp<op>::compute(Call& call) const {
  const Attributes& a = attributes;
  Tensor x, minimum;
  SBN_TRY(call.input(0, &x));
  SBN_TRY(call.input(1, &minimum));
  const int64_t any[] = {-1, -1, -1, -1};
  SBN_TRY(call.node().expect(0, x, 4, any));
  SBN_TRY(check_padding(call.node(), a.pads, x));
  const bool packed = op == Op::max_pool;
  const int64_t words = packed ? x.dims[3] : words_of(x.dims[3]);
  SBN_TRY(call.node().expect(1, minimum, 1, &words));
  MaxPoolShape s;
  s.batch = x.dims[0], s.height = x.dims[1], s.width = x.dims[2], s.elements = x.dims[3];
  s.kernel_h = a.kernel_shape[0], s.kernel_w = a.kernel_shape[1];
  s.stride_h = a.strides[0], s.stride_w = a.strides[1];
  s.pad_top = a.pads[0], s.pad_left = a.pads[1];
  s.out_h = pooled_size(a, 0, s.height);
  s.out_w = pooled_size(a, 1, s.width);
  if (s.height == 0 || s.width == 0 || s.out_h == 0 || s.out_w == 0) {
    Message text = call.node().message();
    return call.node().invalid(text << "the kernel does not fit into the input of shape " << x);
  }
  const int64_t dims[] = {s.batch, s.out_h, s.out_w, s.elements};
  void* y = nullptr;
  SBN_TRY(call.output(0, 4, dims, &y));
  if (s.batch == 0 || s.elements == 0) return nullptr;
  return call.with_threads([&](const Parallel& parallel) {
    const int64_t rows = s.batch * s.out_h;
    using Element = std::conditional_t<op == Op::max_pool, uint64_t, int16_t>;
    const double bytes = static_cast<double>(rows * s.out_w * s.elements) * sizeof(Element) *
                         static_cast<double>(s.kernel_h * s.kernel_w);
    parallel_ranges(parallel, rows, bytes, kTaskBytes, [&](Range range) {
      kernel->run(s, x.as<Element>(), minimum.as<uint64_t>(), static_cast<Element*>(y), range);
    });
  });
}

template <Op op>
bool MaxPoolOp<op>::infer(const Attributes& attributes, const KnownShape* inputs,
                      KnownShape* output) {
  const KnownShape& x = inputs[0];
  if (x.rank != 4) return false;
  *output = x;
  for (int axis = 0; axis < 2; ++axis) {
    const size_t at = static_cast<size_t>(axis) + 1;
    const int64_t size = x.known(at) ? pooled_size(attributes, axis, x.dims[at]) : -1;
    if (size == 0) return false;
    output->set(at, size);
  }
  return true;
}

template struct MaxPoolOp<Op::max_pool>;
template struct MaxPoolOp<Op::quantized_max_pool>;

}  // namespace sbn::ort
