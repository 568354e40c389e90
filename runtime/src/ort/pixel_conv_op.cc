#include "ort/pixel_conv_op.h"

#include "kernels/scratch.h"

namespace sbn::ort {
namespace {

void set_attributes(const PixelConvThresholdAttributes& a, PixelConvShape* s) {
  s->stride_h = a.strides[0], s->stride_w = a.strides[1];
  s->dilation_h = a.dilations[0], s->dilation_w = a.dilations[1];
  s->pad_top = a.pads[0], s->pad_left = a.pads[1];
  s->pad_bottom = a.pads[2], s->pad_right = a.pads[3];
  s->pad_value = a.pad_value;
}

}  // namespace

// Checks W and derives from it the shape.
template <Op op>
Status* PixelConvOp<op>::set_weights(const Node& node, const Tensor& w, PixelConvShape* s) {
  const int64_t any[] = {-1, -1, -1, -1};
  SBN_TRY(node.expect(1, w, 4, any));
  s->outputs = w.dims[0], s->kernel_h = w.dims[1], s->kernel_w = w.dims[2];
  s->channels = w.dims[3];
  if (w.count(0, 4) == 0) return node.invalid("input W is empty");
  const char* reason = pixel_conv_fix(s);
  return reason ? node.invalid(reason) : nullptr;
}

template <Op op>
Status* PixelConvOp<op>::create(const Node& node, const Attributes& attributes,
                                const KernelInfo* info) {
  kernel = select_kernel<op>(current_isa());
  set_attributes(attributes, &shape);
  bool found = false;
  Tensor w;
  SBN_TRY(node.constant(info, 1, &found, &w));
  if (!found) return nullptr;
  SBN_TRY(set_weights(node, w, &shape));
  SBN_TRY(node.allocate(kernel->weight_bytes(shape), &weights));
  kernel->pack_weights(shape, w.as<int8_t>(), weights);
  return epilogue.create(node, info, op, shape.outputs);
}

template <Op op>
void PixelConvOp<op>::destroy(const Node& node) {
  if (weights) node.release(weights);
  epilogue.destroy(node);
}

template <Op op>
Status* PixelConvOp<op>::compute(Call& call) const {
  const Node& node = call.node();
  PixelConvShape s = shape;
  PixelConvNode work = {};
  work.kernel = kernel;
  work.shape = &s;
  work.packed_weights = weights;
  if (!weights) {
    Tensor w;
    SBN_TRY(call.input(1, &w));
    SBN_TRY(set_weights(node, w, &s));
    work.w = w.as<int8_t>();
  }
  SBN_TRY(epilogue.read(call, op, s.outputs, &work.epilogue));

  Tensor x;
  SBN_TRY(call.input(0, &x));
  const int64_t wanted[] = {-1, -1, -1, s.channels};
  SBN_TRY(node.expect(0, x, 4, wanted));
  s.batch = x.dims[0], s.height = x.dims[1], s.width = x.dims[2];
  if (const char* reason = pixel_conv_resize(&s)) {
    Message text = node.message();
    return node.invalid(text << reason << "; X has shape " << x);
  }
  const int64_t dims[] = {s.batch, s.out_h, s.out_w, s.outputs};
  void* y = nullptr;
  SBN_TRY(make_outputs<op>(call, 4, dims, &work.epilogue, &y));
  if (s.batch == 0) return nullptr;
  Scratch scratch(node);
  SBN_TRY(scratch.allocate(pixel_conv_scratch(work)));
  return call.with_threads([&](const Parallel& parallel) {
    pixel_conv_execute(work, x.as<uint8_t>(), y, scratch.data(), parallel);
  });
}

template <Op op>
bool PixelConvOp<op>::infer(const Attributes& attributes, const KnownShape* inputs,
                            KnownShape* outputs) {
  const KnownShape& x = inputs[0];
  const KnownShape& w = inputs[1];
  if (x.rank != 4 || w.rank != 4) return false;
  PixelConvShape s = {};
  set_attributes(attributes, &s);
  outputs[0] = x;
  // Sizes of an axis do not depend on the other one: stand in for what is unknown.
  const bool tall = x.known(1) && w.known(1);
  const bool wide = x.known(2) && w.known(2);
  s.batch = 1;
  s.kernel_h = tall ? w.dims[1] : 1, s.kernel_w = wide ? w.dims[2] : 1;
  s.height = tall ? x.dims[1] : 1, s.width = wide ? x.dims[2] : 1;
  if (s.kernel_h < 1 || s.kernel_w < 1 || pixel_conv_resize(&s)) return false;
  outputs[0].set(1, tall ? s.out_h : -1);
  outputs[0].set(2, wide ? s.out_w : -1);
  infer_outputs<op>(w.dims[0], outputs);
  return true;
}

template struct PixelConvOp<Op::pixel_conv_threshold>;
template struct PixelConvOp<Op::pixel_conv_scale>;
template struct PixelConvOp<Op::pixel_conv_scale_clamp>;
template struct PixelConvOp<Op::pixel_conv_quantize>;

}  // namespace sbn::ort
