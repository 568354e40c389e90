#include "base/bits.h"
#include "base/exact_fma.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

// Calls start(c) and step(value, x, element of the window, c) for every output.
template <class Start, class Step>
SBN_INLINE void slide(const WindowShape& s, const float* x, float* y, Range rows, Start start,
                      Step step) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* image = x + row / s.out_h * s.height * s.width * s.channels;
    const int64_t top = row % s.out_h * s.stride_h - s.pad_top;
    const Range ys = window_taps(top, s.kernel_h, s.dilation_h, s.height);
    for (int64_t column = 0; column < s.out_w; ++column) {
      const int64_t left = column * s.stride_w - s.pad_left;
      const Range xs = window_taps(left, s.kernel_w, s.dilation_w, s.width);
      for (int64_t c = 0; c < s.channels; ++c) {
        float value = start(c);
        for (int64_t i = ys.begin; i < ys.end; ++i) {
          for (int64_t j = xs.begin; j < xs.end; ++j) {
            const int64_t pixel = (top + i * s.dilation_h) * s.width + left + j * s.dilation_w;
            value = step(value, load<float>(image + pixel * s.channels + c), i * s.kernel_w + j, c);
          }
        }
        store(y + (row * s.out_w + column) * s.channels + c, value);
      }
    }
  }
}

void pool(const WindowShape& s, const float* x, float lowest, float* y, Range rows) {
  slide(
      s, x, y, rows, [&](int64_t) { return lowest; },
      [](float value, float here, int64_t, int64_t) { return here > value ? here : value; });
}

void conv(const WindowShape& s, const float* x, const float* w, const float* bias, float* y,
          Range rows) {
  slide(
      s, x, y, rows, [&](int64_t c) { return load<float>(bias + c); },
      [&](float value, float here, int64_t element, int64_t c) {
        return exact_fma(here, load<float>(w + element * s.channels + c), value);
      });
}

}  // namespace

const FloatMaxPoolKernel float_max_pool_scalar = {pool};
const FloatDepthwiseConvKernel float_depthwise_conv_scalar = {conv};

}  // namespace sbn
