// MaxPool and QuantizedMaxPool.
#pragma once

#include "kernels/registry.h"
#include "ort/custom_op.h"

namespace sbn::ort {

template <Op op>
struct MaxPoolOp {
  using Attributes = MaxPoolAttributes;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output);

  const KernelOf<op>* kernel;
  Attributes attributes;
};

}  // namespace sbn::ort
