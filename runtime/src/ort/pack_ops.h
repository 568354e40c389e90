// Pack, PackThreshold, Unpack and Quantize.
#pragma once

#include "kernels/registry.h"
#include "ort/custom_op.h"

namespace sbn::ort {

struct PackOp {
  using Attributes = NoAttributes;
  Status* create(const Node&, const Attributes&, const KernelInfo*);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes&, const KnownShape* inputs, KnownShape* output);

  const PackKernel* kernel;
};

struct PackThresholdOp {
  using Attributes = NoAttributes;
  Status* create(const Node&, const Attributes&, const KernelInfo*);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes&, const KnownShape* inputs, KnownShape* output);

  const PackThresholdKernel* kernel;
};

struct UnpackOp {
  using Attributes = UnpackAttributes;
  Status* create(const Node&, const Attributes& attributes, const KernelInfo*);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output);

  const UnpackKernel* kernel;
  int64_t channels;
};

struct QuantizeOp {
  using Attributes = NoAttributes;
  Status* create(const Node&, const Attributes&, const KernelInfo*);
  void destroy(const Node&) {}
  Status* compute(Call& call) const;
  static bool infer(const Attributes&, const KnownShape* inputs, KnownShape* output);

  const QuantizeKernel* kernel;
};

}  // namespace sbn::ort
