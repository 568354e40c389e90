#include "ort/product_ops.h"

namespace sbn::ort {

// Checks W and derives from it the shape and the kernel.
template <Finish finish>
Status* DenseOp<finish>::set_weights(const Node& node, const Tensor& w, DenseShape* s,
                                     const DenseKernel** chosen) const {
  const int64_t dims[] = {-1, -1};
  SBN_TRY(node.expect(1, w, 2, dims));
  s->outputs = w.dims[0];
  s->words = w.dims[1];
  s->output_words = words_of(s->outputs);
  if (s->outputs == 0) return node.invalid("input W is empty");
  const Size bits = Size(s->words) * 64;
  if (!bits.valid() || bits.value() > kMaxProducts) {
    return node.invalid("a row of W exceeds " SBN_STRING(SBN_MAX_PRODUCTS) " bits");
  }
  if (s->products > bits.value()) {
    Message text = node.message();
    return node.invalid(text << "channels = " << s->products << " needs "
                             << words_of(s->products) << " words in a row, but W has shape " << w);
  }
  *chosen = select_kernel<kKernel>(
      isa, [&](const DenseKernel& candidate) { return fits(candidate, *s); });
  return nullptr;
}

template <Finish finish>
Status* DenseOp<finish>::create(const Node& node, const Attributes& given, const KernelInfo* info) {
  isa = current_isa();
  attributes = given;
  shape.products = attributes.channels;
  bool found = false;
  Tensor w;
  SBN_TRY(node.constant(info, 1, &found, &w));
  if (!found) return nullptr;
  SBN_TRY(set_weights(node, w, &shape, &kernel));
  SBN_TRY(node.allocate(kernel->weight_bytes(shape), &prepared.weights));
  kernel->pack_weights(shape, w.as<uint64_t>(), prepared.weights);
  SBN_TRY(epilogue.create(node, info, finish, shape.outputs));
  return epilogue.constant() ? prepare_offsets(node) : nullptr;
}

template <Finish finish>
Status* DenseOp<finish>::prepare_offsets(const Node& node) {
  DenseNode work = {};
  work.kernel = kernel;
  work.shape = &shape;
  work.epilogue = epilogue.constants(finish);
  SBN_TRY(node.allocate(kernel->offset_bytes(shape), &prepared.offsets));
  Scratch scratch(node);
  SBN_TRY(scratch.allocate(Size(shape.outputs) * 4));
  dense_prepare_offsets(work, scratch.data(), prepared.offsets);
  return nullptr;
}

template <Finish finish>
void DenseOp<finish>::destroy(const Node& node) {
  prepared.destroy(node);
  epilogue.destroy(node);
}

template <Finish finish>
Status* DenseOp<finish>::compute(Call& call) const {
  const Node& node = call.node();
  DenseShape s = shape;
  DenseNode work = {};
  work.kernel = kernel;
  work.shape = &s;
  work.packed_weights = prepared.weights;
  work.packed_offsets = prepared.offsets;
  if (!kernel) {
    Tensor w;
    SBN_TRY(call.input(1, &w));
    SBN_TRY(set_weights(node, w, &s, &work.kernel));
    work.w = w.as<uint64_t>();
  }
  SBN_TRY(epilogue.read(call, finish, s.outputs, &work.epilogue));
  set_attributes(attributes, &work.epilogue);

  Tensor x;
  SBN_TRY(call.input(0, &x));
  const int64_t wanted[] = {-1, s.words};
  SBN_TRY(node.expect(0, x, 2, wanted));
  s.rows = x.dims[0];
  const int64_t dims[] = {s.rows, s.outputs};
  void* y = nullptr;
  SBN_TRY(make_outputs<finish>(call, 2, dims, &work.epilogue, &y));
  if (s.rows == 0) return nullptr;
  Scratch scratch(node);
  SBN_TRY(scratch.allocate(dense_scratch(work)));
  return call.with_threads([&](const Parallel& parallel) {
    dense_execute(work, x.as<uint64_t>(), y, scratch.data(), parallel);
  });
}

template <Finish finish>
bool DenseOp<finish>::infer(const Attributes&, const KnownShape* inputs, KnownShape* outputs) {
  const KnownShape& x = inputs[0];
  const KnownShape& w = inputs[1];
  if (x.rank != 2 || w.rank != 2) return false;
  outputs[0] = x;
  infer_outputs<finish>(w.dims[0], outputs);
  return true;
}

template struct DenseOp<Finish::kThreshold>;
template struct DenseOp<Finish::kScale>;
template struct DenseOp<Finish::kClamp>;
template struct DenseOp<Finish::kPRelu>;
template struct DenseOp<Finish::kIntegers>;
template struct DenseOp<Finish::kResidual>;
template struct DenseOp<Finish::kActivate>;

}  // namespace sbn::ort
