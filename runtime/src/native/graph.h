// The part of an ONNX file that is run: its nodes, and the tensors between them.
#pragma once

#include "native/status.h"

namespace sbn::native {

using ort::ElementType;
using ort::Tensor;

// An element's bytes; 0 where tensors of that type are not supported.
int64_t bytes_of(ElementType type);

enum class Origin : uint8_t { kNone, kConstant, kInput, kComputed };

// A tensor of the graph.
struct Edge {
  const char* name;
  Origin origin;
  bool is_output;
  Tensor constant;        // where that is its origin; without data where none is needed to run
  void* constant_memory;  // of free()
};

// "'name'"
Message& operator<<(Message& message, const Edge& edge);

struct Attribute {
  enum Kind { kFloat = 1, kInt = 2, kString = 3, kTensor = 4, kFloats = 6, kInts = 7 };

  Bytes name;
  int64_t kind;
  float number;
  int64_t integer;
  Bytes bytes;  // of a string, or a TensorProto
  int64_t* integers;  // or the bits of floats
  size_t integer_count;
};

struct Node {
  Bytes name, op, domain;  // the first output's name where the file has none
  int32_t* inputs;  // edges; -1 where one is left out
  int32_t* outputs;
  size_t input_count, output_count;
  Attribute* attributes;  // while the model is loaded
  size_t attribute_count;
  bool channels_last;  // of a Conv: whether it writes [N, H, W, C]

  // The attribute of that name and kind, or null.
  const Attribute* find(const char* attribute, Attribute::Kind kind) const;
  // The value of an attribute that is an integer.
  int64_t integer(const char* attribute, int64_t otherwise) const;
};

// "QuantizeLinear node 'name'"
Message& operator<<(Message& message, const Node& node);

// An input or output as the file declares it.
struct Port {
  int32_t edge;
  ElementType type;  // kUndefined where an output's is not stated
  size_t rank;
  int64_t dims[ort::kMaxRank];  // -1 where a size is open
  bool has_default;             // of an input: a number
  int64_t default_number;       // 1 where there is none: what a model is loaded with

  bool is_number() const { return type == ElementType::kInt64 && rank == 0; }
};

struct MetadataEntry {
  const char* key;
  const char* value;
};

// Plain data: zeroes are an empty graph.
struct Graph {
  Pool pool;
  Edge* edges;
  size_t edge_count;
  Node* nodes;
  size_t node_count;
  Port* inputs;
  size_t input_count;
  Port* outputs;
  size_t output_count;
  MetadataEntry* metadata;
  size_t metadata_count;

  void release();
};

// Reads a file. All but attributes are copies.
Status* read_graph(const Bytes& file, Graph* graph);

// Reads a TensorProto into memory of its own, which free() gives back.
Status* read_constant(const Bytes& proto, const Message& what, Tensor* tensor, void** memory);

}  // namespace sbn::native
