#include "kernels/registry.h"

namespace sbn {

const KernelRow kKernelTable[] = {
#define SBN_KERNEL(op, variant, isa, features) \
  {Op::op, #op "_" #variant, Isa::isa, features, &op##_##variant},
#include "kernels/table.inc"
#undef SBN_KERNEL
};

const size_t kKernelCount = sizeof kKernelTable / sizeof *kKernelTable;

bool kernel_available(const KernelRow& row) {
  return isa_available(row.isa) && (row.features & ~cpu_features()) == 0;
}

}  // namespace sbn
