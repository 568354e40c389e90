// The operators of our own domain. They are those of the op library for onnxruntime, and so is the
// interface through which they are called: here this runtime stands in for onnxruntime.
#pragma once

#include "kernels/parallel.h"
#include "native/operators.h"
#include "ort/abi.h"

namespace sbn::native {

// Null where there is none of that name.
const ort::CustomOp* custom_op(const Bytes& name);

// How an operator is called.
struct CustomCall {
  const Node* node;
  const Edge* edges;
  Value* values;  // by edge
  bool planning;  // only shapes are asked for, and no element of a tensor without data

  // Found while planning: bytes of scratch memory, and the constants that are read.
  int64_t scratch_bytes;
  bool* read;  // by edge; may be null

  // Given otherwise: as many bytes, and threads.
  char* scratch;
  Parallel parallel;
};

// Checks types and constant inputs, packs weights and chooses the kernel set in use.
Status* create_custom(const ort::CustomOp* op, const CustomCall& call, void** kernel);
void destroy_custom(const ort::CustomOp* op, void* kernel);

// Sets the outputs' types and shapes while planning; computes the outputs otherwise.
Status* call_custom(const ort::CustomOp* op, void* kernel, CustomCall* call);

}  // namespace sbn::native
