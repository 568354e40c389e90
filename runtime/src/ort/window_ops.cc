#include "ort/window_ops.h"

#include "ort/windows.h"

namespace sbn::ort {
namespace {

// Floats read that are worth a task of their own.
constexpr double kTaskFloats = 1 << 17;

WindowShape shape_of(const FloatMaxPoolAttributes& a) {
  WindowShape s = {};
  s.channels = -1;
  s.kernel_h = a.kernel_shape[0], s.kernel_w = a.kernel_shape[1];
  s.stride_h = a.strides[0], s.stride_w = a.strides[1];
  s.dilation_h = s.dilation_w = 1;
  s.pad_top = a.pads[0], s.pad_left = a.pads[1];
  s.pad_bottom = a.pads[2], s.pad_right = a.pads[3];
  return s;
}

WindowShape shape_of(const FloatDepthwiseConvAttributes& a) {
  WindowShape s = {};
  s.channels = a.channels;
  set_window(a, &s);
  return s;
}

// Checks X, completes the shape and calls run(x, y, rows) for all rows.
template <class Run>
Status* slide(Call& call, WindowShape* s, Run run) {
  Tensor x;
  SBN_TRY(call.input(0, &x));
  const int64_t wanted[] = {-1, -1, -1, s->channels};
  SBN_TRY(call.node().expect(0, x, 4, wanted));
  const int64_t pads[] = {s->pad_top, s->pad_left, s->pad_bottom, s->pad_right};
  SBN_TRY(check_padding(call.node(), pads, x));
  s->batch = x.dims[0], s->height = x.dims[1], s->width = x.dims[2], s->channels = x.dims[3];
  if (s->height == 0 || s->width == 0 || !resize(s)) {
    Message text = call.node().message();
    return call.node().invalid(text << "the kernel does not fit into the input of shape " << x);
  }
  const int64_t dims[] = {s->batch, s->out_h, s->out_w, s->channels};
  void* y = nullptr;
  SBN_TRY(call.output(0, 4, dims, &y));
  if (s->batch == 0 || s->channels == 0) return nullptr;
  return call.with_threads([&](const Parallel& parallel) {
    const int64_t rows = s->batch * s->out_h;
    const double floats = static_cast<double>(rows * s->out_w * s->channels) *
                          static_cast<double>(s->kernel_h * s->kernel_w);
    parallel_ranges(parallel, rows, floats, kTaskFloats, [&](Range range) {
      run(x.as<float>(), static_cast<float*>(y), range);
    });
  });
}

}  // namespace

Status* FloatMaxPoolOp::create(const Node& node, const Attributes& a, const KernelInfo* info) {
  kernel = select_kernel<Op::float_max_pool>(current_isa());
  shape = shape_of(a);
  lowest = a.relu ? 0.0f : -__builtin_inff();
  return check_pool(node, info, a.kernel_shape, a.pads);
}

Status* FloatMaxPoolOp::compute(Call& call) const {
  WindowShape s = shape;
  return slide(call, &s, [&](const float* x, float* y, Range rows) {
    kernel->run(s, x, lowest, y, rows);
  });
}

bool FloatMaxPoolOp::infer(const Attributes& attributes, const KnownShape* inputs,
                           KnownShape* output) {
  return infer_window(shape_of(attributes), inputs[0], output);
}

Status* FloatDepthwiseConvOp::create(const Node& node, const Attributes& a,
                                     const KernelInfo* info) {
  kernel = select_kernel<Op::float_depthwise_conv>(current_isa());
  shape = shape_of(a);
  return check_padding(node, info, a.pads);
}

Status* FloatDepthwiseConvOp::compute(Call& call) const {
  WindowShape s = shape;
  Tensor w, bias;
  SBN_TRY(call.input(1, &w));
  SBN_TRY(call.input(2, &bias));
  const int64_t filters[] = {-1, -1, s.channels};
  SBN_TRY(call.node().expect(1, w, 3, filters));
  SBN_TRY(call.node().expect(2, bias, 1, &s.channels));
  if (w.count(0, 3) == 0) return call.node().invalid("input W is empty");
  s.kernel_h = w.dims[0], s.kernel_w = w.dims[1];
  return slide(call, &s, [&](const float* x, float* y, Range rows) {
    kernel->run(s, x, w.as<float>(), bias.as<float>(), y, rows);
  });
}

bool FloatDepthwiseConvOp::infer(const Attributes& attributes, const KnownShape* inputs,
                                 KnownShape* output) {
  WindowShape s = shape_of(attributes);
  if (inputs[1].rank != 3) return false;
  s.kernel_h = inputs[1].dims[0], s.kernel_w = inputs[1].dims[1];
  return infer_window(s, inputs[0], output);
}

}  // namespace sbn::ort
