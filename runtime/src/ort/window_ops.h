// FloatMaxPool and FloatDepthwiseConv.
#pragma once

#include "kernels/registry.h"
#include "ort/custom_op.h"

namespace sbn::ort {

struct FloatMaxPoolOp {
  using Attributes = FloatMaxPoolAttributes;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output);

  const FloatMaxPoolKernel* kernel;
  WindowShape shape;  // what the attributes determine
  float lowest;
};

struct FloatDepthwiseConvOp {
  using Attributes = FloatDepthwiseConvAttributes;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output);

  const FloatDepthwiseConvKernel* kernel;
  WindowShape shape;  // what the attributes determine
};

}  // namespace sbn::ort
