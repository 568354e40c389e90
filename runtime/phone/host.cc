#include "phone/host.h"

#include <string.h>

#include "base/text.h"
#include "ort/abi.h"
#include "phone/report.h"
#include "sbn.h"

namespace sbn::ort {

// What is opaque to the operators. Information on a tensor is the tensor itself.
struct Status {
  char text[1024];
};
struct Value : phone::PlanTensor {};
struct KernelInfo : phone::PlanNode {};
struct KernelContext : phone::PlanNode {};

}  // namespace sbn::ort

namespace sbn::phone {
namespace {

using namespace sbn::ort;

constexpr size_t kSlots = 512;
constexpr size_t kMostOps = 64;

void* g_table[kSlots];
const CustomOp* g_ops[kMostOps];
size_t g_op_count = 0;

[[noreturn]] void check_failed(const Status* status) { fail("%s", status->text); }

void check(const Status* status) {
  if (status) check_failed(status);
}

template <class T>
T* opaque(const void* from) {
  return static_cast<T*>(const_cast<void*>(from));
}

const PlanAttribute* find(const KernelInfo* info, const char* name, bool list) {
  for (size_t i = 0; i < info->attribute_count; ++i) {
    const PlanAttribute& attribute = info->attributes[i];
    if (attribute.list == list && same_text(attribute.name, name)) return &attribute;
  }
  return nullptr;
}

const Tensor& tensor_of(const void* value) { return static_cast<const PlanTensor*>(value)->tensor; }

[[noreturn]] void not_offered() { fail("an operator asks for what only onnxruntime has"); }

// The functions, named as in ort/abi.h.
Status* CreateStatus(ErrorCode, const char* text) {
  auto* status = static_cast<Status*>(calloc(1, sizeof(Status)));
  if (!status) fail("%s", text);
  strncpy(status->text, text, sizeof status->text - 1);
  return status;
}
void ReleaseStatus(Status* status) { free(status); }

Status* failed(const char* text) { return CreateStatus(ErrorCode::kFail, text); }

Status* CreateCustomOpDomain(const char*, CustomOpDomain** domain) {
  *domain = opaque<CustomOpDomain>(g_ops);
  return nullptr;
}
Status* CustomOpDomain_Add(CustomOpDomain*, const CustomOp* op) {
  if (g_op_count == kMostOps) return failed("too many operators");
  g_ops[g_op_count++] = op;
  return nullptr;
}
Status* AddCustomOpDomain(SessionOptions*, CustomOpDomain*) { return nullptr; }
void ReleaseCustomOpDomain(CustomOpDomain*) {}

Status* GetTensorTypeAndShape(const Value* value, TensorInfo** info) {
  *info = opaque<TensorInfo>(value);
  return nullptr;
}
void ReleaseTensorTypeAndShapeInfo(TensorInfo*) {}
Status* GetTensorElementType(const TensorInfo* info, ElementType* type) {
  *type = tensor_of(info).type;
  return nullptr;
}
Status* GetDimensionsCount(const TensorInfo* info, size_t* count) {
  *count = tensor_of(info).rank;
  return nullptr;
}
Status* GetDimensions(const TensorInfo* info, int64_t* dims, size_t count) {
  for (size_t i = 0; i < count; ++i) dims[i] = tensor_of(info).dims[i];
  return nullptr;
}
Status* GetTensorMutableData(Value* value, void** data) {
  *data = value->tensor.data;
  return nullptr;
}

Status* GetAllocatorWithDefaultOptions(Allocator** allocator) {
  *allocator = opaque<Allocator>(g_table);
  return nullptr;
}
Status* AllocatorAlloc(Allocator*, size_t size, void** memory) {
  *memory = malloc(size);
  return nullptr;
}
Status* AllocatorFree(Allocator*, void* memory) {
  free(memory);
  return nullptr;
}

Status* KernelInfo_GetNodeName(const KernelInfo* info, char* name, size_t* size) {
  const size_t needed = strlen(info->name) + 1;
  if (needed > *size) return failed("the name is too long");
  memcpy(name, info->name, needed);
  *size = needed;
  return nullptr;
}
Status* KernelInfoGetAttribute_int64(const KernelInfo* info, const char* name, int64_t* value) {
  const PlanAttribute* found = find(info, name, false);
  if (!found) return failed("there is no such number");
  *value = found->values[0];
  return nullptr;
}
Status* KernelInfoGetAttributeArray_int64(const KernelInfo* info, const char* name,
                                          int64_t* values, size_t* count) {
  const PlanAttribute* found = find(info, name, true);
  if (!found) return failed("there is no such list");
  if (values && *count < found->count) return failed("the list is longer");
  for (size_t i = 0; values && i < found->count; ++i) values[i] = found->values[i];
  *count = found->count;
  return nullptr;
}
// The type of an input is the tensor itself.
Status* KernelInfo_GetInputTypeInfo(const KernelInfo* info, size_t index, TypeInfo** type) {
  *type = opaque<TypeInfo>(info->inputs[index]);
  return nullptr;
}
Status* CastTypeInfoToTensorInfo(const TypeInfo* type, const TensorInfo** tensor) {
  *tensor = reinterpret_cast<const TensorInfo*>(type);
  return nullptr;
}
void ReleaseTypeInfo(TypeInfo*) {}
Status* KernelInfoGetConstantInput_tensor(const KernelInfo* info, size_t index, int* constant,
                                          const Value** value) {
  const PlanTensor* input = info->inputs[index];
  *constant = input->origin == Origin::kConstant;
  *value = *constant ? static_cast<const Value*>(input) : nullptr;
  return nullptr;
}

Status* KernelContext_GetInput(const KernelContext* context, size_t index, const Value** value) {
  *value = static_cast<const Value*>(context->inputs[index]);
  return nullptr;
}
Status* KernelContext_GetOutput(KernelContext* context, size_t index, const int64_t* dims,
                                size_t rank, Value** value) {
  PlanTensor* output = context->outputs[index];
  bool fits = output->tensor.rank == rank;
  for (size_t i = 0; fits && i < rank; ++i) fits = output->tensor.dims[i] == dims[i];
  if (!fits) {
    Message text;
    text << context->op << " '" << context->name << "': has another output shape than the plan's "
         << output->tensor;
    return failed(text.text());
  }
  *value = static_cast<Value*>(output);
  return nullptr;
}
Status* KernelContext_ParallelFor(const KernelContext*, ParallelBody body, size_t count, size_t,
                                  void* state) {
  for (size_t i = 0; i < count; ++i) body(state, i);
  return nullptr;
}

void fill_table() {
  for (void*& slot : g_table) slot = reinterpret_cast<void*>(not_offered);
#define SBN_PHONE_FUNCTION(slot, name) g_table[slot] = reinterpret_cast<void*>(name);
  SBN_PHONE_FUNCTION(0, CreateStatus)
  SBN_PHONE_FUNCTION(26, CreateCustomOpDomain)
  SBN_PHONE_FUNCTION(27, CustomOpDomain_Add)
  SBN_PHONE_FUNCTION(28, AddCustomOpDomain)
  SBN_PHONE_FUNCTION(51, GetTensorMutableData)
  SBN_PHONE_FUNCTION(55, CastTypeInfoToTensorInfo)
  SBN_PHONE_FUNCTION(60, GetTensorElementType)
  SBN_PHONE_FUNCTION(61, GetDimensionsCount)
  SBN_PHONE_FUNCTION(62, GetDimensions)
  SBN_PHONE_FUNCTION(65, GetTensorTypeAndShape)
  SBN_PHONE_FUNCTION(75, AllocatorAlloc)
  SBN_PHONE_FUNCTION(76, AllocatorFree)
  SBN_PHONE_FUNCTION(78, GetAllocatorWithDefaultOptions)
  SBN_PHONE_FUNCTION(86, KernelInfoGetAttribute_int64)
  SBN_PHONE_FUNCTION(90, KernelContext_GetInput)
  SBN_PHONE_FUNCTION(91, KernelContext_GetOutput)
  SBN_PHONE_FUNCTION(93, ReleaseStatus)
  SBN_PHONE_FUNCTION(98, ReleaseTypeInfo)
  SBN_PHONE_FUNCTION(99, ReleaseTensorTypeAndShapeInfo)
  SBN_PHONE_FUNCTION(101, ReleaseCustomOpDomain)
  SBN_PHONE_FUNCTION(163, KernelInfoGetAttributeArray_int64)
  SBN_PHONE_FUNCTION(234, KernelInfo_GetInputTypeInfo)
  SBN_PHONE_FUNCTION(244, KernelInfo_GetNodeName)
  SBN_PHONE_FUNCTION(249, KernelInfoGetConstantInput_tensor)
  SBN_PHONE_FUNCTION(274, KernelContext_ParallelFor)
#undef SBN_PHONE_FUNCTION
}

const CustomOp* op_named(const PlanNode& node) {
  for (size_t i = 0; i < g_op_count; ++i) {
    if (same_text(g_ops[i]->name(g_ops[i]), node.op)) return g_ops[i];
  }
  fail("%s '%s': there is no such operator in this version", node.op, node.name);
}

// Numbers and types of tensors, which onnxruntime checks for the operators.
void check_tensors(const CustomOp* op, const PlanNode& node) {
  bool fits = node.input_count == op->input_count(op) && node.output_count == op->output_count(op);
  for (size_t i = 0; fits && i < node.input_count; ++i) {
    fits = node.inputs[i]->tensor.type == op->input_type(op, i);
  }
  for (size_t i = 0; fits && i < node.output_count; ++i) {
    fits = node.outputs[i]->tensor.type == op->output_type(op, i);
  }
  if (!fits) fail("%s '%s': has other inputs or outputs in this version", node.op, node.name);
}

}  // namespace

void register_operators() {
  fill_table();
  const ApiBase base = {[](uint32_t) -> const void* { return g_table; },
                        []() { return "a stand-in"; }};
  check(reinterpret_cast<Status*>(
      RegisterCustomOps(nullptr, reinterpret_cast<const OrtApiBase*>(&base))));
}

Layer* create_layers(const Plan& plan) {
  auto* layers = keep<Layer>(plan.node_count);
  for (size_t i = 0; i < plan.node_count; ++i) {
    Layer& layer = layers[i];
    layer.node = plan.nodes + i;
    layer.op = op_named(*layer.node);
    check_tensors(layer.op, *layer.node);
    const auto* info = static_cast<const KernelInfo*>(layer.node);
    check(layer.op->create_kernel_v2(layer.op, g_table, info, &layer.kernel));
  }
  return layers;
}

void destroy_layers(const Plan& plan, Layer* layers) {
  for (size_t i = 0; i < plan.node_count; ++i) layers[i].op->destroy(layers[i].kernel);
}

void run_layer(const Layer& layer) {
  check(layer.op->compute_v2(layer.kernel, static_cast<KernelContext*>(layer.node)));
}

}  // namespace sbn::phone
