#pragma once

#include "kernels/registry.h"
#include "ort/custom_op.h"

namespace sbn::ort {

struct StochasticSignOp {
  using Attributes = StochasticSignAttributes;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output);

 private:
  // The numbers of samples and images.
  Status* read(const Call& call, const Tensor& x, StochasticSignNode* work) const;

  const StochasticSignKernel* kernel;
  Attributes attributes;
  SignTable table;
};

}  // namespace sbn::ort
