// The kernel table: what it holds and how a kernel is chosen from it.
#pragma once

#include <stddef.h>

#include "kernels/conv/conv.h"
#include "kernels/cpu.h"
#include "kernels/dense/dense.h"
#include "kernels/max_pool/max_pool.h"
#include "kernels/pack/pack.h"

namespace sbn {

enum class Op {
  pack,
  pack_threshold,
  unpack,
  max_pool,
  conv_threshold,
  conv_scale,
  dense_threshold,
  dense_scale,
};

// The type of an op's kernels.
template <Op op>
struct KernelType;
template <>
struct KernelType<Op::pack> { using type = PackKernel; };
template <>
struct KernelType<Op::pack_threshold> { using type = PackThresholdKernel; };
template <>
struct KernelType<Op::unpack> { using type = UnpackKernel; };
template <>
struct KernelType<Op::max_pool> { using type = MaxPoolKernel; };
template <>
struct KernelType<Op::conv_threshold> { using type = ConvKernel; };
template <>
struct KernelType<Op::conv_scale> { using type = ConvKernel; };
template <>
struct KernelType<Op::dense_threshold> { using type = DenseKernel; };
template <>
struct KernelType<Op::dense_scale> { using type = DenseKernel; };

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
    if (row.op != op || row.isa > isa || !kernel_available(row)) continue;
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
