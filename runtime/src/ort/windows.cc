#include "ort/windows.h"

#include "op_limits.inc"

namespace sbn::ort {

Status* check_padding(const Node& node, const int64_t* pads, const Tensor& x) {
  if (x.rank != 4 || x.dims[1] < 0 || x.dims[2] < 0) return nullptr;
  const Size height = Size(x.dims[1]) + pads[0] + pads[2];
  const Size width = Size(x.dims[2]) + pads[1] + pads[3];
  const Size pixels = height * width;
  const Size most = Size(x.dims[1]) * x.dims[2] * SBN_MAX_PADDED_RATIO;
  const bool fits = pixels.valid() && pixels.value() <= max(most.value(), SBN_MAX_PADDED_PIXELS);
  if (fits && most.valid()) return nullptr;
  Message text = node.message();
  text << "attribute 'pads' makes " << height.value() << " x " << width.value()
       << " pixels of an image of " << x.dims[1] << " x " << x.dims[2] << "; must lie in [0, "
       << SBN_MAX_PADDED_PIXELS << "] or be at most " << SBN_MAX_PADDED_RATIO << " times as many";
  return node.invalid(text);
}

Status* check_padding(const Node& node, const KernelInfo* info, const int64_t* pads) {
  Tensor x;
  SBN_TRY(node.known_shape(info, 0, &x));
  return check_padding(node, pads, x);
}

Status* check_pool(const Node& node, const KernelInfo* info, const int64_t* kernel,
                   const int64_t* pads) {
  for (int i = 0; i < 4; ++i) {
    if (pads[i] < kernel[i % 2]) continue;
    Message text = node.message();
    return node.invalid(text << "attribute 'pads': pad " << pads[i]
                             << " must be smaller than the kernel's size " << kernel[i % 2]);
  }
  return check_padding(node, info, pads);
}

}  // namespace sbn::ort
