// What operators share that slide a window over images: Conv*, PixelConv* and Float*.
#pragma once

#include <type_traits>

#include "kernels/scratch.h"
#include "ort/epilogue_inputs.h"
#include "ort/node.h"
#include "ort/shape_inference.h"

namespace sbn::ort {

template <class Attributes, class Shape>
void set_window(const Attributes& a, Shape* s) {
  s->stride_h = a.strides[0], s->stride_w = a.strides[1];
  s->dilation_h = a.dilations[0], s->dilation_w = a.dilations[1];
  s->pad_top = a.pads[0], s->pad_left = a.pads[1];
  s->pad_bottom = a.pads[2], s->pad_right = a.pads[3];
}

// Checks how large X becomes with its pads, see SBN_MAX_PADDED_PIXELS. Sizes of X that are
// negative are unknown; of X, here only its shape is used.
Status* check_padding(const Node& node, const int64_t* pads, const Tensor& x);
// The same when the model is loaded, as far as the shape of input 0 is known then.
Status* check_padding(const Node& node, const KernelInfo* info, const int64_t* pads);
// What max-pools check of their attributes when the model is loaded.
Status* check_pool(const Node& node, const KernelInfo* info, const int64_t* kernel,
                   const int64_t* pads);

// Convolves X, signs packed in words or pixels, whose last axis must have `depth` elements. All of
// `work`, whose shape is `s`, but what X determines is known.
template <Finish finish, class Work, class Shape, class Element>
Status* convolve(Call& call, Work* work, Shape* s, int64_t depth, const int64_t* pads,
                 Size (*scratch_size)(const Work&),
                 void (*execute)(const Work&, const Element*, void*, void*, const Parallel&)) {
  const Node& node = call.node();
  Tensor x;
  SBN_TRY(call.input(0, &x));
  const int64_t wanted[] = {-1, -1, -1, depth};
  SBN_TRY(node.expect(0, x, 4, wanted));
  SBN_TRY(check_padding(node, pads, x));
  if constexpr (std::is_same_v<Element, uint64_t>) SBN_TRY(node.no_unused_bits(0, x, s->channels));
  s->batch = x.dims[0], s->height = x.dims[1], s->width = x.dims[2];
  if (!resize(s)) {
    Message text = node.message();
    return node.invalid(text << "the kernel does not fit into the padded input; X has shape " << x);
  }
  const int64_t dims[] = {s->batch, s->out_h, s->out_w, s->outputs};
  void* y = nullptr;
  SBN_TRY(make_outputs<finish>(call, 4, dims, &work->epilogue, &y));
  if (s->batch == 0) return nullptr;
  Scratch scratch(node);
  SBN_TRY(scratch.allocate(scratch_size(*work)));
  return call.with_threads([&](const Parallel& parallel) {
    execute(*work, x.as<Element>(), y, scratch.data(), parallel);
  });
}

// The shape of Y but for its channels. A size of the kernel that is unknown is -1.
template <class Shape>
bool infer_window(Shape s, const KnownShape& x, KnownShape* y) {
  if (x.rank != 4) return false;
  *y = x;
  const bool tall = x.known(1) && s.kernel_h > 0;
  const bool wide = x.known(2) && s.kernel_w > 0;
  // Sizes of an axis do not depend on the other one: stand in for what is unknown.
  s.height = tall ? x.dims[1] : 1, s.width = wide ? x.dims[2] : 1;
  s.kernel_h = tall ? s.kernel_h : 1, s.kernel_w = wide ? s.kernel_w : 1;
  if (!resize(&s)) return false;
  y->set(1, tall ? s.out_h : -1);
  y->set(2, wide ? s.out_w : -1);
  return true;
}

// The shapes of the outputs of a convolution whose weights are [O, kh, kw, ...].
template <Finish finish, class Shape>
bool infer_convolution(Shape s, const KnownShape* inputs, KnownShape* outputs) {
  const KnownShape& w = inputs[1];
  if (w.rank != 4) return false;
  s.kernel_h = w.dims[1], s.kernel_w = w.dims[2];
  if (!infer_window(s, inputs[0], outputs)) return false;
  infer_outputs<finish>(w.dims[0], outputs);
  return true;
}

}  // namespace sbn::ort
