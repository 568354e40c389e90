// Binary matrix product: rows of X by rows of W.
//
// Mismatches and offsets are those of conv.h; there is one row of offsets.
#pragma once

#include <stdint.h>

#include "base/arithmetic.h"
#include "kernels/parallel.h"
#include "kernels/product/epilogue.h"

namespace sbn {

struct DenseShape {
  int64_t outputs, words, products;
  int64_t output_words;  // words_of(outputs)
  int64_t rows;
};

struct DenseRun {
  const DenseShape* shape;
  const uint64_t* x;
  const void* weights;
  const void* offsets;
  Output output;
};

struct DenseKernel {
  // Most bits of a row (64 * words) that the kernel's counters hold.
  int64_t max_bits;
  int64_t block_channels;

  int64_t (*weight_bytes)(const DenseShape& shape);
  void (*pack_weights)(const DenseShape& shape, const uint64_t* w, void* packed);
  int64_t (*offset_bytes)(const DenseShape& shape);
  void (*pack_offsets)(const DenseShape& shape, const int32_t* offsets, void* packed);

  // Computes blocks x rows.
  void (*run)(const DenseRun& run, Range blocks, Range rows);

  // Whether a kernel of a lower set is slower for a row of this shape; null: whenever it counts so
  // far.
  bool (*gains)(const DenseShape& shape) = nullptr;
};

SBN_INLINE bool fits(const DenseKernel& kernel, const DenseShape& s) {
  return 64 * s.words <= kernel.max_bits && (!kernel.gains || kernel.gains(s));
}

// What a node computes with; see ConvNode.
struct DenseNode {
  const DenseKernel* kernel;
  const DenseShape* shape;
  const uint64_t* w;
  const void* packed_weights;
  const void* packed_offsets;  // by dense_prepare_offsets, or null
  Epilogue epilogue;
};

// `prepared` has kernel->offset_bytes(shape) bytes, `scratch` four for each output.
void dense_prepare_offsets(const DenseNode& node, void* scratch, void* prepared);

Size dense_scratch(const DenseNode& node);

void dense_execute(const DenseNode& node, const uint64_t* x, void* y, void* scratch,
                   const Parallel& parallel);

}  // namespace sbn
