#include "ort/product_ops.h"

namespace sbn::ort {
namespace {

template <class Attributes>
void set_attributes(const Attributes& a, ConvShape* s) {
  s->channels = a.channels;
  s->groups = a.group;
  s->stride_h = a.strides[0], s->stride_w = a.strides[1];
  s->dilation_h = a.dilations[0], s->dilation_w = a.dilations[1];
  s->pad_top = a.pads[0], s->pad_left = a.pads[1];
  s->pad_bottom = a.pads[2], s->pad_right = a.pads[3];
  s->pad_value = a.pad_value;
}

}  // namespace

// Checks W and derives from it the shape and the kernel.
template <Op op>
Status* ConvOp<op>::set_weights(const Node& node, const Tensor& w, ConvShape* s,
                                const ConvKernel** chosen) const {
  const int64_t dims[] = {-1, -1, -1, words_of(s->channels / s->groups)};
  SBN_TRY(node.expect(1, w, 4, dims));
  s->outputs = w.dims[0], s->kernel_h = w.dims[1], s->kernel_w = w.dims[2];
  if (w.count(0, 3) == 0) return node.invalid("input W is empty");
  if (const char* reason = conv_fix(s)) return node.invalid(reason);
  *chosen = select_kernel<op>(
      isa, [&](const ConvKernel& candidate) { return candidate.max_products >= s->products; });
  return nullptr;
}

template <Op op>
Status* ConvOp<op>::create(const Node& node, const Attributes& given, const KernelInfo* info) {
  isa = current_isa();
  attributes = given;
  set_attributes(attributes, &shape);
  if (shape.channels % shape.groups) return node.invalid("group must divide the number of channels");
  bool found = false;
  Tensor w;
  SBN_TRY(node.constant(info, 1, &found, &w));
  if (!found) return nullptr;
  SBN_TRY(set_weights(node, w, &shape, &kernel));
  SBN_TRY(node.allocate(kernel->weight_bytes(shape), &prepared.weights));
  kernel->pack_weights(shape, w.as<uint64_t>(), prepared.weights);
  SBN_TRY(epilogue.create(node, info, op, shape.outputs));
  return epilogue.constant() ? prepare_offsets(node, w) : nullptr;
}

template <Op op>
Status* ConvOp<op>::prepare_offsets(const Node& node, const Tensor& w) {
  ConvNode work = {};
  work.kernel = kernel;
  work.shape = &shape;
  work.w = w.as<uint64_t>();
  work.epilogue = epilogue.constants(op);
  const int64_t bytes = conv_prepared_bytes(work);
  if (bytes == 0) return nullptr;
  SBN_TRY(node.allocate(bytes, &prepared.offsets));
  Scratch scratch(node);
  SBN_TRY(scratch.allocate(conv_prepare_scratch(work)));
  conv_prepare_offsets(work, scratch.data(), prepared.offsets);
  return nullptr;
}

template <Op op>
void ConvOp<op>::destroy(const Node& node) {
  prepared.destroy(node);
  epilogue.destroy(node);
}

template <Op op>
Status* ConvOp<op>::compute(Call& call) const {
  const Node& node = call.node();
  ConvShape s = shape;
  ConvNode work = {};
  work.kernel = kernel;
  work.shape = &s;
  work.packed_weights = prepared.weights;
  work.packed_offsets = prepared.offsets;
  if (!prepared.weights || !prepared.offsets) {
    Tensor w;
    SBN_TRY(call.input(1, &w));
    SBN_TRY(set_weights(node, w, &s, &work.kernel));
    work.w = w.as<uint64_t>();
  }
  SBN_TRY(epilogue.read(call, op, s.outputs, &work.epilogue));
  set_attributes(attributes, &work.epilogue);

  Tensor x;
  SBN_TRY(call.input(0, &x));
  const int64_t wanted[] = {-1, -1, -1, s.input_words};
  SBN_TRY(node.expect(0, x, 4, wanted));
  s.batch = x.dims[0], s.height = x.dims[1], s.width = x.dims[2];
  if (const char* reason = conv_resize(&s)) {
    Message text = node.message();
    return node.invalid(text << reason << "; X has shape " << x);
  }
  const int64_t dims[] = {s.batch, s.out_h, s.out_w, s.outputs};
  void* y = nullptr;
  SBN_TRY(make_outputs<op>(call, 4, dims, &work.epilogue, &y));
  if (s.batch == 0) return nullptr;
  Scratch scratch(node);
  SBN_TRY(scratch.allocate(conv_scratch(work)));
  return call.with_threads([&](const Parallel& parallel) {
    conv_execute(work, x.as<uint64_t>(), y, scratch.data(), parallel);
  });
}

template <Op op>
bool ConvOp<op>::infer(const Attributes& attributes, const KnownShape* inputs,
                       KnownShape* outputs) {
  const KnownShape& x = inputs[0];
  const KnownShape& w = inputs[1];
  if (x.rank != 4 || w.rank != 4) return false;
  ConvShape s = {};
  set_attributes(attributes, &s);
  outputs[0] = x;
  // Sizes of an axis do not depend on the other one: stand in for what is unknown.
  const bool tall = x.known(1) && w.known(1);
  const bool wide = x.known(2) && w.known(2);
  s.batch = 1;
  s.kernel_h = tall ? w.dims[1] : 1, s.kernel_w = wide ? w.dims[2] : 1;
  s.height = tall ? x.dims[1] : 1, s.width = wide ? x.dims[2] : 1;
  if (s.kernel_h < 1 || s.kernel_w < 1 || conv_resize(&s)) return false;
  outputs[0].set(1, tall ? s.out_h : -1);
  outputs[0].set(2, wide ? s.out_w : -1);
  infer_outputs<op>(w.dims[0], outputs);
  return true;
}

template struct ConvOp<Op::conv_threshold>;
template struct ConvOp<Op::conv_scale>;
template struct ConvOp<Op::conv_scale_clamp>;
template struct ConvOp<Op::conv_scale_prelu>;
template struct ConvOp<Op::conv_quantize>;
template struct ConvOp<Op::conv_residual>;

}  // namespace sbn::ort
