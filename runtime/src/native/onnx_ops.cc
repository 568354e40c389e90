// The operators of ONNX, by name.
#include "native/operators.h"

namespace sbn::native {

Status* Operands::invalid(const char* reason) const {
  Message text;
  return fail(text << node << ": " << reason);
}

const OnnxOp* onnx_op(const Bytes& name) {
  const OnnxOps all[] = {kElementwiseOps, kFloatProductOps, kMoveOps,
                         kReduceOps,      kViewOps,         kWindowOps};
  for (const OnnxOps& ops : all) {
    for (size_t i = 0; i < ops.count; ++i) {
      if (name == ops.list[i].name) return ops.list + i;
    }
  }
  return nullptr;
}

}  // namespace sbn::native
