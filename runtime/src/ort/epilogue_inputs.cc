#include "ort/epilogue_inputs.h"

#include "kernels/scratch.h"

namespace sbn::ort {
namespace {

constexpr size_t kFirst = 2;  // after X and W
constexpr size_t kMost = 4;

constexpr size_t vectors(Op op) {
  return is_threshold(op) ? 1 : is_clamp(op) ? 4 : is_prelu(op) ? 3 : 2;
}

// All vectors have elements of four bytes.
int64_t copy_bytes(int64_t outputs) {
  return static_cast<int64_t>(align_up(static_cast<size_t>(outputs) * 4, kScratchAlignment));
}

Epilogue epilogue_of(Op op, const void* const* from) {
  const auto floats = [&](size_t i) { return static_cast<const float*>(from[i]); };
  Epilogue e = {};
  e.dot_low = INT32_MIN, e.dot_high = INT32_MAX;
  if (is_threshold(op)) {
    e.threshold = static_cast<const int32_t*>(from[0]);
    return e;
  }
  e.scale = floats(0), e.bias = floats(1);
  if (is_clamp(op)) e.low = floats(2), e.high = floats(3);
  if (is_prelu(op)) e.slope = floats(2);
  return e;
}

}  // namespace

Status* EpilogueInputs::create(const Node& node, const KernelInfo* info, Op op, int64_t outputs) {
  Tensor tensors[kMost];
  for (size_t i = 0; i < vectors(op); ++i) {
    bool found = false;
    SBN_TRY(node.constant(info, kFirst + i, &found, &tensors[i]));
    if (!found) return nullptr;
    SBN_TRY(node.expect(kFirst + i, tensors[i], 1, &outputs));
  }
  void* memory = nullptr;
  SBN_TRY(node.allocate(Size(copy_bytes(outputs)) * static_cast<int64_t>(vectors(op)), &memory));
  copies_ = static_cast<char*>(memory);
  outputs_ = outputs;
  for (size_t i = 0; i < vectors(op); ++i) {
    char* to = copies_ + static_cast<int64_t>(i) * copy_bytes(outputs);
    __builtin_memcpy(to, tensors[i].data, static_cast<size_t>(outputs) * 4);
  }
  return nullptr;
}

void EpilogueInputs::destroy(const Node& node) {
  if (copies_) node.release(copies_);
}

Epilogue EpilogueInputs::constants(Op op) const {
  const void* from[kMost] = {};
  for (size_t i = 0; i < vectors(op); ++i) {
    from[i] = copies_ + static_cast<int64_t>(i) * copy_bytes(outputs_);
  }
  return epilogue_of(op, from);
}

Status* EpilogueInputs::read(const Call& call, Op op, int64_t outputs, Epilogue* epilogue) const {
  if (constant()) {
    *epilogue = constants(op);
    return nullptr;
  }
  const void* from[kMost] = {};
  for (size_t i = 0; i < vectors(op); ++i) {
    Tensor tensor;
    SBN_TRY(call.input(kFirst + i, &tensor));
    SBN_TRY(call.node().expect(kFirst + i, tensor, 1, &outputs));
    from[i] = tensor.data;
  }
  *epilogue = epilogue_of(op, from);
  return nullptr;
}

Status* read_residual(const Call& call, size_t rank, const int64_t* dims, Epilogue* epilogue) {
  constexpr size_t kResidual = 4;
  Tensor residual;
  SBN_TRY(call.input(kResidual, &residual));
  SBN_TRY(call.node().expect(kResidual, residual, rank, dims));
  epilogue->residual = residual.as<float>();
  return nullptr;
}

}  // namespace sbn::ort
