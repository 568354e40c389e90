#pragma once

#include "kernels/registry.h"
#include "ort/custom_op.h"

namespace sbn::ort {

struct MaxPoolOp {
  using Attributes = MaxPoolAttributes;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo*);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output);

  const MaxPoolKernel* kernel;
  Attributes attributes;
};

}  // namespace sbn::ort
