// The kernel table: what it holds and how a kernel is chosen from it.
#pragma once

#include <stddef.h>

#include <type_traits>

#include "kernels/conv/conv.h"
#include "kernels/cpu.h"
#include "kernels/dense/dense.h"
#include "kernels/float_product/float_product.h"
#include "kernels/max_pool/max_pool.h"
#include "kernels/pack/pack.h"
#include "kernels/pixel_conv/pixel_conv.h"
#include "kernels/stochastic_sign/stochastic_sign.h"
#include "kernels/window/window.h"

namespace sbn {

// Products end in thresholds, or in floats by one epilogue for all operators that do.
enum class Op {
  pack,
  pack_threshold,
  unpack,
  quantize,
  quantize_linear,
  max_pool,
  quantized_max_pool,
  stochastic_sign,
  conv_threshold,
  conv_float,
  dense_threshold,
  dense_float,
  pixel_conv_threshold,
  pixel_conv_float,
  float_max_pool,
  float_depthwise_conv,
  float_product,
};

constexpr bool is_conv(Op op) { return op == Op::conv_threshold || op == Op::conv_float; }
constexpr bool is_dense(Op op) { return op == Op::dense_threshold || op == Op::dense_float; }
constexpr bool is_pixel_conv(Op op) {
  return op == Op::pixel_conv_threshold || op == Op::pixel_conv_float;
}
constexpr bool is_threshold(Op op) {
  return op == Op::conv_threshold || op == Op::dense_threshold || op == Op::pixel_conv_threshold;
}

// The type of an op's kernels.
template <Op op>
struct KernelType {
  using Other = std::conditional_t<is_dense(op), DenseKernel, PixelConvKernel>;
  using type = std::conditional_t<is_conv(op), ConvKernel, Other>;
  static_assert(is_conv(op) || is_dense(op) || is_pixel_conv(op), "others have types of their own");
};
template <>
struct KernelType<Op::pack> { using type = PackKernel; };
template <>
struct KernelType<Op::pack_threshold> { using type = PackThresholdKernel; };
template <>
struct KernelType<Op::unpack> { using type = UnpackKernel; };
template <>
struct KernelType<Op::quantize> { using type = QuantizeKernel; };
template <>
struct KernelType<Op::quantize_linear> { using type = QuantizeLinearKernel; };
template <>
struct KernelType<Op::max_pool> { using type = MaxPoolKernel; };
template <>
struct KernelType<Op::float_max_pool> { using type = FloatMaxPoolKernel; };
template <>
struct KernelType<Op::float_depthwise_conv> { using type = FloatDepthwiseConvKernel; };
template <>
struct KernelType<Op::float_product> { using type = FloatProductKernel; };
template <>
struct KernelType<Op::quantized_max_pool> { using type = QuantizedMaxPoolKernel; };
template <>
struct KernelType<Op::stochastic_sign> { using type = StochasticSignKernel; };

template <Op op>
using KernelOf = typename KernelType<op>::type;

#define SBN_KERNEL(op, variant, isa, features) extern const KernelOf<Op::op> op##_##variant;
#include "kernels/table.inc"
#undef SBN_KERNEL

struct KernelRow {
  Op op;
  const char* name;  // "op_variant"
  Isa isa;
  uint32_t features;
  const void* kernel;  // a KernelOf<op>
};

extern const KernelRow kKernelTable[];
extern const size_t kKernelCount;

// Whether this machine can run the kernel.
bool kernel_available(const KernelRow& row);

// The best kernel of the set `isa` or below that fits(kernel). Every op has a scalar
// kernel that fits whatever an op accepts.
template <Op op, class Fits>
const KernelOf<op>* select_kernel(Isa isa, Fits fits) {
  const KernelOf<op>* best = nullptr;
  for (size_t i = 0; i < kKernelCount; ++i) {
    const KernelRow& row = kKernelTable[i];
    if (row.op != op || !isa_includes(isa, row.isa) || !kernel_available(row)) continue;
    const auto* kernel = static_cast<const KernelOf<op>*>(row.kernel);
    if (fits(*kernel)) best = kernel;
  }
  return best;
}

template <Op op>
const KernelOf<op>* select_kernel(Isa isa) {
  return select_kernel<op>(isa, [](const KernelOf<op>&) { return true; });
}

}  // namespace sbn
