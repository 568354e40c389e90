// Binary convolution: what it computes, and the interface of its kernels.
//
// Notation: a kernel counts, for each output pixel and channel, the mismatches
//   m = popcount(x xor w)
// over all K = kernel_h * kernel_w * group_channels products, so that the dot
// product is K - 2 m. Border elements of value +1 and -1 are real elements of a
// padded copy of the input. A border of 0 is computed as +1, and what its taps
// added to the dot product is taken off again through the offsets below.
//
// Each output pixel has one row of offsets, an int32 for each output channel:
//   threshold: the bit is set where m > offset
//   scale:     dot = offset - 2 m
// Without zero padding all pixels share one row. With it, a pixel's row depends
// on which taps fall outside the image: its border class.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "kernels/parallel.h"
#include "kernels/product/epilogue.h"
#include "kernels/resize.h"
#include "op_limits.inc"

namespace sbn {

struct ConvShape {
  // Fixed when the node is created.
  int64_t channels, outputs, groups;
  int64_t kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t dilation_h, dilation_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
  int64_t pad_value;  // -1, 0 or +1

  // Known when it runs.
  int64_t batch, height, width;

  // Derived by conv_fix and resize.
  int64_t group_channels, group_outputs;
  int64_t group_words;   // of one group, in weights and prepared inputs
  int64_t input_words;   // of one pixel of X
  int64_t output_words;  // of one pixel of a packed Y
  int64_t products;      // K
  int64_t padded_h, padded_w;
  int64_t out_h, out_w;
};

// Float32, in which products are scaled, counts no further.
constexpr int64_t kMaxProducts = SBN_MAX_PRODUCTS;

// Derives what the weights determine. Returns null, or what is wrong with the shape.
const char* conv_fix(ConvShape* shape);
// Derives what the input's size determines; returns whether the kernel fits into it.
bool resize(ConvShape* shape);

struct ConvRun;

struct ConvKernel {
  // Largest K that the kernel's counters hold.
  int64_t max_products;
  // Output channels of one block. Bits of a block are stored without looking at
  // their neighbours where every group's outputs start at a multiple of `alignment`.
  int64_t block_channels;
  int64_t alignment;

  // Weights: bytes and contents of the packed copy; `w` is [O, kh, kw, group_words].
  int64_t (*weight_bytes)(const ConvShape& shape);
  void (*pack_weights)(const ConvShape& shape, const uint64_t* w, void* packed);

  // One row of offsets as the kernel wants it.
  int64_t (*offset_bytes)(const ConvShape& shape);
  void (*pack_offsets)(const ConvShape& shape, const int32_t* offsets, void* packed);

  // An index made from the padded input, row by row; null where the kernel reads
  // the padded input itself. `row` counts batch * padded_h rows.
  int64_t (*index_bytes)(const ConvShape& shape);
  void (*build_index)(const ConvShape& shape, const uint64_t* padded_row, int64_t row,
                      void* index);

  // Number of units of output that can be computed apart (pixels, pairs of pixels).
  int64_t (*units)(const ConvShape& shape);

  // Computes blocks x units.
  void (*run)(const ConvRun& run, Range blocks, Range units);

  // Whether a kernel of a lower set is slower, by what conv_fix knows; null: whenever it counts
  // so far.
  bool (*gains)(const ConvShape& shape) = nullptr;

  // Binary MACs that are worth a task of their own: about 15 us at full speed.
  double task_macs = 1 << 23;
};

SBN_INLINE bool fits(const ConvKernel& kernel, const ConvShape& s) {
  return s.products <= kernel.max_products && (!kernel.gains || kernel.gains(s));
}

// What a kernel works on.
struct ConvRun {
  const ConvShape* shape;
  const uint64_t* input;  // padded, [batch, padded_h, padded_w, groups * group_words]
  const void* index;
  const void* weights;
  const void* offsets;
  const int64_t* row_offset;     // bytes into `offsets` by output row
  const int64_t* column_offset;  // and by output column, to be added
  Output output;
};

// Words of weights of one output channel.
SBN_INLINE int64_t conv_steps(const ConvShape& s) {
  return s.kernel_h * s.kernel_w * s.group_words;
}

// One block of output channels, which all belong to one group.
struct ConvBlock {
  int64_t index;
  int64_t group;
  int64_t channel;  // first
  int64_t count;    // of channels in use
};

SBN_INLINE int64_t conv_blocks(const ConvShape& s, int64_t block_channels) {
  return s.groups * div_up(s.group_outputs, block_channels);
}

SBN_INLINE ConvBlock conv_block(const ConvShape& s, int64_t index, int64_t block_channels) {
  const int64_t per_group = div_up(s.group_outputs, block_channels);
  const int64_t group = index / per_group;
  const int64_t first = index % per_group * block_channels;
  return {index, group, group * s.group_outputs + first, min(block_channels, s.group_outputs - first)};
}

// What a node computes with.
struct ConvNode {
  const ConvKernel* kernel;
  const ConvShape* shape;
  const uint64_t* w;            // as in the model, used where the next two are null
  const void* packed_weights;   // by kernel->pack_weights, or null
  const void* packed_offsets;   // by conv_prepare_offsets, or null
  Epilogue epilogue;
};

// Offsets follow from the weights, the thresholds and the border class. Where those
// are constant, the offsets of all classes that an input of any size may have are
// prepared once. Bytes that they take; 0 where there are too many classes.
int64_t conv_prepared_bytes(const ConvNode& node);
// `scratch` has conv_prepare_scratch(node) bytes.
Size conv_prepare_scratch(const ConvNode& node);
void conv_prepare_offsets(const ConvNode& node, void* scratch, void* prepared);

// Bytes of scratch, aligned to kScratchAlignment, that conv_execute needs.
Size conv_scratch(const ConvNode& node);

void conv_execute(const ConvNode& node, const uint64_t* x, void* y, void* scratch,
                  const Parallel& parallel);

}  // namespace sbn
