#include "ort/node.h"

#include "base/bits.h"
#include "kernels/scratch.h"

namespace sbn::ort {

int64_t Tensor::count(size_t from, size_t to) const {
  int64_t product = 1;
  for (size_t i = from; i < to; ++i) product *= dims[i];
  return product;
}

Message& operator<<(Message& message, const Tensor& shape) {
  message << "[";
  for (size_t i = 0; i < shape.rank; ++i) message << (i ? ", " : "") << shape.dims[i];
  return message << "]";
}

Status* read_tensor(const Api& api, const Value* value, Tensor* tensor) {
  TensorInfo* info = nullptr;
  SBN_TRY(api.GetTensorTypeAndShape(value, &info));
  Status* failure = api.GetTensorElementType(info, &tensor->type);
  if (!failure) failure = api.GetDimensionsCount(info, &tensor->rank);
  if (!failure && tensor->rank > kMaxRank) {
    failure = api.CreateStatus(ErrorCode::kInvalidArgument, "sbn: a tensor has more than 8 dimensions");
  }
  if (!failure) failure = api.GetDimensions(info, tensor->dims, tensor->rank);
  api.ReleaseTensorTypeAndShapeInfo(info);
  if (failure) return failure;
  return api.GetTensorMutableData(const_cast<Value*>(value), &tensor->data);
}

Status* Node::init(Api api, const OpSpec& spec, const KernelInfo* info) {
  api_ = api;
  spec_ = &spec;
  size_t size = sizeof name_;
  if (Status* failure = api.KernelInfo_GetNodeName(info, name_, &size)) {
    api.ReleaseStatus(failure);  // longer than the buffer: do without
    name_[0] = 0;
  }
  return nullptr;
}

Message Node::message() const {
  Message message;
  message << kDomain << "." << spec_->name << " node '" << name_ << "': ";
  return message;
}

Status* Node::invalid(const Message& message) const {
  return api_.CreateStatus(ErrorCode::kInvalidArgument, message.text());
}

Status* Node::invalid(const char* reason) const {
  Message text = message();
  text << reason;
  return invalid(text);
}

Status* Node::attributes(const KernelInfo* info, int64_t* values) const {
  for (size_t i = 0; i < spec_->attribute_count; ++i) {
    const AttributeSpec& spec = spec_->attributes[i];
    size_t length = 0;
    Status* failure = nullptr;
    if (spec.length) {
      // A list that is no list of integers reads as an empty one.
      failure = api_.KernelInfoGetAttributeArray_int64(info, spec.name, nullptr, &length);
      if (!failure && length == static_cast<size_t>(spec.length)) {
        failure = api_.KernelInfoGetAttributeArray_int64(info, spec.name, values, &length);
      }
    } else {
      failure = api_.KernelInfoGetAttribute_int64(info, spec.name, values);
    }
    Message text = message();
    text << "attribute '" << spec.name << "' ";
    if (failure) {
      api_.ReleaseStatus(failure);
      text << "is missing or no " << (spec.length ? "list of integers" : "integer");
      return invalid(text << "; every attribute is required");
    }
    if (spec.length && length != static_cast<size_t>(spec.length)) {
      return invalid(text << "has " << static_cast<int64_t>(length) << " integers, needs "
                          << spec.length);
    }
    for (int64_t j = 0; j < spec.values(); ++j, ++values) {
      const Limits& limits = spec.limits[j];
      if (limits.hold(*values)) continue;
      return invalid(text << "is " << *values << ", must lie in [" << limits.minimum << ", "
                          << limits.maximum << "]");
    }
  }
  return nullptr;
}

Status* Node::constant(const KernelInfo* info, size_t index, bool* found, Tensor* tensor) const {
  int is_constant = 0;
  const Value* value = nullptr;
  SBN_TRY(api_.KernelInfoGetConstantInput_tensor(info, index, &is_constant, &value));
  *found = is_constant && value;
  return *found ? read_tensor(api_, value, tensor) : nullptr;
}

Status* Node::known_shape(const KernelInfo* info, size_t index, Tensor* shape) const {
  TypeInfo* type = nullptr;
  SBN_TRY(api_.KernelInfo_GetInputTypeInfo(info, index, &type));
  const TensorInfo* tensor = nullptr;
  Status* failure = api_.CastTypeInfoToTensorInfo(type, &tensor);
  size_t rank = 0;
  if (!failure && tensor) failure = api_.GetDimensionsCount(tensor, &rank);
  if (!failure && tensor && rank <= kMaxRank) {
    shape->rank = rank;
    failure = api_.GetDimensions(tensor, shape->dims, rank);
  }
  api_.ReleaseTypeInfo(type);
  return failure;
}

Status* Node::no_unused_bits(size_t input, const Tensor& tensor, int64_t bits) const {
  if (bits % 64 == 0 || !tensor.data) return nullptr;
  const int64_t words = words_of(bits);
  const int64_t rows = tensor.count(0, tensor.rank - 1);
  const uint64_t* last = tensor.as<uint64_t>() + words - 1;
  uint64_t set = 0;
  for (int64_t i = 0; i < rows; ++i) set |= load<uint64_t>(last + i * words);
  if (!(set & ~low_bits(bits % 64))) return nullptr;
  Message text = message();
  return invalid(text << "input " << spec_->inputs[input].name << " of shape " << tensor
                      << " has a set bit that is unused: with these attributes only bits [0, "
                      << bits - 1 << "] of a pixel are used");
}

Status* Node::expect(size_t input, const Tensor& tensor, size_t rank, const int64_t* dims) const {
  bool fits = tensor.rank == rank;
  Tensor wanted;
  wanted.rank = rank;
  for (size_t i = 0; i < rank; ++i) {
    wanted.dims[i] = dims[i];
    if (fits && dims[i] >= 0 && tensor.dims[i] != dims[i]) fits = false;
  }
  if (fits) return nullptr;
  const TensorSpec& spec = spec_->inputs[input];
  Message text = message();
  text << "input " << spec.name << " has shape " << tensor << ", needs " << spec.shape << " = [";
  for (size_t i = 0; i < rank; ++i) {
    text << (i ? ", " : "");
    if (dims[i] >= 0) {
      text << dims[i];
    } else {
      text << "any";
    }
  }
  return invalid(text << "]; export the model again or feed that shape");
}

// The allocator's own functions throw where there is no memory; the API's do not.
// The pointer that was given lies before the aligned memory.
Status* Node::allocate(Size bytes, void** memory) const {
  const Size total = bytes + static_cast<int64_t>(kScratchAlignment + sizeof(void*));
  Allocator* allocator = nullptr;
  SBN_TRY(api_.GetAllocatorWithDefaultOptions(&allocator));
  void* given = nullptr;
  Status* failure = nullptr;
  if (total.valid() && total.value() <= PTRDIFF_MAX) {
    failure = api_.AllocatorAlloc(allocator, static_cast<size_t>(total.value()), &given);
  }
  if (failure) api_.ReleaseStatus(failure);
  if (!given) {
    Message text = message();
    text << "cannot allocate ";
    if (total.valid()) text << total.value() << " bytes of ";
    return invalid(text << "scratch memory; use a smaller batch or smaller pads");
  }
  const auto first = reinterpret_cast<uintptr_t>(given) + sizeof(void*);
  auto* aligned = reinterpret_cast<void**>(align_up(first, kScratchAlignment));
  aligned[-1] = given;
  *memory = aligned;
  return nullptr;
}

void Node::release(void* memory) const {
  Allocator* allocator = nullptr;
  Status* failure = api_.GetAllocatorWithDefaultOptions(&allocator);
  if (!failure) failure = api_.AllocatorFree(allocator, static_cast<void**>(memory)[-1]);
  if (failure) api_.ReleaseStatus(failure);
}

Status* Call::input(size_t index, Tensor* tensor) const {
  const Value* value = nullptr;
  SBN_TRY(node_.api().KernelContext_GetInput(context_, index, &value));
  if (!value) return node_.invalid("an input is missing");
  return read_tensor(node_.api(), value, tensor);
}

Status* Call::output(size_t index, size_t rank, const int64_t* dims, void** data) {
  Value* value = nullptr;
  SBN_TRY(node_.api().KernelContext_GetOutput(context_, index, dims, rank, &value));
  SBN_TRY(node_.api().GetTensorMutableData(value, data));
  shapes_only_ = !*data;
  return nullptr;
}

void Call::run_tasks(void* self, size_t count, Parallel::Task task, void* state) {
  auto* call = static_cast<Call*>(self);
  const Api& api = call->node_.api();
  Status* failure = api.KernelContext_ParallelFor(call->context_, task, count, size_t{0}, state);
  if (!failure) return;
  if (call->failure_) api.ReleaseStatus(call->failure_);
  call->failure_ = failure;
}

}  // namespace sbn::ort
