#include "ort/product_ops.h"
#include "ort/windows.h"

namespace sbn::ort {
namespace {

template <class Attributes>
void set_attributes(const Attributes& a, ConvShape* s) {
  s->channels = a.channels;
  s->groups = a.group;
  set_window(a, s);
  s->pad_value = a.pad_value;
}

}  // namespace

// Checks W and derives from it the shape and the kernel.
template <Finish finish>
Status* ConvOp<finish>::set_weights(const Node& node, const Tensor& w, ConvShape* s,
                                    const ConvKernel** chosen) const {
  const int64_t dims[] = {-1, -1, -1, words_of(s->channels / s->groups)};
  SBN_TRY(node.expect(1, w, 4, dims));
  SBN_TRY(node.no_unused_bits(1, w, s->channels / s->groups));
  s->outputs = w.dims[0], s->kernel_h = w.dims[1], s->kernel_w = w.dims[2];
  if (w.count(0, 3) == 0) return node.invalid("input W is empty");
  if (const char* reason = conv_fix(s)) return node.invalid(reason);
  *chosen = select_kernel<kKernel>(
      isa, [&](const ConvKernel& candidate) { return fits(candidate, *s); });
  return nullptr;
}

template <Finish finish>
Status* ConvOp<finish>::create(const Node& node, const Attributes& given, const KernelInfo* info) {
  isa = current_isa();
  attributes = given;
  set_attributes(attributes, &shape);
  if (shape.channels % shape.groups) return node.invalid("group must divide the number of channels");
  SBN_TRY(check_padding(node, info, attributes.pads));
  bool found = false;
  Tensor w;
  SBN_TRY(node.constant(info, 1, &found, &w));
  if (!found) return nullptr;
  SBN_TRY(set_weights(node, w, &shape, &kernel));
  SBN_TRY(node.allocate(kernel->weight_bytes(shape), &prepared.weights));
  kernel->pack_weights(shape, w.as<uint64_t>(), prepared.weights);
  SBN_TRY(epilogue.create(node, info, finish, shape.outputs));
  return epilogue.constant() ? prepare_offsets(node, w) : nullptr;
}

template <Finish finish>
Status* ConvOp<finish>::prepare_offsets(const Node& node, const Tensor& w) {
  ConvNode work = {};
  work.kernel = kernel;
  work.shape = &shape;
  work.w = w.as<uint64_t>();
  work.epilogue = epilogue.constants(finish);
  const int64_t bytes = conv_prepared_bytes(work);
  if (bytes == 0) return nullptr;
  SBN_TRY(node.allocate(bytes, &prepared.offsets));
  Scratch scratch(node);
  SBN_TRY(scratch.allocate(conv_prepare_scratch(work)));
  conv_prepare_offsets(work, scratch.data(), prepared.offsets);
  return nullptr;
}

template <Finish finish>
void ConvOp<finish>::destroy(const Node& node) {
  prepared.destroy(node);
  epilogue.destroy(node);
}

template <Finish finish>
Status* ConvOp<finish>::compute(Call& call) const {
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
  SBN_TRY(epilogue.read(call, finish, s.outputs, &work.epilogue));
  set_attributes(attributes, &work.epilogue);

  return convolve<finish>(call, &work, &s, s.input_words, attributes.pads, conv_scratch,
                          conv_execute);
}

template <Finish finish>
bool ConvOp<finish>::infer(const Attributes& attributes, const KnownShape* inputs,
                           KnownShape* outputs) {
  ConvShape s = {};
  set_attributes(attributes, &s);
  return infer_convolution<finish>(s, inputs, outputs);
}

template struct ConvOp<Finish::kThreshold>;
template struct ConvOp<Finish::kScale>;
template struct ConvOp<Finish::kClamp>;
template struct ConvOp<Finish::kPRelu>;
template struct ConvOp<Finish::kIntegers>;
template struct ConvOp<Finish::kResidual>;
template struct ConvOp<Finish::kActivate>;

}  // namespace sbn::ort
