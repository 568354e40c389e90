// Shapes as they are known when a model is loaded.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ort/abi.h"
#include "ort/node.h"

namespace sbn::ort {

// A dimension is a number, or -1 and a name (or none).
struct KnownShape {
  size_t rank = 0;  // 0 also where the rank is unknown
  int64_t dims[kMaxRank] = {};
  const char* names[kMaxRank] = {};

  // A size, or -1 for one that is unknown.
  void set(size_t axis, int64_t size) { dims[axis] = size, names[axis] = ""; }
  bool known(size_t axis) const { return dims[axis] >= 0; }
};

// What an operator's inference sees. It returns whether it knows the output's shape;
// it never fails: bad shapes are reported when the kernel is created or runs.
struct Inference {
  Api api;
  const OpSpec& spec;
  ShapeContext* context;

  Status* input(size_t index, KnownShape* shape) const;
  // Whether all attributes were there.
  bool attributes(int64_t* values) const;
  Status* output(size_t index, const KnownShape& shape) const;
};

}  // namespace sbn::ort
