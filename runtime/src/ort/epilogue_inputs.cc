#include "ort/epilogue_inputs.h"

#include "kernels/scratch.h"

namespace sbn::ort {
namespace {

constexpr size_t kFirst = 2;  // after X and W
constexpr size_t kMostRows = 16;
constexpr size_t kActivationRows = 6;

// Rows of elements of four bytes in each input; those with one row are vectors.
struct Rows {
  size_t inputs;
  size_t of[5];
};

constexpr Rows rows_of(Finish finish) {
  switch (finish) {
    case Finish::kThreshold:
      return {1, {1}};
    case Finish::kClamp:
      return {4, {1, 1, 1, 1}};
    case Finish::kPRelu:
      return {3, {1, 1, 1}};
    case Finish::kActivate:
      return {5, {1, 1, kActivationRows, kActivationRows, 2}};
    default:
      return {2, {1, 1}};
  }
}

constexpr size_t total(const Rows& rows) {
  size_t sum = 0;
  for (size_t i = 0; i < rows.inputs; ++i) sum += rows.of[i];
  return sum;
}

int64_t row_bytes(int64_t outputs) {
  return static_cast<int64_t>(align_up(static_cast<size_t>(outputs) * 4, kScratchAlignment));
}

Status* check(const Node& node, size_t index, size_t rows, const Tensor& tensor, int64_t outputs) {
  const int64_t dims[] = {static_cast<int64_t>(rows), outputs};
  return rows == 1 ? node.expect(kFirst + index, tensor, 1, dims + 1)
                   : node.expect(kFirst + index, tensor, 2, dims);
}

// `neutral` has a bit for each row: those set are left out.
Activation activation_of(const void* const* from, uint32_t neutral) {
  const auto row = [&](size_t i) {
    return neutral >> i & 1 ? nullptr : static_cast<const float*>(from[i]);
  };
  return {row(0), row(1), row(2), row(3), row(4), row(5)};
}

// Rows of inner, outer and bounds that change nothing, a bit for each. A slope of 1 is such a row
// where the gain is 1 as well.
uint32_t neutral_rows(const void* const* from, int64_t outputs) {
  constexpr float kInfinity = __builtin_inff();
  constexpr float kNeutral[] = {0, 1, 1, 0, -kInfinity, kInfinity, 0, 1, 1, 0, -kInfinity,
                                kInfinity, 0, kInfinity};
  uint32_t neutral = 0;
  for (size_t i = 0; i < sizeof kNeutral / sizeof *kNeutral; ++i) {
    const auto* row = static_cast<const float*>(from[i]);
    bool same = true;
    for (int64_t o = 0; o < outputs && same; ++o) same = row[o] == kNeutral[i];
    neutral |= uint32_t{same} << i;
  }
  for (size_t first = 0; first < 2 * kActivationRows; first += kActivationRows) {
    if (!(neutral >> (first + 2) & 1)) neutral &= ~(uint32_t{1} << (first + 1));
  }
  return neutral;
}

Epilogue epilogue_of(Finish finish, const void* const* from, uint32_t neutral) {
  const auto floats = [&](size_t i) { return static_cast<const float*>(from[i]); };
  Epilogue e = {};
  e.dot_low = INT32_MIN, e.dot_high = INT32_MAX;
  if (is_threshold(finish)) {
    e.threshold = static_cast<const int32_t*>(from[0]);
    return e;
  }
  e.scale = floats(0), e.bias = floats(1);
  e.integers = finish == Finish::kIntegers;
  if (finish == Finish::kClamp) e.inner.low = floats(2), e.inner.high = floats(3);
  if (finish == Finish::kPRelu) e.inner.slope = floats(2);
  if (finish == Finish::kActivate) {
    e.inner = activation_of(from + 2, neutral);
    e.outer = activation_of(from + 2 + kActivationRows, neutral >> kActivationRows);
    const size_t bounds = 2 + 2 * kActivationRows;
    if (!(neutral >> (bounds - 2) & 1)) e.sign_low = floats(bounds);
    if (!(neutral >> (bounds - 1) & 1)) e.sign_high = floats(bounds + 1);
  }
  return e;
}

}  // namespace

Status* EpilogueInputs::create(const Node& node, const KernelInfo* info, Finish finish,
                               int64_t outputs) {
  const Rows rows = rows_of(finish);
  Tensor tensors[sizeof rows.of / sizeof *rows.of];
  for (size_t i = 0; i < rows.inputs; ++i) {
    bool found = false;
    SBN_TRY(node.constant(info, kFirst + i, &found, &tensors[i]));
    if (!found) return nullptr;
    SBN_TRY(check(node, i, rows.of[i], tensors[i], outputs));
  }
  void* memory = nullptr;
  SBN_TRY(node.allocate(Size(row_bytes(outputs)) * static_cast<int64_t>(total(rows)), &memory));
  copies_ = static_cast<char*>(memory);
  outputs_ = outputs;
  const size_t bytes = static_cast<size_t>(outputs) * 4;
  const void* copied[kMostRows] = {};
  size_t row = 0;
  for (size_t i = 0; i < rows.inputs; ++i) {
    for (size_t j = 0; j < rows.of[i]; ++j, ++row) {
      char* to = copies_ + static_cast<int64_t>(row) * row_bytes(outputs);
      __builtin_memcpy(to, static_cast<const char*>(tensors[i].data) + j * bytes, bytes);
      copied[row] = to;
    }
  }
  if (finish == Finish::kActivate) neutral_ = neutral_rows(copied + 2, outputs);
  return nullptr;
}

void EpilogueInputs::destroy(const Node& node) {
  if (copies_) node.release(copies_);
}

Epilogue EpilogueInputs::constants(Finish finish) const {
  const void* from[kMostRows] = {};
  for (size_t row = 0; row < total(rows_of(finish)); ++row) {
    from[row] = copies_ + static_cast<int64_t>(row) * row_bytes(outputs_);
  }
  return epilogue_of(finish, from, neutral_);
}

Status* EpilogueInputs::read(const Call& call, Finish finish, int64_t outputs,
                             Epilogue* epilogue) const {
  if (constant()) {
    *epilogue = constants(finish);
    return nullptr;
  }
  const Rows rows = rows_of(finish);
  const void* from[kMostRows] = {};
  size_t row = 0;
  for (size_t i = 0; i < rows.inputs; ++i) {
    Tensor tensor;
    SBN_TRY(call.input(kFirst + i, &tensor));
    SBN_TRY(check(call.node(), i, rows.of[i], tensor, outputs));
    for (size_t j = 0; j < rows.of[i]; ++j) {
      from[row++] = static_cast<const char*>(tensor.data) +
                    j * static_cast<size_t>(outputs) * 4;
    }
  }
  *epilogue = epilogue_of(finish, from, 0);
  return nullptr;
}

Status* read_residual(const Call& call, Finish finish, size_t rank, const int64_t* dims,
                      Epilogue* epilogue) {
  // The last input.
  const size_t index = kFirst + rows_of(finish).inputs;
  Tensor residual;
  SBN_TRY(call.input(index, &residual));
  SBN_TRY(call.node().expect(index, residual, rank, dims));
  epilogue->residual = residual.as<float>();
  return nullptr;
}

}  // namespace sbn::ort
