// ConvThreshold, ConvScale, DenseThreshold and DenseScale.
#pragma once

#include "kernels/registry.h"
#include "ort/custom_op.h"

namespace sbn::ort {

// Inputs are X, W and then T, or scale and bias.
template <Op op>
struct ConvOp {
  using Attributes = ConvThresholdAttributes;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node& node);
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output);

 private:
  static constexpr bool kThreshold = op == Op::conv_threshold;
  Status* set_weights(const Node& node, const Tensor& w, ConvShape* shape,
                      const ConvKernel** chosen) const;

  Isa isa;
  ConvShape shape;           // what the attributes and constant weights determine
  const ConvKernel* kernel;  // null while W is not constant
  void* weights;
  int32_t* taps;
};

template <Op op>
struct DenseOp {
  using Attributes = DenseThresholdAttributes;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node& node);
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output);

 private:
  static constexpr bool kThreshold = op == Op::dense_threshold;
  Status* set_weights(const Node& node, const Tensor& w, DenseShape* shape,
                      const DenseKernel** chosen) const;

  Isa isa;
  DenseShape shape;
  const DenseKernel* kernel;
  void* weights;
};

extern template struct ConvOp<Op::conv_threshold>;
extern template struct ConvOp<Op::conv_scale>;
extern template struct DenseOp<Op::dense_threshold>;
extern template struct DenseOp<Op::dense_scale>;

// Reads and checks the inputs after X and W, which have one element an output.
template <class Products>
Status* read_epilogue(const Call& call, bool threshold, int64_t outputs, Products* node) {
  Tensor first;
  SBN_TRY(call.input(2, &first));
  SBN_TRY(call.node().expect(2, first, 1, &outputs));
  if (threshold) {
    node->threshold = first.as<int32_t>();
    return nullptr;
  }
  Tensor bias;
  SBN_TRY(call.input(3, &bias));
  SBN_TRY(call.node().expect(3, bias, 1, &outputs));
  node->scale = first.as<float>();
  node->bias = bias.as<float>();
  return nullptr;
}

}  // namespace sbn::ort
