#include "base/bits.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

void run(const MaxPoolShape& s, const uint64_t* x, const uint64_t* minimum, uint64_t* y,
         Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const uint64_t* image = x + row / s.out_h * s.height * s.width * s.elements;
    const Range ys = pool_window(row % s.out_h, s.stride_h, s.pad_top, s.kernel_h, s.height);
    for (int64_t column = 0; column < s.out_w; ++column) {
      const Range xs = pool_window(column, s.stride_w, s.pad_left, s.kernel_w, s.width);
      for (int64_t word = 0; word < s.elements; ++word) {
        const uint64_t turned = load<uint64_t>(minimum + word);
        uint64_t all = ~uint64_t{0};
        for (int64_t i = ys.begin; i < ys.end; ++i) {
          for (int64_t j = xs.begin; j < xs.end; ++j) {
            all &= load<uint64_t>(image + (i * s.width + j) * s.elements + word) ^ turned;
          }
        }
        store(y + (row * s.out_w + column) * s.elements + word, all ^ turned);
      }
    }
  }
}

void run_quantized(const MaxPoolShape& s, const int16_t* x, const uint64_t* minimum, int16_t* y,
                   Range rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int16_t* image = x + row / s.out_h * s.height * s.width * s.elements;
    const Range ys = pool_window(row % s.out_h, s.stride_h, s.pad_top, s.kernel_h, s.height);
    for (int64_t column = 0; column < s.out_w; ++column) {
      const Range xs = pool_window(column, s.stride_w, s.pad_left, s.kernel_w, s.width);
      for (int64_t c = 0; c < s.elements; ++c) {
        const int turned = load<uint64_t>(minimum + c / 64) >> c % 64 & 1 ? -1 : 0;
        int most = INT16_MIN;
        for (int64_t i = ys.begin; i < ys.end; ++i) {
          for (int64_t j = xs.begin; j < xs.end; ++j) {
            const int here = load<int16_t>(image + (i * s.width + j) * s.elements + c) ^ turned;
            most = here > most ? here : most;
          }
        }
        store(y + (row * s.out_w + column) * s.elements + c, static_cast<int16_t>(most ^ turned));
      }
    }
  }
}

}  // namespace

const MaxPoolKernel max_pool_scalar = {run};
const QuantizedMaxPoolKernel quantized_max_pool_scalar = {run_quantized};

}  // namespace sbn
