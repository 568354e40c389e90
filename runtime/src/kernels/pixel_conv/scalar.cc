#include "kernels/pixel_conv/gather.h"
#include "kernels/product/scalar.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using scalar::kLanes;

int64_t weight_bytes(const PixelConvShape& s) { return s.outputs * s.products; }

void pack_weights(const PixelConvShape& s, const int8_t* w, void* packed) {
  __builtin_memcpy(packed, w, static_cast<size_t>(weight_bytes(s)));
}

SBN_INLINE int32_t sum_of(const uint8_t* pixels, const int8_t* weights, int64_t count) {
  int32_t sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += int32_t{pixels[k]} * weights[k];
  return sum;
}

void run_threshold(const PixelConvRun& run, Range pixels) {
  const PixelConvShape& s = *run.shape;
  const auto* weights = static_cast<const int8_t*>(run.weights);
  const int32_t* threshold = run.output.epilogue.threshold;
  PixelGather gather(run, pixels.begin);
  uint8_t row[kMaxPixelProducts];
  for (int64_t pixel = pixels.begin; pixel < pixels.end; ++pixel) {
    gather.next(row);
    for (int64_t first = 0; first < s.outputs; first += 64) {
      uint64_t word = 0;
      for (int64_t o = first; o < min(first + 64, s.outputs); ++o) {
        const int32_t sum = sum_of(row, weights + o * s.products, s.products);
        word |= uint64_t{sum < load<int32_t>(threshold + o)} << (o - first);
      }
      store(run.output.bits(pixel) + first / 64, word);
    }
  }
}

void run_float(const PixelConvRun& run, Range pixels) {
  const PixelConvShape& s = *run.shape;
  const auto* weights = static_cast<const int8_t*>(run.weights);
  PixelGather gather(run, pixels.begin);
  uint8_t row[kMaxPixelProducts];
  for (int64_t pixel = pixels.begin; pixel < pixels.end; ++pixel) {
    gather.next(row);
    for (int64_t o = 0; o < s.outputs; ++o) {
      const int32_t sum = sum_of(row, weights + o * s.products, s.products);
      scalar::finish_one(run.output, sum, pixel, o);
    }
  }
}

}  // namespace

const PixelConvKernel pixel_conv_threshold_scalar = {weight_bytes, pack_weights, run_threshold};
const PixelConvKernel pixel_conv_float_scalar = {weight_bytes, pack_weights, run_float};

}  // namespace sbn
