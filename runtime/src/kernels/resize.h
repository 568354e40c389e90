// The size of what a window that slides over a padded input gives.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"

namespace sbn {

// Sets out_h and out_w; returns whether the kernel fits into the padded input.
template <class Shape>
SBN_INLINE bool resize(Shape* s) {
  const auto axis = [](int64_t size, int64_t pads, int64_t kernel, int64_t dilation,
                       int64_t stride, int64_t* out) {
    const Size reach = Size(kernel - 1) * dilation + 1;
    const Size all = Size(size) + pads;
    if (!reach.valid() || !all.valid() || all.value() < reach.value()) return false;
    *out = (all.value() - reach.value()) / stride + 1;
    return true;
  };
  return axis(s->height, s->pad_top + s->pad_bottom, s->kernel_h, s->dilation_h, s->stride_h,
              &s->out_h) &&
         axis(s->width, s->pad_left + s->pad_right, s->kernel_w, s->dilation_w, s->stride_w,
              &s->out_w);
}

}  // namespace sbn
