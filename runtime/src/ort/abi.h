// The part of ONNX Runtime's C ABI that the op library uses.
//
// OrtApi is a table of function pointers to which every release only appends, so
// the slots below have the same meaning in all of them. All of them exist since API
// version 17 (onnxruntime 1.17).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sbn::ort {

constexpr uint32_t kApiVersion = 17;

// Opaque to us.
struct Status;
struct Value;
struct Allocator;
struct SessionOptions;
struct CustomOpDomain;
struct KernelInfo;
struct KernelContext;
struct TensorInfo;
struct TypeInfo;
struct ShapeContext;
struct Attribute;

enum class ErrorCode : int { kFail = 1, kInvalidArgument = 2, kNotImplemented = 9 };
enum class ElementType : int {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kBool = 9,
  kUint64 = 13,
};
enum class Characteristic : int { kRequired = 0 };
enum class MemoryType : int { kDefault = 0 };
enum class AttributeType : int { kInt = 1, kInts = 2 };

struct ApiBase {
  const void* (*get_api)(uint32_t version);
  const char* (*version)();
};

struct CustomOp {
  uint32_t version;
  void* (*create_kernel)(const CustomOp*, const void* api, const KernelInfo*);
  const char* (*name)(const CustomOp*);
  const char* (*execution_provider)(const CustomOp*);
  ElementType (*input_type)(const CustomOp*, size_t);
  size_t (*input_count)(const CustomOp*);
  ElementType (*output_type)(const CustomOp*, size_t);
  size_t (*output_count)(const CustomOp*);
  void (*compute)(void* kernel, KernelContext*);
  void (*destroy)(void* kernel);
  Characteristic (*input_characteristic)(const CustomOp*, size_t);
  Characteristic (*output_characteristic)(const CustomOp*, size_t);
  MemoryType (*input_memory)(const CustomOp*, size_t);
  int (*variadic_input_minimum)(const CustomOp*);
  int (*variadic_input_homogeneous)(const CustomOp*);
  int (*variadic_output_minimum)(const CustomOp*);
  int (*variadic_output_homogeneous)(const CustomOp*);
  Status* (*create_kernel_v2)(const CustomOp*, const void* api, const KernelInfo*, void** kernel);
  Status* (*compute_v2)(void* kernel, KernelContext*);
  Status* (*infer_shapes)(const CustomOp*, ShapeContext*);
  int (*start_version)(const CustomOp*);
  int (*end_version)(const CustomOp*);
  // Read by API versions above ours.
  void* may_inplace;
  void* release_may_inplace;
  void* alias_map;
  void* release_alias_map;
};
static_assert(sizeof(CustomOp) == 26 * sizeof(void*), "the ABI's layout");

using ParallelBody = void (*)(void* state, size_t index);

// slot, name, result, parameters
#define SBN_ORT_FUNCTIONS(X)                                                                      \
  X(0, CreateStatus, Status*, (ErrorCode, const char*))                                           \
  X(26, CreateCustomOpDomain, Status*, (const char*, CustomOpDomain**))                           \
  X(27, CustomOpDomain_Add, Status*, (CustomOpDomain*, const CustomOp*))                          \
  X(28, AddCustomOpDomain, Status*, (SessionOptions*, CustomOpDomain*))                           \
  X(51, GetTensorMutableData, Status*, (Value*, void**))                                          \
  X(55, CastTypeInfoToTensorInfo, Status*, (const TypeInfo*, const TensorInfo**))                 \
  X(57, CreateTensorTypeAndShapeInfo, Status*, (TensorInfo**))                                    \
  X(58, SetTensorElementType, Status*, (TensorInfo*, ElementType))                                \
  X(59, SetDimensions, Status*, (TensorInfo*, const int64_t*, size_t))                            \
  X(60, GetTensorElementType, Status*, (const TensorInfo*, ElementType*))                         \
  X(61, GetDimensionsCount, Status*, (const TensorInfo*, size_t*))                                \
  X(62, GetDimensions, Status*, (const TensorInfo*, int64_t*, size_t))                            \
  X(63, GetSymbolicDimensions, Status*, (const TensorInfo*, const char**, size_t))                \
  X(65, GetTensorTypeAndShape, Status*, (const Value*, TensorInfo**))                             \
  X(75, AllocatorAlloc, Status*, (Allocator*, size_t, void**))                                    \
  X(76, AllocatorFree, Status*, (Allocator*, void*))                                              \
  X(78, GetAllocatorWithDefaultOptions, Status*, (Allocator**))                                   \
  X(86, KernelInfoGetAttribute_int64, Status*, (const KernelInfo*, const char*, int64_t*))        \
  X(90, KernelContext_GetInput, Status*, (const KernelContext*, size_t, const Value**))           \
  X(91, KernelContext_GetOutput, Status*,                                                         \
    (KernelContext*, size_t, const int64_t*, size_t, Value**))                                    \
  X(93, ReleaseStatus, void, (Status*))                                                           \
  X(98, ReleaseTypeInfo, void, (TypeInfo*))                                                       \
  X(99, ReleaseTensorTypeAndShapeInfo, void, (TensorInfo*))                                       \
  X(101, ReleaseCustomOpDomain, void, (CustomOpDomain*))                                          \
  X(163, KernelInfoGetAttributeArray_int64, Status*,                                              \
    (const KernelInfo*, const char*, int64_t*, size_t*))                                          \
  X(234, KernelInfo_GetInputTypeInfo, Status*, (const KernelInfo*, size_t, TypeInfo**))           \
  X(244, KernelInfo_GetNodeName, Status*, (const KernelInfo*, char*, size_t*))                    \
  X(249, KernelInfoGetConstantInput_tensor, Status*,                                              \
    (const KernelInfo*, size_t, int*, const Value**))                                             \
  X(268, ShapeInferContext_GetInputTypeShape, Status*, (const ShapeContext*, size_t, TensorInfo**)) \
  X(269, ShapeInferContext_GetAttribute, Status*,                                                 \
    (const ShapeContext*, const char*, const Attribute**))                                        \
  X(270, ShapeInferContext_SetOutputTypeShape, Status*,                                           \
    (const ShapeContext*, size_t, const TensorInfo*))                                             \
  X(271, SetSymbolicDimensions, Status*, (TensorInfo*, const char**, size_t))                     \
  X(272, ReadOpAttr, Status*, (const Attribute*, AttributeType, void*, size_t, size_t*))          \
  X(274, KernelContext_ParallelFor, Status*,                                                      \
    (const KernelContext*, ParallelBody, size_t count, size_t batches, void* state))

// The functions of one onnxruntime.
class Api {
 public:
  Api() = default;
  explicit Api(const void* table) : table_(static_cast<const Slot*>(table)) {}

#define SBN_ORT_FUNCTION(slot, name, result, parameters)           \
  template <class... Arguments>                                    \
  result name(Arguments... arguments) const {                      \
    return reinterpret_cast<result(*) parameters>(table_[slot])(arguments...); \
  }
  SBN_ORT_FUNCTIONS(SBN_ORT_FUNCTION)
#undef SBN_ORT_FUNCTION

 private:
  using Slot = void (*)();
  const Slot* table_ = nullptr;
};
#undef SBN_ORT_FUNCTIONS

}  // namespace sbn::ort
