// The plan: the sbn operators of a model in their order, with the tensors that they read
// and write. sbn_deploy/remote/plan.py writes it and says how it is laid out.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ort/node.h"

namespace sbn::phone {

enum class Origin : int64_t { kWritten, kConstant, kGiven, kCount };

struct PlanTensor {
  ort::Tensor tensor;
  Origin origin;
  int64_t bytes;
  uint32_t checksum;  // of a written tensor, as the host found it
};

struct PlanAttribute {
  const char* name;
  bool list;
  size_t count;
  int64_t* values;
};

struct PlanNode {
  const char* op;
  const char* name;
  size_t input_count, output_count, attribute_count;
  PlanTensor* inputs[8];
  PlanTensor* outputs[8];
  PlanAttribute* attributes;
};

struct Plan {
  size_t tensor_count, node_count;
  PlanTensor* tensors;
  PlanNode* nodes;
};

// Reads a plan and makes room for what its operators write. Ends the program where the
// file is none, is truncated, or contradicts itself.
Plan read_plan(const char* path);

}  // namespace sbn::phone
