// Binary convolutions and matrix products: Conv* and Dense*.
#pragma once

#include "kernels/registry.h"
#include "ort/custom_op.h"
#include "ort/epilogue_inputs.h"

namespace sbn::ort {

// What is prepared when a node is created, as far as its inputs are constant.
struct Prepared {
  void* weights;
  void* offsets;

  void destroy(const Node& node) {
    if (weights) node.release(weights);
    if (offsets) node.release(offsets);
  }
};

template <Finish finish>
struct ConvOp {
  static constexpr Op kKernel = is_threshold(finish) ? Op::conv_threshold : Op::conv_float;
  using Attributes =
      std::conditional_t<is_threshold(finish), ConvThresholdAttributes, ConvScaleAttributes>;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node& node);
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* outputs);

 private:
  Status* set_weights(const Node& node, const Tensor& w, ConvShape* shape,
                      const ConvKernel** chosen) const;
  Status* prepare_offsets(const Node& node, const Tensor& w);

  Isa isa;
  Attributes attributes;
  ConvShape shape;           // what the attributes and constant weights determine
  const ConvKernel* kernel;  // null while W is not constant
  Prepared prepared;
  EpilogueInputs epilogue;
};

template <Finish finish>
struct DenseOp {
  static constexpr Op kKernel = is_threshold(finish) ? Op::dense_threshold : Op::dense_float;
  using Attributes =
      std::conditional_t<is_threshold(finish), DenseThresholdAttributes, DenseScaleAttributes>;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node& node);
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* outputs);

 private:
  Status* set_weights(const Node& node, const Tensor& w, DenseShape* shape,
                      const DenseKernel** chosen) const;
  Status* prepare_offsets(const Node& node);

  Isa isa;
  Attributes attributes;
  DenseShape shape;
  const DenseKernel* kernel;
  Prepared prepared;
  EpilogueInputs epilogue;
};

inline void set_attributes(const ConvThresholdAttributes&, Epilogue*) {}
inline void set_attributes(const DenseThresholdAttributes&, Epilogue*) {}

template <class Attributes>
void set_attributes(const Attributes& attributes, Epilogue* epilogue) {
  epilogue->dot_low = static_cast<int32_t>(attributes.dot_range[0]);
  epilogue->dot_high = static_cast<int32_t>(attributes.dot_range[1]);
  epilogue->dot_offset = static_cast<int32_t>(attributes.dot_offset);
}

}  // namespace sbn::ort
