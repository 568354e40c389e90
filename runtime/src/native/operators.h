// What a node computes with: an operator of ONNX, or one of our own domain.
#pragma once

#include "kernels/registry.h"
#include "native/graph.h"

namespace sbn::ort {

// Tensors as the operators of our domain see them.
struct Value : Tensor {};

}  // namespace sbn::ort

namespace sbn::native {

using ort::Value;

// Numbers that an operator derives from its attributes.
struct Settings {
  int64_t list[ort::kMaxRank + 4];
};

// The constants of a product of float matrices, as its kernel reads them.
struct PackedProduct {
  const FloatProductKernel* kernel;
  FloatProductShape shape;
  char* weights;  // of one group after the other
  int64_t group_bytes;
  float* bias;
};

// A node and the tensors that it reads and writes. While memory is planned, `data` is null where
// the elements are not known yet.
struct Operands {
  const Node& node;
  const Settings& settings;
  Value* values;  // by edge
  const PackedProduct* product;
  void* scratch;

  bool has(size_t i) const { return i < node.input_count && node.inputs[i] >= 0; }
  const Value& input(size_t i) const { return values[node.inputs[i]]; }
  bool is_float(size_t i) const { return has(i) && input(i).type == ElementType::kFloat; }
  Value& output() const { return values[node.outputs[0]]; }

  template <class T>
  const T* in(size_t i) const {
    return input(i).as<T>();
  }
  template <class T>
  T* out() const {
    return static_cast<T*>(output().data);
  }

  // "Softmax node 'name': reason"
  Status* invalid(const char* reason) const;
};

// An operator of ONNX, with one output.
struct OnnxOp {
  const char* name;
  size_t least_inputs, most_inputs;
  // Reads the attributes.
  Status* (*create)(const Node& node, Settings* settings);
  // Checks the inputs' types and sizes, and sets the output's.
  Status* (*shape)(const Operands& operands);
  // Null where the output is the first input's memory, seen otherwise.
  void (*run)(const Operands& operands);
  // Bytes of scratch memory that a run needs; null where it needs none.
  Size (*scratch)(const Operands& operands) = nullptr;
  // Packs all inputs but the first, which must be constant; null where inputs are read as they are.
  Status* (*pack)(const Operands& operands, Pool* pool, PackedProduct* product) = nullptr;
};

extern const OnnxOp kConv, kGemm, kMatMul;

// Null where there is none of that name.
const OnnxOp* onnx_op(const Bytes& name);

}  // namespace sbn::native
