#include "native/custom_ops.h"

#include <stdlib.h>
#include <string.h>

#include "ort/ops.h"

namespace sbn::ort {

// What is opaque to the operators. Information on a tensor is the tensor itself.
struct KernelInfo : native::CustomCall {};
struct KernelContext : native::CustomCall {};
struct TensorInfo : Tensor {};

}  // namespace sbn::ort

namespace sbn::native {
namespace {

using namespace sbn::ort;
using ort::Status;

constexpr size_t kSlots = 275;

// The call that this thread is in: allocators are not told.
thread_local CustomCall* t_call = nullptr;

const Attribute* find(const KernelInfo* info, const char* name, Attribute::Kind kind) {
  return info->node->find(name, kind);
}

const TensorInfo* info_of(const Value* value) {
  return static_cast<const TensorInfo*>(static_cast<const Tensor*>(value));
}

Status* not_offered() { return fail("an operator asks for what only onnxruntime has"); }

// The functions, named as in ort/abi.h.
Status* CreateStatus(ErrorCode, const char* text) { return fail(text); }
void ReleaseStatus(Status* status) { native::release(status); }

Status* GetTensorTypeAndShape(const Value* value, TensorInfo** info) {
  *info = const_cast<TensorInfo*>(info_of(value));
  return nullptr;
}
void ReleaseTensorTypeAndShapeInfo(TensorInfo*) {}
Status* GetTensorElementType(const TensorInfo* info, ElementType* type) {
  *type = info->type;
  return nullptr;
}
Status* GetDimensionsCount(const TensorInfo* info, size_t* count) {
  *count = info->rank;
  return nullptr;
}
Status* GetDimensions(const TensorInfo* info, int64_t* dims, size_t count) {
  for (size_t i = 0; i < count; ++i) dims[i] = info->dims[i];
  return nullptr;
}
Status* GetTensorMutableData(Value* value, void** data) {
  *data = value->data;
  return nullptr;
}

// Memory of a call is its scratch memory, that of a node is its own.
Status* GetAllocatorWithDefaultOptions(Allocator** allocator) {
  *allocator = nullptr;
  return nullptr;
}
Status* AllocatorAlloc(Allocator*, size_t size, void** memory) {
  CustomCall* call = t_call;
  if (call && !call->planning && static_cast<int64_t>(size) <= call->scratch_bytes) {
    *memory = call->scratch;
    return nullptr;
  }
  if (call && call->planning) {
    call->scratch_bytes = max(call->scratch_bytes, static_cast<int64_t>(size));
    // Nothing is computed with it: Node::allocate notes in it where it lies.
    size = kScratchAlignment + sizeof(void*);
  }
  *memory = malloc(size);
  return nullptr;
}
Status* AllocatorFree(Allocator*, void* memory) {
  if (!t_call || memory != t_call->scratch) free(memory);
  return nullptr;
}

Status* KernelInfo_GetNodeName(const KernelInfo* info, char* name, size_t* size) {
  Message text;
  text << info->node->name;
  const size_t needed = strlen(text.text()) + 1;
  if (needed > *size) return fail("the name is too long");
  memcpy(name, text.text(), needed);
  *size = needed;
  return nullptr;
}
Status* KernelInfoGetAttribute_int64(const KernelInfo* info, const char* name, int64_t* value) {
  const Attribute* found = find(info, name, Attribute::kInt);
  if (!found) return fail("there is no such number");
  *value = found->integer;
  return nullptr;
}
Status* KernelInfoGetAttributeArray_int64(const KernelInfo* info, const char* name, int64_t* values,
                                          size_t* count) {
  const Attribute* found = find(info, name, Attribute::kInts);
  if (!found) return fail("there is no such list");
  if (values && *count < found->integer_count) return fail("the list is longer");
  for (size_t i = 0; values && i < found->integer_count; ++i) values[i] = found->integers[i];
  *count = found->integer_count;
  return nullptr;
}
// The type of an input is the tensor itself.
Status* KernelInfo_GetInputTypeInfo(const KernelInfo* info, size_t index, TypeInfo** type) {
  *type = reinterpret_cast<TypeInfo*>(info->values + info->node->inputs[index]);
  return nullptr;
}
Status* CastTypeInfoToTensorInfo(const TypeInfo* type, const TensorInfo** tensor) {
  *tensor = info_of(reinterpret_cast<const Value*>(type));
  return nullptr;
}
void ReleaseTypeInfo(TypeInfo*) {}
Status* KernelInfoGetConstantInput_tensor(const KernelInfo* info, size_t index, int* constant,
                                          const Value** value) {
  const int32_t edge = info->node->inputs[index];
  *constant = info->edges[edge].origin == Origin::kConstant;
  *value = *constant ? info->values + edge : nullptr;
  return nullptr;
}

Status* KernelContext_GetInput(const KernelContext* context, size_t index, const Value** value) {
  const int32_t edge = context->node->inputs[index];
  *value = context->values + edge;
  if (context->read) context->read[edge] = true;
  if (context->planning || (*value)->data) return nullptr;
  Message text;
  return fail(text << *context->node << ": reads an input now that it did not when it was planned");
}
Status* KernelContext_GetOutput(KernelContext* context, size_t index, const int64_t* dims,
                                size_t rank, Value** value) {
  const Node& node = *context->node;
  *value = context->values + node.outputs[index];
  Tensor& output = **value;
  bool fits = output.rank == rank;
  for (size_t i = 0; fits && i < rank; ++i) fits = output.dims[i] == dims[i];
  if (!context->planning && !fits) {
    Message text;
    return fail(text << node << ": its output has not the shape " << output << " that was planned");
  }
  output.rank = rank;
  for (size_t i = 0; i < rank; ++i) output.dims[i] = dims[i];
  return nullptr;
}
Status* KernelContext_ParallelFor(const KernelContext* context, ParallelBody body, size_t count,
                                  size_t, void* state) {
  context->parallel.run(context->parallel.threads, count, body, state);
  return nullptr;
}

// Functions by the slots of ort/abi.h.
struct Table {
  void (*slots[kSlots])();
};

template <class Function>
void put(Table* table, size_t slot, Function function) {
  table->slots[slot] = reinterpret_cast<void (*)()>(function);
}

Table make_table() {
  Table table;
  for (auto& slot : table.slots) slot = reinterpret_cast<void (*)()>(not_offered);
#define SBN_FUNCTION(slot, name) put(&table, slot, name);
  SBN_FUNCTION(0, CreateStatus)
  SBN_FUNCTION(51, GetTensorMutableData)
  SBN_FUNCTION(55, CastTypeInfoToTensorInfo)
  SBN_FUNCTION(60, GetTensorElementType)
  SBN_FUNCTION(61, GetDimensionsCount)
  SBN_FUNCTION(62, GetDimensions)
  SBN_FUNCTION(65, GetTensorTypeAndShape)
  SBN_FUNCTION(75, AllocatorAlloc)
  SBN_FUNCTION(76, AllocatorFree)
  SBN_FUNCTION(78, GetAllocatorWithDefaultOptions)
  SBN_FUNCTION(86, KernelInfoGetAttribute_int64)
  SBN_FUNCTION(90, KernelContext_GetInput)
  SBN_FUNCTION(91, KernelContext_GetOutput)
  SBN_FUNCTION(93, ReleaseStatus)
  SBN_FUNCTION(98, ReleaseTypeInfo)
  SBN_FUNCTION(99, ReleaseTensorTypeAndShapeInfo)
  SBN_FUNCTION(163, KernelInfoGetAttributeArray_int64)
  SBN_FUNCTION(234, KernelInfo_GetInputTypeInfo)
  SBN_FUNCTION(244, KernelInfo_GetNodeName)
  SBN_FUNCTION(249, KernelInfoGetConstantInput_tensor)
  SBN_FUNCTION(274, KernelContext_ParallelFor)
#undef SBN_FUNCTION
  return table;
}

// Made when the library is loaded.
const Table g_table = make_table();

// Numbers and types of tensors, which onnxruntime checks for the operators.
Status* check_tensors(const CustomOp* op, const CustomCall& call) {
  const Node& node = *call.node;
  Message text;
  text << node << ": ";
  if (node.input_count != op->input_count(op) || node.output_count != op->output_count(op)) {
    return fail(text << "has " << static_cast<int64_t>(node.input_count) << " inputs and "
                     << static_cast<int64_t>(node.output_count) << " outputs, needs "
                     << static_cast<int64_t>(op->input_count(op)) << " and "
                     << static_cast<int64_t>(op->output_count(op)));
  }
  for (size_t i = 0; i < node.input_count; ++i) {
    if (node.inputs[i] < 0) return fail(text << "an input is missing");
    if (call.values[node.inputs[i]].type == op->input_type(op, i)) continue;
    return fail(text << "input " << call.edges[node.inputs[i]]
                     << " has another type than it needs");
  }
  for (size_t i = 0; i < node.output_count; ++i) {
    if (node.outputs[i] < 0) return fail(text << "an output is missing");
  }
  return nullptr;
}

}  // namespace

const CustomOp* custom_op(const Bytes& name) {
  for (const RegisteredOp& op : kOps) {
    if (name == op.name(&op)) return &op;
  }
  return nullptr;
}

Status* create_custom(const CustomOp* op, const CustomCall& call, void** kernel) {
  SBN_TRY(check_tensors(op, call));
  KernelInfo info = {call};
  return op->create_kernel_v2(op, &g_table, &info, kernel);
}

void destroy_custom(const CustomOp* op, void* kernel) { op->destroy(kernel); }

Status* call_custom(const CustomOp* op, void* kernel, CustomCall* call) {
  const Node& node = *call->node;
  for (size_t i = 0; call->planning && i < node.output_count; ++i) {
    call->values[node.outputs[i]].type = op->output_type(op, i);
  }
  auto* context = static_cast<KernelContext*>(call);
  t_call = call;
  Status* failure = op->compute_v2(kernel, context);
  t_call = nullptr;
  return failure;
}

}  // namespace sbn::native
