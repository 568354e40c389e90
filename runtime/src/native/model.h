// A model as it is loaded, and what one thread runs it with.
#pragma once

#include "native/custom_ops.h"
#include "native/graph.h"
#include "native/operators.h"
#include "native/threads.h"

namespace sbn::native {

// A node with what was prepared for it. Either `onnx` or `custom` is its operator.
struct Step {
  const Node* node;
  const OnnxOp* onnx;
  Settings settings;
  PackedProduct product;
  const ort::CustomOp* custom;
  void* kernel;
};

// Plain data that does not change once it is loaded.
struct Model {
  Graph graph;
  Step* steps;       // one for each node
  bool* sets_sizes;  // for each input: whether the sizes of tensors depend on its number

  void release();
};

// When memory is in use, in steps of the model, both included; and where it lies.
struct Block {
  int64_t bytes;
  int64_t first, last;
  int64_t offset;
};

// Who times the steps of a run: is called after each that computes something, with its number.
struct Watch {
  void (*ended)(void* state, size_t step);  // null for nobody
  void* state;
};

// Plain data. Tensors of the graph, with the memory that they were given.
struct Context {
  const Model* model;
  Pool pool;
  Value* values;     // by edge
  Block* blocks;     // by edge, then by step: scratch memory
  int64_t* numbers;  // by input: its value, where it is a number
  int64_t** small;   // by edge: numbers that are known when memory is planned
  bool* known;       // by step: whether its output is
  int64_t* order;    // of blocks
  bool* read;        // by edge, while a model is loaded: constants that are needed to run

  int64_t batch;   // that memory was planned for; 0 where it was not
  int64_t needed;  // bytes
  char* arena;
  int64_t arena_bytes;
  void* arena_memory;  // of malloc; null where the caller gave the arena
  bool arena_given;

  Threads* threads;        // null for one
  int64_t thread_count;    // 0 stands for one
  int64_t worker_bytes;    // scratch memory of a worker, found when memory is planned
  void* worker_memory;     // of malloc, for all workers

  Watch watch;

  void release();
};

// Reads a file and prepares it with the kernel set in use.
Status* load_model(const Bytes& file, Model* model);

Status* create_context(const Model& model, Context* context);
// Sets the number of an input that is one; the plan no longer holds where sizes depend on it.
void set_number(Context* context, size_t input, int64_t number);
// Takes memory of the caller's in place of the context's own; null for its own again.
void set_arena(Context* context, void* memory, int64_t bytes);
// Runs on so many threads from now on, which are the caller's and others.
Status* set_threads(Context* context, int64_t count);
// Finds the sizes of all tensors for `batch` images, and where they lie.
Status* plan(Context* context, int64_t batch);
// Plans anew where that is needed, and makes room.
Status* prepare(Context* context, int64_t batch);
// Computes all nodes of what was prepared. `inputs` has their memory; null for numbers.
Status* run(Context* context, const void* const* inputs);

}  // namespace sbn::native
