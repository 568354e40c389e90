// Makes an onnxruntime custom op of an operator's specification and implementation.
#pragma once

#include <type_traits>

#include "ort/abi.h"
#include "ort/node.h"
#include "ort/shape_inference.h"
#include "ort/spec.h"

namespace sbn::ort {

// An operator's implementation is a class of plain data:
//
//   struct Implementation {
//     using Attributes = <Op>Attributes;          // the generated struct
//     // Fills the object, which was zeroed. On failure destroy is called too.
//     Status* create(const Node&, const Attributes&, const KernelInfo*);
//     void destroy(const Node&);                  // gives memory back
//     Status* compute(Call&) const;               // may run on many threads at once
//     // The shapes of the outputs; false when they cannot be known.
//     static bool infer(const Attributes&, const KnownShape* inputs, KnownShape* outputs);
//   };

// The API that RegisterCustomOps was given, for the one callback that gets none.
extern Api g_api;

struct RegisteredOp : CustomOp {
  const OpSpec* spec;
};

struct NoAttributes {};

template <class Implementation>
class Adapter {
 public:
  static constexpr RegisteredOp op(const OpSpec& spec) {
    RegisteredOp op = {};
    op.version = kApiVersion;
    op.name = [](const CustomOp* self) { return spec_of(self).name; };
    op.execution_provider = [](const CustomOp*) -> const char* { return nullptr; };
    op.input_type = [](const CustomOp* self, size_t i) { return spec_of(self).inputs[i].type; };
    op.input_count = [](const CustomOp* self) { return spec_of(self).input_count; };
    op.output_type = [](const CustomOp* self, size_t i) { return spec_of(self).outputs[i].type; };
    op.output_count = [](const CustomOp* self) { return spec_of(self).output_count; };
    op.destroy = destroy;
    op.input_characteristic = required;
    op.output_characteristic = required;
    op.input_memory = [](const CustomOp*, size_t) { return MemoryType::kDefault; };
    op.variadic_input_minimum = one;
    op.variadic_input_homogeneous = one;
    op.variadic_output_minimum = one;
    op.variadic_output_homogeneous = one;
    op.create_kernel_v2 = create;
    op.compute_v2 = compute;
    op.infer_shapes = infer;
    op.start_version = [](const CustomOp*) { return kVersion; };
    op.end_version = [](const CustomOp*) { return kVersion; };
    op.spec = &spec;
    return op;
  }

 private:
  using Attributes = typename Implementation::Attributes;

  struct Kernel {
    Node node;
    Implementation implementation;
  };

  // The values of all attributes, one after the other as the fields of the struct.
  struct Values {
    static constexpr size_t kCount = sizeof(Attributes) / sizeof(int64_t);
    static_assert(std::is_trivially_copyable_v<Attributes>);

    int64_t list[kCount + 1];

    Attributes attributes() const {
      Attributes result = {};
      __builtin_memcpy(&result, list, kCount * sizeof(int64_t));
      return result;
    }
  };

  static const OpSpec& spec_of(const CustomOp* op) {
    return *static_cast<const RegisteredOp*>(op)->spec;
  }
  static Characteristic required(const CustomOp*, size_t) { return Characteristic::kRequired; }
  static int one(const CustomOp*) { return 1; }

  static Status* create(const CustomOp* self, const void* api, const KernelInfo* info,
                        void** out) {
    Node node;
    SBN_TRY(node.init(Api(api), spec_of(self), info));
    Values values = {};
    SBN_TRY(node.attributes(info, values.list));
    void* memory = nullptr;
    SBN_TRY(node.allocate(sizeof(Kernel), &memory));
    auto* kernel = static_cast<Kernel*>(memory);
    kernel->node = node;
    kernel->implementation = {};
    if (Status* failure = kernel->implementation.create(node, values.attributes(), info)) {
      destroy(kernel);
      return failure;
    }
    *out = kernel;
    return nullptr;
  }

  static Status* compute(void* self, KernelContext* context) {
    const auto* kernel = static_cast<const Kernel*>(self);
    Call call(kernel->node, context);
    return kernel->implementation.compute(call);
  }

  static void destroy(void* self) {
    auto* kernel = static_cast<Kernel*>(self);
    const Node node = kernel->node;
    kernel->implementation.destroy(node);
    node.release(kernel);
  }

  static Status* infer(const CustomOp* self, ShapeContext* context) {
    const Inference inference = {g_api, spec_of(self), context};
    Values values = {};
    if (!inference.attributes(values.list)) return nullptr;
    KnownShape inputs[kMaxInputs];
    for (size_t i = 0; i < inference.spec.input_count; ++i) {
      SBN_TRY(inference.input(i, &inputs[i]));
    }
    KnownShape outputs[kMaxOutputs];
    if (!Implementation::infer(values.attributes(), inputs, outputs)) return nullptr;
    for (size_t i = 0; i < inference.spec.output_count; ++i) {
      SBN_TRY(inference.output(i, outputs[i]));
    }
    return nullptr;
  }
};

}  // namespace sbn::ort
