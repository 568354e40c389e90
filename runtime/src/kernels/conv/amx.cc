// Convolution on tiles of bytes (AMX int8): bits are expanded to bytes block by block.
//
// A tile product multiplies 16 pixels by 16 channels over 64 bytes in 16 cycles, 1024
// MAC a cycle, three times what xor and popcount reach. With the bits x of the input as
// 0 and -1 and the bits w of the weights as -1 and +1, the sum of products is
// popcount(x) - 2 popcount(x & w); accumulators start at popcount(w), so they end as the
// mismatches. Unused bits of x are 0 and add nothing.
//
// The index is the padded input in bytes, each output column with its kernel row:
// [image][plane][row][out column][group][kernel column][channel]. The rows of a plane
// are those with the same remainder by the vertical stride, so that under each kernel
// row consecutive output pixels have one stride, across the ends of rows too.
#include "base/bits.h"
#include "kernels/conv/cursor.h"
#include "kernels/product/avx512.h"
#include "kernels/product/tiles.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

using amx::kPixels;
using avx512::kBlock;

constexpr int64_t kStepBytes = 64;

// Weights of one block as packed: popcounts, then bits in the order of the tiles.
struct Weights {
  int32_t ones[kBlock];

  uint64_t* bits() { return reinterpret_cast<uint64_t*>(this + 1); }
  const uint64_t* bits() const { return reinterpret_cast<const uint64_t*>(this + 1); }
};
constexpr int64_t kStepWords = kBlock;

int64_t block_bytes(const ConvShape& s) {
  return static_cast<int64_t>(sizeof(Weights)) + conv_steps(s) * kStepWords * 8;
}

int64_t weight_bytes(const ConvShape& s) { return conv_blocks(s, kBlock) * block_bytes(s); }

// The bits of word [step][half][row]: bit 4 n + i is that of channel 16 half + n and of
// input 4 row + i.
void pack_weights(const ConvShape& s, const uint64_t* w, void* packed) {
  const int64_t steps = conv_steps(s);
  for (int64_t index = 0; index < conv_blocks(s, kBlock); ++index) {
    const ConvBlock block = conv_block(s, index, kBlock);
    auto* to = reinterpret_cast<Weights*>(static_cast<char*>(packed) + index * block_bytes(s));
    for (int64_t i = 0; i < kBlock; ++i) to->ones[i] = 0;
    for (int64_t i = 0; i < steps * kStepWords; ++i) to->bits()[i] = 0;
    for (int64_t channel = 0; channel < block.count; ++channel) {
      const uint64_t* from = w + (block.channel + channel) * steps;
      for (int64_t step = 0; step < steps; ++step) {
        const uint64_t word = load<uint64_t>(from + step);
        to->ones[channel] += static_cast<int32_t>(count_bits(word));
        uint64_t* rows = to->bits() + step * kStepWords + channel / 16 * 16;
        for (int64_t row = 0; row < 16; ++row) {
          rows[row] |= (word >> 4 * row & 15) << 4 * (channel % 16);
        }
      }
    }
  }
}

int64_t offset_bytes(const ConvShape& s) { return avx512::offset_bytes(s.outputs); }

void pack_offsets(const ConvShape& s, const int32_t* offsets, void* packed) {
  avx512::pack_offsets(s.outputs, offsets, packed);
}

// Bytes of the index: of one kernel row of a group, of an output pixel, of a padded row.
int64_t kernel_row_bytes(const ConvShape& s) { return s.kernel_w * s.group_words * kStepBytes; }
int64_t pixel_bytes(const ConvShape& s) { return s.groups * kernel_row_bytes(s); }
int64_t index_bytes(const ConvShape& s) { return s.out_w * pixel_bytes(s); }

// Where a row of a padded image lies among the rows of the index.
int64_t place_of_row(const ConvShape& s, int64_t row) {
  const int64_t plane = row % s.stride_h;
  const int64_t before = plane * (s.padded_h / s.stride_h) + min(plane, s.padded_h % s.stride_h);
  return before + row / s.stride_h;
}

SBN_TARGET_AVX512 void build_index(const ConvShape& s, const uint64_t* padded_row, int64_t row,
                                   void* index) {
  const int64_t image = row / s.padded_h;
  const int64_t place = image * s.padded_h + place_of_row(s, row % s.padded_h);
  char* to = static_cast<char*>(index) + place * index_bytes(s);
  const int64_t words = s.groups * s.group_words;
  const int64_t column_step = s.dilation_w * words;
  for (int64_t column = 0; column < s.out_w; ++column) {
    for (int64_t group = 0; group < s.groups; ++group) {
      const uint64_t* from = padded_row + column * s.stride_w * words + group * s.group_words;
      for (int64_t tap = 0; tap < s.kernel_w; ++tap, from += column_step) {
        for (int64_t word = 0; word < s.group_words; ++word, to += kStepBytes) {
          _mm512_storeu_si512(to, _mm512_movm_epi8(load<uint64_t>(from + word)));
        }
      }
    }
  }
}

int64_t units(const ConvShape& s) { return s.batch * s.out_h * s.out_w; }

// The weights of one block in bytes.
int64_t task_bytes(const ConvShape& s) { return conv_steps(s) * kStepWords * kStepBytes; }

SBN_TARGET_AVX512 void expand(const uint64_t* bits, int64_t words, char* to) {
  const __m512i plus = _mm512_set1_epi8(1), minus = _mm512_set1_epi8(-1);
  for (int64_t i = 0; i < words; ++i) {
    _mm512_storeu_si512(to + i * kStepBytes, _mm512_mask_blend_epi8(bits[i], minus, plus));
  }
}

// Kernel rows in the index under output pixel 0 of an image.
struct KernelRows {
  int64_t count, steps, pixel_bytes;
  const ConvShape& shape;

  explicit KernelRows(const ConvShape& s)
      : count(s.kernel_h),
        steps(s.kernel_w * s.group_words),
        pixel_bytes(sbn::pixel_bytes(s)),
        shape(s) {}

  int64_t at(int64_t row) const {
    return place_of_row(shape, row * shape.dilation_h) * index_bytes(shape);
  }
};

template <int Tiles>
SBN_INLINE void multiply(const KernelRows& rows, const char* x, const char* w,
                         const int32_t* ones, int32_t* mismatches) {
  amx::begin<Tiles>(ones);
  for (int64_t i = 0; i < rows.count; ++i) {
    w = amx::accumulate<Tiles>(x + rows.at(i), rows.pixel_bytes, w, rows.steps);
  }
  amx::end<Tiles>(mismatches);
}

template <class Epilogue>
SBN_TARGET_AVX512 void finish(const Epilogue& epilogue, const int32_t* mismatches,
                              PixelCursor& cursor, const ConvBlock& block, Range pixels) {
  for (int64_t pixel = pixels.begin; pixel < pixels.end; ++pixel, cursor.next()) {
    const auto* offsets = reinterpret_cast<const int32_t*>(cursor.offsets()) + block.channel;
    const __m512i both[2] = {_mm512_loadu_si512(mismatches), _mm512_loadu_si512(mismatches + 16)};
    const __m512i first[1] = {both[0]};
    if (block.count > 16) {
      epilogue.lanes(both, offsets, pixel, block.channel, block.count);
    } else {
      epilogue.lanes(first, offsets, pixel, block.channel, block.count);
    }
    mismatches += kBlock;
  }
}

template <class Epilogue>
SBN_TARGET_AVX512 void run(const ConvRun& run, Range blocks, Range pixels) {
  const ConvShape& s = *run.shape;
  const Epilogue epilogue{run.output};
  const KernelRows rows(s);
  const int64_t image_pixels = s.out_h * s.out_w;
  auto* expanded = static_cast<char*>(run.task);
  alignas(64) int32_t mismatches[kPixels * kBlock];
  amx::Tiles tiles;
  for (int64_t index = blocks.begin; index < blocks.end; ++index) {
    const ConvBlock block = conv_block(s, index, kBlock);
    const auto* weights = reinterpret_cast<const Weights*>(
        static_cast<const char*>(run.weights) + index * block_bytes(s));
    expand(weights->bits(), conv_steps(s) * kStepWords, expanded);
    PixelCursor cursor(run, pixels.begin, block.group);
    for (int64_t pixel = pixels.begin; pixel < pixels.end;) {
      const int64_t image = pixel / image_pixels;
      const int64_t end = min(pixels.end, (image + 1) * image_pixels);
      const char* x = static_cast<const char*>(run.index) +
                      image * s.padded_h * index_bytes(s) + block.group * kernel_row_bytes(s);
      for (int64_t count; pixel < end; pixel += count) {
        count = min(kPixels, end - pixel);
        tiles.set_pixels(count);
        const char* from = x + (pixel - image * image_pixels) * rows.pixel_bytes;
        if (count > 16) {
          multiply<2>(rows, from, expanded, weights->ones, mismatches);
        } else {
          multiply<1>(rows, from, expanded, weights->ones, mismatches);
        }
        finish(epilogue, mismatches, cursor, block, {pixel, pixel + count});
      }
    }
  }
}

// Where this was faster than kernels/conv/avx512.cc on a Sapphire Rapids class core, at
// batch 1: with fewer outputs the half-empty tiles cost more, above 36 steps (256
// channels, 3 x 3) expanding the weights does, and below 18 steps (128 channels) the
// float epilogues, which do not overlap with the products.
constexpr int64_t kMostSteps = 36, kLeastFloatSteps = 18;

bool worthwhile(const ConvShape& s) {
  return s.group_outputs >= kBlock && conv_steps(s) <= kMostSteps;
}
bool float_worthwhile(const ConvShape& s) {
  return worthwhile(s) && conv_steps(s) >= kLeastFloatSteps;
}

template <class Epilogue>
constexpr ConvKernel kernel(bool (*faster)(const ConvShape&)) {
  return {avx512::kMaxProducts, kBlock,       kBlock,      weight_bytes, pack_weights,
          offset_bytes,         pack_offsets, index_bytes, build_index,  units,
          run<Epilogue>,        task_bytes,   faster};
}

}  // namespace

const ConvKernel conv_threshold_amx = kernel<avx512::Threshold>(worthwhile);
const ConvKernel conv_scale_amx = kernel<avx512::Float<Finish::kScale>>(float_worthwhile);
const ConvKernel conv_scale_clamp_amx = kernel<avx512::Float<Finish::kClamp>>(float_worthwhile);
const ConvKernel conv_scale_prelu_amx = kernel<avx512::Float<Finish::kPRelu>>(float_worthwhile);
const ConvKernel conv_quantize_amx = kernel<avx512::Float<Finish::kQuantize>>(float_worthwhile);
const ConvKernel conv_residual_amx = kernel<avx512::Float<Finish::kResidual>>(float_worthwhile);

}  // namespace sbn
