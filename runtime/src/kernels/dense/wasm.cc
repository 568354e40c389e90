#include "kernels/product/wasm.h"

#include "kernels/dense/bytes.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = wasm;

#define SBN_VECTOR(operation) product::operation
#define SBN_BYTES_TARGET
#include "kernels/dense/bytes.inc"
#undef SBN_BYTES_TARGET
#undef SBN_VECTOR

}  // namespace

const DenseKernel dense_threshold_wasm = kernel<product::Threshold>();
const DenseKernel dense_float_wasm = kernel<product::Float>();

}  // namespace sbn
