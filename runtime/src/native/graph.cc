#include "native/graph.h"

#include <stdlib.h>
#include <string.h>

#include "native/protobuf.h"

namespace sbn::native {
namespace {

// More than any file of ours has; they bound the time that a damaged one takes.
constexpr size_t kMostNodes = 1 << 14;
constexpr size_t kMostEdges = 1 << 17;
constexpr size_t kMostPorts = 1 << 10;
// The memory that a node and a tensor take, about. A file may ask for ten times its size and a MiB.
constexpr size_t kNodeBytes = 768, kEdgeBytes = 400;
constexpr int64_t kMostElements = int64_t{1} << 40;
constexpr int64_t kOpset = 20;
constexpr int64_t kOwnOpset = 1;

Status* damaged(const char* what) {
  Message text;
  return fail(text << "the file is damaged: " << what << " cannot be read");
}

// Fields of a message, and where it is damaged what it was.
template <class Body>
Status* each_field(const Bytes& message, const char* what, Body body) {
  Fields fields(message);
  while (fields.next()) SBN_TRY(body(fields));
  return fields.damaged() ? damaged(what) : nullptr;
}

size_t count_of(const Bytes& message, uint32_t number, Fields::Kind kind) {
  size_t count = 0;
  Fields fields(message);
  while (fields.next()) count += fields.is(number, kind);
  return count;
}

// The bits of floats, which may be packed, as a file has them.
template <class Body>
Status* each_float(const Fields& field, const char* what, Body body) {
  if (field.kind() == Fields::kFixed32) return body(field.value());
  const Bytes list = field.bytes();
  if (field.kind() != Fields::kBytes) return nullptr;
  if (list.size % sizeof(float)) return damaged(what);
  for (size_t i = 0; i < list.size; i += sizeof(float)) {
    uint32_t bits = 0;
    memcpy(&bits, list.data + i, sizeof bits);
    SBN_TRY(body(uint64_t{bits}));
  }
  return nullptr;
}

// Integers, which may be packed, as a file has them.
template <class Body>
Status* each_integer(const Fields& field, const char* what, Body body) {
  if (field.kind() == Fields::kVarint) return body(field.value());
  Bytes list = field.bytes();
  while (field.kind() == Fields::kBytes && list.size) {
    uint64_t value = 0;
    if (!next_varint(&list, &value)) return damaged(what);
    SBN_TRY(body(value));
  }
  return nullptr;
}

size_t varints_in(const Bytes& list) {
  size_t count = 0;
  for (size_t i = 0; i < list.size; ++i) count += !(list.data[i] & 0x80);
  return count;
}

Bytes as_bytes(const char* text) { return {reinterpret_cast<const uint8_t*>(text), strlen(text)}; }

// The parts of a TensorProto.
struct TensorParts {
  Bytes name;
  Tensor tensor;
  bool external = false;
  bool raw = false;
  Bytes raw_data;
};

enum TensorField : uint32_t {
  kDims = 1,
  kDataType = 2,
  kFloatData = 4,
  kInt32Data = 5,
  kInt64Data = 7,
  kTensorName = 8,
  kRawData = 9,
  kUint64Data = 11,
  kExternalData = 13,
  kDataLocation = 14
};

Status* read_parts(const Bytes& proto, TensorParts* parts) {
  return each_field(proto, "a tensor", [&](const Fields& f) -> Status* {
    Tensor& tensor = parts->tensor;
    switch (f.number()) {
      case kDims:
        return each_integer(f, "a tensor", [&](uint64_t size) -> Status* {
          if (tensor.rank == ort::kMaxRank) return fail("a tensor has more than 8 dimensions");
          tensor.dims[tensor.rank++] = static_cast<int64_t>(size);
          return nullptr;
        });
      case kDataType:
        tensor.type = static_cast<ElementType>(static_cast<int>(f.value() & 0xff));
        return nullptr;
      case kTensorName:
        parts->name = f.bytes();
        return nullptr;
      case kRawData:
        parts->raw = true, parts->raw_data = f.bytes();
        return nullptr;
      case kExternalData:
        parts->external = true;
        return nullptr;
      case kDataLocation:
        parts->external |= f.value() != 0;
        return nullptr;
      default:
        return nullptr;
    }
  });
}

// Copies the elements that are fields of their own.
class TypedData {
 public:
  TypedData(const Tensor& tensor, char* to, size_t bytes)
      : type_(tensor.type),
        size_(static_cast<size_t>(bytes_of(tensor.type))),
        at_(to),
        end_(to + bytes) {}

  Status* read(const Bytes& proto) {
    SBN_TRY(each_field(proto, "a tensor", [&](const Fields& f) -> Status* {
      const bool integers = (f.number() == kInt32Data && size_ <= 4) ||
                            (f.number() == kInt64Data && type_ == ElementType::kInt64) ||
                            (f.number() == kUint64Data && type_ == ElementType::kUint64);
      if (f.number() == kFloatData && type_ == ElementType::kFloat) return floats(f);
      if (!integers || type_ == ElementType::kFloat) return nullptr;
      return each_integer(f, "a tensor", [&](uint64_t value) { return put(&value, size_); });
    }));
    return at_ == end_ ? nullptr : damaged("the elements of a tensor");
  }

 private:
  Status* floats(const Fields& f) {
    const uint64_t one = f.value();
    if (f.kind() == Fields::kFixed32) return put(&one, sizeof(float));
    return f.kind() == Fields::kBytes ? put(f.bytes().data, f.bytes().size) : nullptr;
  }

  Status* put(const void* from, size_t bytes) {
    if (static_cast<size_t>(end_ - at_) < bytes) return damaged("the elements of a tensor");
    if (bytes) memcpy(at_, from, bytes);
    at_ += bytes;
    return nullptr;
  }

  ElementType type_;
  size_t size_;
  char* at_;
  char* end_;
};

// Names of edges.
class Names {
 public:
  Status* init(Graph* graph, size_t most) {
    graph_ = graph;
    most_ = most;
    while (slots_ < 2 * most) slots_ *= 2;
    SBN_TRY(graph->pool.array(most, &graph->edges));
    SBN_TRY(graph->pool.array(most, &names_));
    return graph->pool.array(slots_, &table_);
  }

  // The edge of that name, which is made where there is none. The empty name is edge -1.
  Status* edge(const Bytes& name, int32_t* to) {
    *to = -1;
    if (name.size == 0) return nullptr;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < name.size; ++i) hash = (hash ^ name.data[i]) * 0x100000001b3;
    for (size_t slot = hash;; ++slot) {
      int32_t& found = table_[slot & (slots_ - 1)];
      if (found && !(names_[found - 1] == name)) continue;
      if (!found) {
        if (graph_->edge_count == most_) return damaged("the names of tensors");
        Edge& made = graph_->edges[graph_->edge_count];
        SBN_TRY(graph_->pool.text(name, &made.name));
        names_[graph_->edge_count++] = name;
        found = static_cast<int32_t>(graph_->edge_count);
      }
      *to = found - 1;
      return nullptr;
    }
  }

 private:
  Graph* graph_ = nullptr;
  size_t most_ = 0, slots_ = 64;
  Bytes* names_ = nullptr;
  int32_t* table_ = nullptr;  // edges, counted from 1
};

Status* read_attribute(const Bytes& proto, Pool* pool, Attribute* to) {
  enum : uint32_t { kName = 1, kF = 2, kI = 3, kS = 4, kT = 5, kFloats = 7, kIntegers = 8, kType = 20 };
  size_t integers = 0;
  SBN_TRY(each_field(proto, "an attribute", [&](const Fields& f) -> Status* {
    if (f.number() == kIntegers) {
      integers += f.kind() == Fields::kBytes ? varints_in(f.bytes()) : f.kind() == Fields::kVarint;
    } else if (f.number() == kFloats) {
      integers += f.kind() == Fields::kBytes ? f.bytes().size / sizeof(float)
                                             : f.kind() == Fields::kFixed32;
    }
    return nullptr;
  }));
  SBN_TRY(pool->array(integers, &to->integers));
  const auto add = [&](uint64_t value) -> Status* {
    if (to->integer_count == integers) return damaged("an attribute");
    to->integers[to->integer_count++] = static_cast<int64_t>(value);
    return nullptr;
  };
  return each_field(proto, "an attribute", [&](const Fields& f) -> Status* {
    const auto bits = static_cast<uint32_t>(f.value());
    switch (f.number()) {
      case kName:
        to->name = f.bytes();
        return nullptr;
      case kF:
        memcpy(&to->number, &bits, sizeof bits);
        return nullptr;
      case kI:
        to->integer = f.integer();
        return nullptr;
      case kS:
      case kT:
        to->bytes = f.bytes();
        return nullptr;
      case kIntegers:
        return each_integer(f, "an attribute", add);
      case kFloats:
        return each_float(f, "an attribute", add);
      case kType:
        to->kind = f.integer();
        return nullptr;
      default:
        return nullptr;
    }
  });
}

enum NodeField : uint32_t {
  kNodeInput = 1,
  kNodeOutput = 2,
  kNodeName = 3,
  kOpType = 4,
  kAttribute = 5,
  kNodeDomain = 7
};

Status* read_node(const Bytes& proto, Names* names, Pool* pool, Node* to) {
  SBN_TRY(pool->array(count_of(proto, kNodeInput, Fields::kBytes), &to->inputs));
  SBN_TRY(pool->array(count_of(proto, kNodeOutput, Fields::kBytes), &to->outputs));
  SBN_TRY(pool->array(count_of(proto, kAttribute, Fields::kBytes), &to->attributes));
  return each_field(proto, "a node", [&](const Fields& f) -> Status* {
    if (f.kind() != Fields::kBytes) return nullptr;
    switch (f.number()) {
      case kNodeInput:
        return names->edge(f.bytes(), to->inputs + to->input_count++);
      case kNodeOutput:
        return names->edge(f.bytes(), to->outputs + to->output_count++);
      case kNodeName:
        return pool->copy(f.bytes(), &to->name);
      case kOpType:
        return pool->copy(f.bytes(), &to->op);
      case kAttribute:
        return read_attribute(f.bytes(), pool, to->attributes + to->attribute_count++);
      case kNodeDomain:
        return pool->copy(f.bytes(), &to->domain);
      default:
        return nullptr;
    }
  });
}

// Messages and profiles call a node without a name by its first output.
void name_by_output(const Graph& graph, Node* node) {
  for (size_t i = 0; i < node->output_count && node->name.size == 0; ++i) {
    if (node->outputs[i] >= 0) node->name = as_bytes(graph.edges[node->outputs[i]].name);
  }
}

// Reads dimensions of a TensorShapeProto.
Status* read_shape(const Bytes& proto, Port* to) {
  enum : uint32_t { kDim = 1, kValue = 1 };
  return each_field(proto, "a shape", [&](const Fields& f) -> Status* {
    if (!f.is(kDim, Fields::kBytes)) return nullptr;
    if (to->rank == ort::kMaxRank) return fail("an input or output has more than 8 dimensions");
    int64_t& size = to->dims[to->rank++];
    size = -1;
    return each_field(f.bytes(), "a shape", [&](const Fields& dim) -> Status* {
      if (dim.is(kValue, Fields::kVarint)) size = dim.integer();
      return size < -1 ? damaged("a shape") : nullptr;
    });
  });
}

Status* read_port(const Bytes& proto, Names* names, Port* to) {
  enum : uint32_t { kName = 1, kType = 2, kTensorType = 1, kElement = 1, kShape = 2 };
  to->edge = -1;
  SBN_TRY(each_field(proto, "an input or output", [&](const Fields& f) -> Status* {
    if (f.is(kName, Fields::kBytes)) return names->edge(f.bytes(), &to->edge);
    if (!f.is(kType, Fields::kBytes)) return nullptr;
    return each_field(f.bytes(), "a type", [&](const Fields& type) -> Status* {
      if (!type.is(kTensorType, Fields::kBytes)) return nullptr;
      return each_field(type.bytes(), "a type", [&](const Fields& tensor) -> Status* {
        if (tensor.is(kElement, Fields::kVarint)) {
          to->type = static_cast<ElementType>(static_cast<int>(tensor.value() & 0xff));
        }
        return tensor.is(kShape, Fields::kBytes) ? read_shape(tensor.bytes(), to) : nullptr;
      });
    });
  }));
  return to->edge < 0 ? damaged("the name of an input or output") : nullptr;
}

enum GraphField : uint32_t { kNode = 1, kInitializer = 5, kInput = 11, kOutput = 12, kSparse = 15 };

Status* read_initializer(const Bytes& proto, Names* names, Graph* graph) {
  TensorParts parts;
  SBN_TRY(read_parts(proto, &parts));
  int32_t index = -1;
  SBN_TRY(names->edge(parts.name, &index));
  if (index < 0) return damaged("the name of an initializer");
  Edge& edge = graph->edges[index];
  Message what;
  what << "initializer '" << parts.name << "'";
  if (edge.origin != Origin::kNone) return fail(what << " is there twice");
  edge.origin = Origin::kConstant;
  return read_constant(proto, what, &edge.constant, &edge.constant_memory);
}

// An input that has an initializer too has a default.
Status* take_default(Port* input, Edge* edge) {
  if (edge->origin != Origin::kConstant) return nullptr;
  Message text;
  text << "input " << *edge;
  if (input->type != ElementType::kInt64 || input->rank != 0 ||
      edge->constant.type != ElementType::kInt64 || edge->constant.rank != 0) {
    return fail(text << " has a default, which only int64 numbers may");
  }
  input->has_default = true;
  memcpy(&input->default_number, edge->constant.data, sizeof(int64_t));
  return nullptr;
}

Status* read_inputs_and_outputs(const Bytes& proto, Names* names, Graph* graph) {
  SBN_TRY(each_field(proto, "the graph", [&](const Fields& f) -> Status* {
    if (f.is(kInitializer, Fields::kBytes)) return read_initializer(f.bytes(), names, graph);
    return f.number() == kSparse ? fail("sparse initializers are not supported") : nullptr;
  }));
  return each_field(proto, "the graph", [&](const Fields& f) -> Status* {
    if (f.is(kOutput, Fields::kBytes)) {
      Port* output = graph->outputs + graph->output_count++;
      SBN_TRY(read_port(f.bytes(), names, output));
      graph->edges[output->edge].is_output = true;
    }
    if (!f.is(kInput, Fields::kBytes)) return nullptr;
    Port* input = graph->inputs + graph->input_count++;
    SBN_TRY(read_port(f.bytes(), names, input));
    Edge& edge = graph->edges[input->edge];
    Message text;
    text << "input " << edge;
    if (edge.origin == Origin::kInput) return fail(text << " is there twice");
    input->default_number = 1;
    SBN_TRY(take_default(input, &edge));
    edge.origin = Origin::kInput;
    return bytes_of(input->type) ? nullptr : fail(text << " has a type that is not supported");
  });
}

// The value of a node Constant: a tensor, numbers, or a number.
Status* read_constant_node(const Node& node, Edge* edge) {
  Message what;
  what << node;
  const bool alone = node.output_count == 1 && node.attribute_count == 1 && node.outputs[0] >= 0;
  if (!alone) return fail(what << " has no single value");
  if (const Attribute* tensor = node.find("value", Attribute::kTensor)) {
    return read_constant(tensor->bytes, what, &edge->constant, &edge->constant_memory);
  }
  const Attribute* list = node.find("value_ints", Attribute::kInts);
  const Attribute* floats = node.find("value_floats", Attribute::kFloats);
  const Attribute* integer = node.find("value_int", Attribute::kInt);
  const Attribute* number = node.find("value_float", Attribute::kFloat);
  if (!list) list = floats;
  if (!list && !integer && !number)
    return fail(what << " has a value of a kind that is not supported");
  Tensor& tensor = edge->constant;
  tensor.type = number || floats ? ElementType::kFloat : ElementType::kInt64;
  tensor.rank = list ? 1 : 0;
  const size_t count = list ? list->integer_count : 1;
  if (list) tensor.dims[0] = static_cast<int64_t>(count);
  edge->constant_memory = tensor.data = calloc(count + 1, sizeof(int64_t));
  if (!tensor.data) return out_of_memory();
  const auto bytes = static_cast<size_t>(bytes_of(tensor.type));
  if (number) memcpy(tensor.data, &number->number, bytes);
  if (integer && !number) memcpy(tensor.data, &integer->integer, bytes);
  for (size_t i = 0; list && i < count; ++i) {
    const auto bits = static_cast<uint32_t>(list->integers[i]);
    const void* from = floats ? static_cast<const void*>(&bits) : list->integers + i;
    memcpy(static_cast<char*>(tensor.data) + i * bytes, from, bytes);
  }
  return nullptr;
}

// Every tensor has one origin.
Status* mark_origins(Graph* graph) {
  size_t kept = 0;
  for (size_t i = 0; i < graph->node_count; ++i) {
    const Node node = graph->nodes[i];
    const bool constant = node.op == "Constant" && node.domain == "";
    for (size_t j = 0; j < node.output_count; ++j) {
      if (node.outputs[j] < 0) continue;
      Edge& edge = graph->edges[node.outputs[j]];
      Message text;
      if (edge.origin != Origin::kNone) {
        return fail(text << node << ": its output " << edge << " is there already");
      }
      edge.origin = constant ? Origin::kConstant : Origin::kComputed;
    }
    if (constant) {
      if (node.output_count != 1 || node.outputs[0] < 0) return fail("a Constant has no output");
      SBN_TRY(read_constant_node(node, graph->edges + node.outputs[0]));
    } else {
      graph->nodes[kept++] = node;
    }
  }
  graph->node_count = kept;
  for (size_t i = 0; i < graph->output_count; ++i) {
    const Edge& edge = graph->edges[graph->outputs[i].edge];
    Message text;
    if (edge.origin == Origin::kNone)
      return fail(text << "output " << edge << " is computed by no node");
  }
  return nullptr;
}

Status* read_graph_proto(const Bytes& proto, Graph* graph) {
  const size_t nodes = count_of(proto, kNode, Fields::kBytes);
  const size_t inputs = count_of(proto, kInput, Fields::kBytes);
  const size_t outputs = count_of(proto, kOutput, Fields::kBytes);
  if (nodes > kMostNodes) return fail("the file has more than 16384 nodes");
  if (inputs > kMostPorts || outputs > kMostPorts)
    return fail("the file has more than 1024 inputs or outputs");
  size_t edges = inputs + outputs + count_of(proto, kInitializer, Fields::kBytes);
  SBN_TRY(each_field(proto, "the graph", [&](const Fields& f) -> Status* {
    if (!f.is(kNode, Fields::kBytes)) return nullptr;
    edges += count_of(f.bytes(), kNodeInput, Fields::kBytes);
    edges += count_of(f.bytes(), kNodeOutput, Fields::kBytes);
    return nullptr;
  }));
  if (edges > kMostEdges) return fail("the file has more than 131072 tensors");
  if (nodes * kNodeBytes + edges * kEdgeBytes > 10 * proto.size + (size_t{1} << 20))
    return fail("the file has more nodes or tensors than so few bytes can describe");
  Names names;
  SBN_TRY(names.init(graph, edges));
  SBN_TRY(graph->pool.array(nodes, &graph->nodes));
  SBN_TRY(graph->pool.array(inputs, &graph->inputs));
  SBN_TRY(graph->pool.array(outputs, &graph->outputs));
  SBN_TRY(read_inputs_and_outputs(proto, &names, graph));
  SBN_TRY(each_field(proto, "the graph", [&](const Fields& f) -> Status* {
    if (!f.is(kNode, Fields::kBytes)) return nullptr;
    Node* node = graph->nodes + graph->node_count++;
    SBN_TRY(read_node(f.bytes(), &names, &graph->pool, node));
    name_by_output(*graph, node);
    return nullptr;
  }));
  return mark_origins(graph);
}

Status* read_metadata(const Bytes& proto, Graph* graph) {
  enum : uint32_t { kKey = 1, kValue = 2 };
  MetadataEntry& entry = graph->metadata[graph->metadata_count++];
  entry.key = entry.value = "";
  return each_field(proto, "the metadata", [&](const Fields& f) -> Status* {
    if (f.is(kKey, Fields::kBytes)) return graph->pool.text(f.bytes(), &entry.key);
    return f.is(kValue, Fields::kBytes) ? graph->pool.text(f.bytes(), &entry.value) : nullptr;
  });
}

Status* check_opset(const Bytes& proto) {
  enum : uint32_t { kDomain = 1, kVersion = 2 };
  Bytes domain;
  int64_t version = 0;
  SBN_TRY(each_field(proto, "the opset", [&](const Fields& f) -> Status* {
    if (f.is(kDomain, Fields::kBytes)) domain = f.bytes();
    if (f.is(kVersion, Fields::kVarint)) version = f.integer();
    return nullptr;
  }));
  const bool onnx = domain == "" || domain == "ai.onnx";
  const int64_t wanted = onnx ? kOpset : domain == ort::kDomain ? kOwnOpset : version;
  if (version == wanted) return nullptr;
  Message text;
  return fail(text << "the file has version " << version << " of the operators of "
                   << (onnx ? "ONNX" : ort::kDomain) << "; version " << wanted << " is supported");
}

}  // namespace

int64_t bytes_of(ElementType type) {
  switch (type) {
    case ElementType::kUint8:
    case ElementType::kInt8:
    case ElementType::kBool:
      return 1;
    case ElementType::kInt16:
      return 2;
    case ElementType::kFloat:
    case ElementType::kInt32:
      return 4;
    case ElementType::kInt64:
    case ElementType::kUint64:
      return 8;
    default:
      return 0;
  }
}

const Attribute* Node::find(const char* attribute, Attribute::Kind kind) const {
  for (size_t i = 0; i < attribute_count; ++i) {
    if (attributes[i].kind == kind && attributes[i].name == attribute) return attributes + i;
  }
  return nullptr;
}

int64_t Node::integer(const char* attribute, int64_t otherwise) const {
  const Attribute* found = find(attribute, Attribute::kInt);
  return found ? found->integer : otherwise;
}

Message& operator<<(Message& message, const Edge& edge) {
  return message << "'" << as_bytes(edge.name) << "'";
}

Message& operator<<(Message& message, const Node& node) {
  if (node.domain.size) message << node.domain << ".";
  return message << node.op << " node '" << node.name << "'";
}

Status* read_constant(const Bytes& proto, const Message& what, Tensor* tensor, void** memory) {
  TensorParts parts;
  SBN_TRY(read_parts(proto, &parts));
  Message text = what;
  if (parts.external) return fail(text << " lies in another file, which is not supported");
  Size size = bytes_of(parts.tensor.type);
  if (size.value() == 0) {
    return fail(text << " has elements of type " << static_cast<int64_t>(parts.tensor.type)
                     << " of ONNX, which is not supported");
  }
  Size stretched = size;  // without sizes of 0
  for (size_t i = 0; i < parts.tensor.rank; ++i) {
    const int64_t dim = parts.tensor.dims[i];
    size = size * dim, stretched = stretched * (dim == 0 ? 1 : dim);
  }
  // Each element takes a byte of the file at least.
  const bool possible = stretched.valid() && stretched.value() <= kMostElements &&
                        static_cast<size_t>(size.value()) <= proto.size * 8;
  const auto bytes = static_cast<size_t>(size.value());
  if (!possible || (parts.raw && parts.raw_data.size != bytes)) {
    return fail(text << " has another size than its shape " << parts.tensor << " needs");
  }
  auto* given = static_cast<char*>(calloc(1, bytes + 2 * kScratchAlignment));
  if (!given) return out_of_memory();
  *memory = given;
  *tensor = parts.tensor;
  tensor->data =
      reinterpret_cast<void*>(align_up(reinterpret_cast<uintptr_t>(given), kScratchAlignment));
  if (!parts.raw) return TypedData(*tensor, static_cast<char*>(tensor->data), bytes).read(proto);
  if (bytes) memcpy(tensor->data, parts.raw_data.data, bytes);
  return nullptr;
}

void Graph::release() {
  for (size_t i = 0; i < edge_count; ++i) free(edges[i].constant_memory);
  pool.release();
  *this = {};
}

Status* read_graph(const Bytes& file, Graph* graph) {
  enum : uint32_t { kGraph = 7, kOpsetImport = 8, kMetadata = 14 };
  Bytes proto;
  size_t graphs = 0, opsets = 0;
  SBN_TRY(graph->pool.array(count_of(file, kMetadata, Fields::kBytes), &graph->metadata));
  SBN_TRY(each_field(file, "its outermost message", [&](const Fields& f) -> Status* {
    if (f.kind() != Fields::kBytes) return nullptr;
    switch (f.number()) {
      case kGraph:
        proto = f.bytes(), ++graphs;
        return nullptr;
      case kOpsetImport:
        ++opsets;
        return check_opset(f.bytes());
      case kMetadata:
        return read_metadata(f.bytes(), graph);
      default:
        return nullptr;
    }
  }));
  if (graphs != 1 || opsets == 0) return fail("this is no ONNX file");
  return read_graph_proto(proto, graph);
}

}  // namespace sbn::native
