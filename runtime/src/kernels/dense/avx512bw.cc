#include "kernels/dense/bytes.h"
#include "kernels/product/avx512bw.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = avx512bw;

#define SBN_VECTOR(operation) _mm512_##operation
#define SBN_BYTES_TARGET SBN_TARGET_AVX512BW
#include "kernels/dense/bytes.inc"
#undef SBN_BYTES_TARGET
#undef SBN_VECTOR

}  // namespace

const DenseKernel dense_threshold_avx512bw = kernel<product::Threshold>();
const DenseKernel dense_float_avx512bw = kernel<product::Float>();

}  // namespace sbn
