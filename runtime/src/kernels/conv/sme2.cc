// The index of an image are planes of 32-bit words. A stride cuts the image into phases, each of the
// rows and columns that are as far from a tap; there, the inputs of neighbouring outputs under the
// same tap lie side by side. Positions are the outputs of a row and what lies between two rows,
// which is computed for nothing.
#include "kernels/product/sme2.h"

#include "kernels/registry.h"

namespace sbn::sme2 {
namespace {

int64_t weight_bytes(const ConvShape& s) {
  const int64_t words = s.kernel_h * s.kernel_w * half_words(s.group_channels);
  return sme2::weight_bytes(conv_blocks(s, kChannels), words);
}

void pack_weights(const ConvShape& s, const uint64_t* w, void* packed) {
  sme2::pack_weights(w, s.groups, s.group_outputs, s.kernel_h * s.kernel_w, s.group_channels,
                     packed);
}

int64_t offset_bytes(const ConvShape& s) { return sme2::offset_bytes(s.outputs); }

void pack_offsets(const ConvShape& s, const int32_t* offsets, void* packed) {
  sme2::pack_offsets(s.outputs, offsets, packed);
}

// The index: [image][group][word][column phase][row phase][row][column].
struct Planes {
  int64_t pitch, phase, plane, words, image;

  explicit Planes(const ConvShape& s) {
    pitch = div_up(s.padded_w, s.stride_w);
    phase = div_up(s.padded_h, s.stride_h) * pitch;
    plane = s.stride_w * s.stride_h * phase;
    words = half_words(s.group_channels);
    image = s.groups * words * plane;
  }

  // Of an image: output (y, x) is y * pitch + x.
  int64_t positions(const ConvShape& s) const { return (s.out_h - 1) * pitch + s.out_w; }
  int64_t tiles(const ConvShape& s) const { return div_up(positions(s), kPositions); }
};

int64_t index_bytes(const ConvShape& s) { return div_up(Planes(s).image * 4, s.padded_h); }

void build_index(const ConvShape& s, const uint64_t* padded_row, int64_t row, void* index) {
  const Planes planes(s);
  const int64_t y = row % s.padded_h;
  auto* to = static_cast<uint32_t*>(index) + row / s.padded_h * planes.image +
             y % s.stride_h * planes.phase + y / s.stride_h * planes.pitch;
  const int64_t pixel = s.groups * s.group_words;
  for (int64_t column = 0; column < s.stride_w; ++column, to += s.stride_h * planes.phase) {
    const int64_t count = div_up(max(s.padded_w - column, 0), s.stride_w);
    for (int64_t group = 0; group < s.groups; ++group) {
      const uint64_t* from = padded_row + column * pixel + group * s.group_words;
      to_planes(reinterpret_cast<const uint32_t*>(from), 2 * s.stride_w * pixel, count,
                planes.words, to + group * planes.words * planes.plane, planes.plane);
    }
  }
}

int64_t units(const ConvShape& s) { return s.batch * Planes(s).tiles(s); }

// Positions of an image, walked row by row.
class Positions {
 public:
  Positions(const ConvRun& run, int64_t image)
      : run_(run), s_(*run.shape), planes_(s_), image_(image) {}

  // Calls body(y, x, outputs, position) for each row of which [begin, end) has a part: as many
  // outputs from (y, x) on.
  template <class Body>
  SBN_INLINE void each_row(int64_t begin, int64_t end, const Body& body) const {
    int64_t y = begin / planes_.pitch, x = begin % planes_.pitch;
    for (int64_t at = begin; at < end; ++y, x = 0) {
      const int64_t length = min(planes_.pitch - x, end - at);
      if (x < s_.out_w) body(y, x, min(length, s_.out_w - x), at);
      at += length;
    }
  }

  int64_t pixel(int64_t y, int64_t x) const { return (image_ * s_.out_h + y) * s_.out_w + x; }

  const int32_t* offsets(int64_t y, int64_t x) const {
    const auto* all = static_cast<const char*>(run_.offsets);
    return reinterpret_cast<const int32_t*>(all + run_.row_offset[y] + run_.column_offset[x]);
  }

  // Which rows of offsets each tile from position `begin` on has. Not inlined, so that it can be
  // counted by itself (bench/arm).
  SBN_NOINLINE void list_offsets(int64_t begin, int64_t end, Offsets* list) const {
    int64_t y = begin / planes_.pitch, x = begin % planes_.pitch;
    for (; begin < end; begin += kPositions, ++list) {
      store(list->row, vdupq_n_u8(0));
      list->count = 0;
      // Most tiles are of one class, within a row.
      if (x + kPositions <= s_.out_w && alike(run_.column_offset + x, kPositions) == kPositions) {
        list->find(offsets(y, x));
        x += kPositions;
        continue;
      }
      const int64_t count = min(kPositions, end - begin);
      for (int64_t i = 0; i < count;) {
        if (x == planes_.pitch) x = 0, ++y;
        int64_t length = min(count - i, (x < s_.out_w ? s_.out_w : planes_.pitch) - x);
        if (x < s_.out_w) {
          length = alike(run_.column_offset + x, length);
          const uint8_t found = list->find(offsets(y, x));
          for (int64_t k = i; found && k < i + length; ++k) list->row[k] = found;
        }
        i += length, x += length;
      }
    }
  }

 private:
  // How many of `most` columns are of the class of the first one, which is one run of them.
  static int64_t alike(const int64_t* columns, int64_t most) {
    if (columns[most - 1] == *columns) return most;
    int64_t count = 1;
    while (columns[count] == *columns) ++count;
    return count;
  }

  const ConvRun& run_;
  const ConvShape& s_;
  Planes planes_;
  int64_t image_;
};

int64_t count_steps(const ConvShape& s) {
  const int64_t words = half_words(s.group_channels);
  return s.kernel_h * s.kernel_w * words / step_words(words);
}

// With groups of 8 outputs, floats take more instructions than with NEON alone (14x14x64 to 8: 98,000
// against 64,000), with 16 a quarter, nearly all of them outside streaming mode.
bool gains(const ConvShape& s) {
  return s.group_outputs >= kGroup && count_steps(s) <= kSteps;
}

// From the first element under the first tap to those of each step.
void list_steps(const ConvShape& s, const Planes& planes, int64_t* steps) {
  const int64_t words = step_words(planes.words);
  for (int64_t i = 0; i < s.kernel_h; ++i) {
    const int64_t y = i * s.dilation_h;
    for (int64_t j = 0; j < s.kernel_w; ++j) {
      const int64_t x = j * s.dilation_w;
      const int64_t at = (x % s.stride_w * s.stride_h + y % s.stride_h) * planes.phase +
                   y / s.stride_h * planes.pitch + x / s.stride_w;
      for (int64_t word = 0; word < planes.words; word += words) {
        *steps++ = at + word * planes.plane;
      }
    }
  }
}

void run(const ConvRun& run, Range blocks, Range tiles) {
  const ConvShape& s = *run.shape;
  const Planes planes(s);
  const bool bits = ends_in_bits(run.output);
  const int64_t most = most_tiles(run.output);
  const int64_t positions = planes.positions(s), per_image = planes.tiles(s);
  Results results;
  Offsets offsets[kBits / kPositions];
  int64_t steps[kSteps];
  list_steps(s, planes, steps);

  Product product = {};
  product.words = Words::signs;
  product.plane = planes.plane;
  product.steps = steps;
  product.count = count_steps(s);
  product.step_words = step_words(planes.words);
  product.block = product.count * product.step_words * kChannels;
  product.offsets = bits ? offsets : nullptr;
  product.result = results.data;
  for (int64_t tile = tiles.begin; tile < tiles.end;) {
    const int64_t image = tile / per_image, first = tile % per_image;
    const int64_t count = min(min(per_image - first, most), tiles.end - tile);
    const int64_t begin = first * kPositions;
    const int64_t end = min(begin + count * kPositions, positions);
    const Positions walked(run, image);
    if (bits) walked.list_offsets(begin, end, offsets);
    product.positions = end - begin;
    product.room = count * kPositions;
    for (int64_t index = blocks.begin; index < blocks.end;) {
      const ConvBlock block = conv_block(s, index, kChannels);
      const int64_t channels = min((block.group + 1) * s.group_outputs - block.channel,
                                   min(blocks.end - index, most / count) * kChannels);
      product.x = static_cast<const uint32_t*>(run.index) + image * planes.image +
                  block.group * planes.words * planes.plane + begin;
      product.w = static_cast<const uint32_t*>(run.weights) + index * product.block;
      product.channel = block.channel;
      product.channels = div_up(channels, kChannels) * kChannels;
      stream(product);
      Strip strip = {results, product.room};
      for (int64_t channel = 0; channel < channels; channel += kChannels, ++strip.block, ++index) {
        strip.channel = block.channel + channel;
        strip.count = min(channels - channel, kChannels);
        walked.each_row(begin, end, [&](int64_t y, int64_t x, int64_t outputs, int64_t at) {
          strip.position = at - begin;
          strip.positions = outputs;
          strip.pixel = walked.pixel(y, x);
          strip.offsets = static_cast<const char*>(run.offsets) + run.row_offset[y] +
                          strip.channel * int64_t{sizeof(int32_t)};
          strip.next_offset = run.column_offset + x;
          finish(run.output, strip);
        });
      }
    }
    tile += count;
  }
}

constexpr ConvKernel kernel(double task_macs) {
  return {kMaxProducts, kChannels,   kChannels,   weight_bytes, pack_weights, offset_bytes,
          pack_offsets, index_bytes, build_index, units,        run,          gains,
          task_macs};
}

}  // namespace
}  // namespace sbn::sme2

namespace sbn {

const ConvKernel conv_threshold_sme2 = sme2::kernel(1 << 27);
// Most of this is done outside the matrix unit, of which threads that share it have one each.
const ConvKernel conv_float_sme2 = sme2::kernel(1 << 26);

}  // namespace sbn
