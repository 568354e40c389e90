#include "ort/pixel_conv_op.h"

#include "ort/windows.h"

namespace sbn::ort {
namespace {

void set_attributes(const PixelConvThresholdAttributes& a, PixelConvShape* s) {
  set_window(a, s);
  s->pad_value = a.pad_value;
}

}  // namespace

// Checks W and derives from it the shape and the kernel.
template <Finish finish>
Status* PixelConvOp<finish>::set_weights(const Node& node, const Tensor& w, PixelConvShape* s,
                                         const PixelConvKernel** chosen) const {
  const int64_t any[] = {-1, -1, -1, -1};
  SBN_TRY(node.expect(1, w, 4, any));
  s->outputs = w.dims[0], s->kernel_h = w.dims[1], s->kernel_w = w.dims[2];
  s->channels = w.dims[3];
  if (w.count(0, 4) == 0) return node.invalid("input W is empty");
  if (const char* reason = pixel_conv_fix(s)) return node.invalid(reason);
  *chosen = select_kernel<kKernel>(
      isa, [&](const PixelConvKernel& candidate) { return fits(candidate, *s); });
  return nullptr;
}

template <Finish finish>
Status* PixelConvOp<finish>::create(const Node& node, const Attributes& given,
                                const KernelInfo* info) {
  isa = current_isa();
  attributes = given;
  set_attributes(attributes, &shape);
  SBN_TRY(check_padding(node, info, attributes.pads));
  bool found = false;
  Tensor w;
  SBN_TRY(node.constant(info, 1, &found, &w));
  if (!found) return nullptr;
  SBN_TRY(set_weights(node, w, &shape, &kernel));
  SBN_TRY(node.allocate(kernel->weight_bytes(shape), &weights));
  kernel->pack_weights(shape, w.as<int8_t>(), weights);
  return epilogue.create(node, info, finish, shape.outputs);
}

template <Finish finish>
void PixelConvOp<finish>::destroy(const Node& node) {
  if (weights) node.release(weights);
  epilogue.destroy(node);
}

template <Finish finish>
Status* PixelConvOp<finish>::compute(Call& call) const {
  const Node& node = call.node();
  PixelConvShape s = shape;
  PixelConvNode work = {};
  work.kernel = kernel;
  work.shape = &s;
  work.packed_weights = weights;
  if (!weights) {
    Tensor w;
    SBN_TRY(call.input(1, &w));
    SBN_TRY(set_weights(node, w, &s, &work.kernel));
    work.w = w.as<int8_t>();
  }
  SBN_TRY(epilogue.read(call, finish, s.outputs, &work.epilogue));

  return convolve<finish>(call, &work, &s, s.channels, attributes.pads, pixel_conv_scratch,
                      pixel_conv_execute);
}

template <Finish finish>
bool PixelConvOp<finish>::infer(const Attributes& attributes, const KnownShape* inputs,
                            KnownShape* outputs) {
  PixelConvShape s = {};
  set_attributes(attributes, &s);
  return infer_convolution<finish>(s, inputs, outputs);
}

template struct PixelConvOp<Finish::kThreshold>;
template struct PixelConvOp<Finish::kScale>;
template struct PixelConvOp<Finish::kClamp>;
template struct PixelConvOp<Finish::kIntegers>;

}  // namespace sbn::ort
