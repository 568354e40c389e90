// Stands in for onnxruntime: it registers the operators of this library and calls them one
// by one through the interface that onnxruntime calls them through, so that they check
// their inputs, prepare their weights and choose their kernels as they do there.
#pragma once

#include "phone/plan.h"

namespace sbn::phone {

// Registers the operators; must be called once, before the rest.
void register_operators();

// An operator of the plan with its prepared weights.
struct Layer {
  const ort::CustomOp* op;
  PlanNode* node;
  void* kernel;
};

// Prepares all operators with the kernel set in use. Ends the program where the plan asks
// for an operator that does not exist, or for one in a way that it does not accept.
Layer* create_layers(const Plan& plan);
void destroy_layers(const Plan& plan, Layer* layers);

// Computes one operator's outputs.
void run_layer(const Layer& layer);

}  // namespace sbn::phone
