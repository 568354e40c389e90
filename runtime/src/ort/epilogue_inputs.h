// The inputs of a product after X and W, and its outputs.
#pragma once

#include "kernels/product/epilogue.h"
#include "ort/node.h"
#include "ort/shape_inference.h"

namespace sbn::ort {

// How an operator ends: what becomes of the sum or, but for the first, of v = sum * scale + bias.
enum class Finish {
  kThreshold,  // packed signs
  kScale,      // Y = v
  kClamp,      // Y = min(max(v, low), high)
  kPRelu,      // Y = v < 0 ? v * slope : v
  kIntegers,   // Y = the nearest int16
  kResidual,   // Y = v + R, and its packed signs
  kActivate,   // Y = outer(inner(v) + R), and its packed signs
};

constexpr bool is_threshold(Finish finish) { return finish == Finish::kThreshold; }
// Whether R is the last input, and packed signs are a second output.
constexpr bool has_shortcut(Finish finish) {
  return finish == Finish::kResidual || finish == Finish::kActivate;
}

// Plain data that lives in a kernel object: the inputs that have one or more rows of an element for
// each output channel, which are T, or scale and bias and what the finish takes.
class EpilogueInputs {
 public:
  // Copies the inputs where all of them are constant.
  Status* create(const Node& node, const KernelInfo* info, Finish finish, int64_t outputs);
  void destroy(const Node& node);

  bool constant() const { return copies_ != nullptr; }
  Epilogue constants(Finish finish) const;

  // The inputs of a call. Leaves the residual to read_residual.
  Status* read(const Call& call, Finish finish, int64_t outputs, Epilogue* epilogue) const;

 private:
  char* copies_;
  int64_t outputs_;
  uint32_t neutral_;  // rows of activations that change nothing, a bit each
};

// R, which has the shape of Y.
Status* read_residual(const Call& call, Finish finish, size_t rank, const int64_t* dims,
                      Epilogue* epilogue);

// Makes the outputs of the shape that Y has, channels still counted as floats.
template <Finish finish>
Status* make_outputs(Call& call, size_t rank, const int64_t* dims, Epilogue* epilogue,
                     void** y) {
  int64_t packed[kMaxRank];
  for (size_t i = 0; i < rank; ++i) packed[i] = dims[i];
  packed[rank - 1] = words_of(dims[rank - 1]);
  if (is_threshold(finish)) return call.output(0, rank, packed, y);
  if (has_shortcut(finish)) {
    SBN_TRY(read_residual(call, finish, rank, dims, epilogue));
    void* signs = nullptr;
    SBN_TRY(call.output(1, rank, packed, &signs));
    epilogue->signs = static_cast<uint64_t*>(signs);
  }
  return call.output(0, rank, dims, y);
}

// Sets the last axis, of `channels` or -1, and the shape of a second output.
template <Finish finish>
void infer_outputs(int64_t channels, KnownShape* outputs) {
  const size_t last = outputs[0].rank - 1;
  const int64_t words = channels < 0 ? -1 : words_of(channels);
  if (has_shortcut(finish)) {
    outputs[1] = outputs[0];
    outputs[1].set(last, words);
  }
  outputs[0].set(last, is_threshold(finish) ? words : channels);
}

}  // namespace sbn::ort
