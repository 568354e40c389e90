// What a node computes with: an operator of ONNX, or one of our own domain.
#pragma once

#include "kernels/parallel.h"
#include "kernels/registry.h"
#include "native/graph.h"

namespace sbn::ort {

// Tensors as the operators of our domain see them.
struct Value : Tensor {};

}  // namespace sbn::ort

namespace sbn::native {

using ort::Value;

// What slides over an input: of a Conv or a pool. It has three axes; those that a tensor lacks
// come first and have kernels and inputs of size 1.
struct Window {
  static constexpr size_t kAxes = 3;

  size_t given;  // how many axes the attributes are for; 0 where they say nothing
  int64_t kernel[kAxes], strides[kAxes], dilations[kAxes], before[kAxes], after[kAxes];
};

// Numbers that an operator derives from its attributes.
struct Settings {
  int64_t list[ort::kMaxRank + 4];
  float numbers[2];
  Window window;
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
  Parallel parallel;

  // Scratch memory of the first task, and of the others, so many bytes for each.
  char* scratch;
  char* worker_scratch;
  int64_t worker_bytes;
  int64_t threads;  // most tasks that have such memory

  bool has(size_t i) const { return i < node.input_count && node.inputs[i] >= 0; }
  const Value& input(size_t i) const { return values[node.inputs[i]]; }
  bool is_float(size_t i) const { return has(i) && input(i).type == ElementType::kFloat; }
  Value& output(size_t i = 0) const { return values[node.outputs[i]]; }

  template <class T>
  const T* in(size_t i) const {
    return input(i).as<T>();
  }
  template <class T>
  T* out() const {
    return static_cast<T*>(output().data);
  }

  // Calls body(range) for ranges that make up [0, units), on all threads where that is worth it.
  // A unit costs as much as so many elements of a simple loop.
  template <class Body>
  void each_range(int64_t units, double cost, Body body) const {
    constexpr double kTaskCost = 1 << 15;
    parallel_ranges(parallel, units, cost * static_cast<double>(units), kTaskCost, body);
  }

  // The same, body(range, scratch), with scratch memory of its own for each range.
  template <class Body>
  void each_range_with_scratch(int64_t units, double cost, Body body) const {
    constexpr double kTaskCost = 1 << 15;
    const int64_t tasks =
        task_count(min(units, threads), cost * static_cast<double>(units), kTaskCost);
    parallel_for(parallel, tasks, [&](int64_t task) {
      char* mine = task ? worker_scratch + (task - 1) * worker_bytes : scratch;
      body(part_of(units, task, tasks), mine);
    });
  }

  // "Softmax node 'name': reason"
  Status* invalid(const char* reason) const;
};

constexpr size_t kAny = SIZE_MAX;

// An operator of ONNX.
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
  // What is used where those inputs are not constant; null where there is no such.
  const OnnxOp* unpacked = nullptr;
  size_t most_outputs = 1;
  // Whether only the sizes of its inputs are read, no elements.
  bool reads_sizes = false;
};

// Some operators, in a table.
struct OnnxOps {
  const OnnxOp* list;
  size_t count;

  template <size_t n>
  constexpr OnnxOps(const OnnxOp (&ops)[n]) : list(ops), count(n) {}
};
extern const OnnxOps kElementwiseOps, kFloatProductOps, kMoveOps, kReduceOps, kViewOps, kWindowOps;

// Null where there is none of that name.
const OnnxOp* onnx_op(const Bytes& name);

}  // namespace sbn::native
