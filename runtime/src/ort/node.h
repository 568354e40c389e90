// What an operator's implementation sees of its node and of one call.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "base/text.h"
#include "kernels/parallel.h"
#include "ort/abi.h"
#include "ort/spec.h"

#define SBN_TRY(expression)                                  \
  do {                                                       \
    if (::sbn::ort::Status* status_ = (expression)) return status_; \
  } while (0)

namespace sbn::ort {

constexpr size_t kMaxRank = 8;

struct Tensor {
  ElementType type = ElementType::kUndefined;
  size_t rank = 0;
  int64_t dims[kMaxRank] = {};
  void* data = nullptr;

  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }

  // The product of the dimensions [from, to).
  int64_t count(size_t from, size_t to) const;
};

Message& operator<<(Message& message, const Tensor& shape);

// A node of a graph: its operator, its name, and the API to complain through.
class Node {
 public:
  Status* init(Api api, const OpSpec& spec, const KernelInfo* info);

  const Api& api() const { return api_; }
  const OpSpec& spec() const { return *spec_; }

  // "sbn.ConvScale node 'name': "
  Message message() const;
  Status* invalid(const Message& message) const;
  // For a reason that needs no numbers.
  Status* invalid(const char* reason) const;

  // Reads and checks all attributes; `values` holds as many as the spec has.
  Status* attributes(const KernelInfo* info, int64_t* values) const;

  // An input that is constant; *found is false when it is not.
  Status* constant(const KernelInfo* info, size_t index, bool* found, Tensor* tensor) const;

  // The shape of an input as far as it is known when the model is loaded: sizes that are not
  // are -1, and the rank is 0 where that is not.
  Status* known_shape(const KernelInfo* info, size_t index, Tensor* shape) const;

  // Checks packed signs, whose last axis holds `bits` bits: any others must be 0. Where only
  // shapes are asked for, there are none.
  Status* no_unused_bits(size_t input, const Tensor& tensor, int64_t bits) const;

  // Checks an input's shape: its rank, and the dimensions that are not -1.
  Status* expect(size_t input, const Tensor& tensor, size_t rank, const int64_t* dims) const;

  // Memory aligned to kScratchAlignment, to be given back with release.
  Status* allocate(Size bytes, void** memory) const;
  void release(void* memory) const;

 private:
  Api api_;
  const OpSpec* spec_ = nullptr;
  char name_[256] = {};
};

// One call of a kernel.
class Call {
 public:
  Call(const Node& node, KernelContext* context) : node_(node), context_(context) {}

  const Node& node() const { return node_; }
  Status* input(size_t index, Tensor* tensor) const;
  // *data is null where the host asks for shapes only; then with_threads does nothing.
  Status* output(size_t index, size_t rank, const int64_t* dims, void** data);

  // Runs body(parallel) on the threads of the session.
  template <class Body>
  Status* with_threads(Body body) {
    if (shapes_only_) return nullptr;
    const Parallel parallel = {run_tasks, this};
    body(parallel);
    return failure_;
  }

 private:
  static void run_tasks(void* self, size_t count, Parallel::Task task, void* state);

  const Node& node_;
  KernelContext* context_;
  Status* failure_ = nullptr;
  bool shapes_only_ = false;
};

// Memory that lives as long as a scope.
class Scratch {
 public:
  explicit Scratch(const Node& node) : node_(node) {}
  ~Scratch() {
    if (memory_) node_.release(memory_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  Status* allocate(Size bytes) { return node_.allocate(bytes, &memory_); }
  void* data() const { return memory_; }

 private:
  const Node& node_;
  void* memory_ = nullptr;
};

Status* read_tensor(const Api& api, const Value* value, Tensor* tensor);

}  // namespace sbn::ort
