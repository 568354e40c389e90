#include "kernels/dense/bytes.h"
#include "kernels/product/avx2.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = avx2;

#define SBN_VECTOR(operation) _mm256_##operation
#define SBN_BYTES_TARGET SBN_TARGET_AVX2
#include "kernels/dense/bytes.inc"
#undef SBN_BYTES_TARGET
#undef SBN_VECTOR

}  // namespace

const DenseKernel dense_threshold_avx2 = kernel<product::Threshold>();
const DenseKernel dense_float_avx2 = kernel<product::Float>();

}  // namespace sbn
