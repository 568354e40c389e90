// All operators of the domain, as onnxruntime's custom ops.
#pragma once

#include <stddef.h>

#include "ort/custom_op.h"

namespace sbn::ort {

extern const RegisteredOp kOps[kOpCount];

}  // namespace sbn::ort
