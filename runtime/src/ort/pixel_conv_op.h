// PixelConvThreshold, PixelConvScale, PixelConvScaleClamp and PixelConvQuantize.
#pragma once

#include "kernels/registry.h"
#include "ort/custom_op.h"
#include "ort/epilogue_inputs.h"

namespace sbn::ort {

template <Finish finish>
struct PixelConvOp {
  static constexpr Op kKernel =
      is_threshold(finish) ? Op::pixel_conv_threshold : Op::pixel_conv_float;
  using Attributes = PixelConvThresholdAttributes;
  Status* create(const Node& node, const Attributes& attributes, const KernelInfo* info);
  void destroy(const Node& node);
  Status* compute(Call& call) const;
  static bool infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* outputs);

 private:
  Status* set_weights(const Node& node, const Tensor& w, PixelConvShape* shape,
                      const PixelConvKernel** chosen) const;

  Isa isa;
  Attributes attributes;
  PixelConvShape shape;           // what the attributes and constant weights determine
  const PixelConvKernel* kernel;  // null while W is not constant
  void* weights;  // null while W is not constant
  EpilogueInputs epilogue;
};

}  // namespace sbn::ort
