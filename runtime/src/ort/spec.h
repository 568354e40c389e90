// The specifications of the operators, generated from converters/sbn_converters/ops.py.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ort/abi.h"

namespace sbn::ort {

struct TensorSpec {
  const char* name;
  ElementType type;
  const char* shape;
};

struct Limits {
  int64_t minimum;
  int64_t maximum;

  constexpr bool hold(int64_t value) const { return value >= minimum && value <= maximum; }
};

struct AttributeSpec {
  const char* name;
  int64_t length;    // of a list; 0 for a single integer
  Limits limits[4];  // of each value

  constexpr int64_t values() const { return length ? length : 1; }
};

// The values of all attributes, in the order of the table, are also the fields of
// the generated struct <Op>Attributes.
struct OpSpec {
  const char* name;
  const TensorSpec* inputs;
  size_t input_count;
  const TensorSpec* outputs;
  size_t output_count;
  const AttributeSpec* attributes;
  size_t attribute_count;
};

#include "op_specs.inc"

constexpr size_t kMaxInputs = 8;
constexpr size_t kMaxOutputs = 2;

}  // namespace sbn::ort
