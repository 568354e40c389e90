// Positions are the output pixels of a row. Planes of words of four bytes are made of the rows of the
// image that an output row needs, of which the next one needs most too.
#include "kernels/product/sme2.h"

#include "kernels/registry.h"

namespace sbn::sme2 {
namespace {

// On the stack: planes, and a row of an image with its border.
constexpr int64_t kPlaneWords = 6144;
constexpr int64_t kRowBytes = 8192;
// Bytes that the last word of a row may have beyond it.
constexpr int64_t kSlack = 3;
// Tiles of one stay in streaming mode.
constexpr int64_t kTiles = kSums / kPositions;

// How the products of a row of the kernel become words: in runs of neighbours in the image.
struct Runs {
  int64_t runs, bytes;  // of a run
  int64_t run, row;     // words of a run, and of a row of the kernel

  explicit Runs(const PixelConvShape& s) {
    const bool joined = s.dilation_w == 1;
    runs = joined ? 1 : s.kernel_w;
    bytes = joined ? s.kernel_w * s.channels : s.channels;
    run = div_up(bytes, 4);
    row = runs * run;
  }
};

// Rows of the image under the kernel, and bytes of one under `outputs` neighbours.
int64_t rows_under(const PixelConvShape& s) { return (s.kernel_h - 1) * s.dilation_h + 1; }
int64_t bytes_under(const PixelConvShape& s, int64_t outputs) {
  return ((outputs - 1) * s.stride_w + (s.kernel_w - 1) * s.dilation_w + 1) * s.channels;
}

// Output pixels of a row that there is room for at once.
int64_t most_outputs(const PixelConvShape& s) {
  const int64_t words = rows_under(s) * Runs(s).row;
  const int64_t spare = kRowBytes - kSlack - bytes_under(s, 1);
  const int64_t most = min(kPlaneWords / words, spare / (s.stride_w * s.channels) + 1);
  return spare < 0 ? 0 : most / kPositions * kPositions;
}

bool gains(const PixelConvShape& s) {
  return s.kernel_h * Runs(s).row <= kSteps && most_outputs(s) > 0;
}

int64_t weight_bytes(const PixelConvShape& s) {
  return sme2::weight_bytes(div_up(s.outputs, kChannels), s.kernel_h * Runs(s).row);
}

void pack_weights(const PixelConvShape& s, const int8_t* w, void* packed) {
  const Runs words(s);
  const auto at = [&](int64_t o, int64_t step) {
    const int64_t first = step % words.run * 4;
    const int8_t* run = w + o * s.products + step / words.run * words.bytes;
    uint32_t word = 0;
    for (int64_t i = 0; i < min(words.bytes - first, 4); ++i) {
      word |= uint32_t{static_cast<uint8_t>(run[first + i])} << 8 * i;
    }
    return word;
  };
  pack_blocks(s.outputs, s.kernel_h * words.row, static_cast<uint32_t*>(packed), at);
}

// Planes of `count` neighbouring output pixels, by row of the padded image and word of a row.
class Planes {
 public:
  Planes(const PixelConvRun& run, int64_t column, int64_t count)
      : s_(*run.shape), x_(run.x), words_(s_), column_(column), count_(count),
        rows_(rows_under(s_)) {}

  const uint32_t* words() const { return planes_; }

  // Makes those of output row `y`, after those of the one before in the same image, if any.
  void move(int64_t image, int64_t y) {
    const int64_t top = y * s_.stride_h;
    if (image != image_) image_ = image, end_ = 0;
    for (end_ = max(end_, top); end_ < top + rows_; ++end_) make(end_);
  }

  // From the first word to those of each step.
  void list_steps(int64_t y, int64_t words, int64_t* steps) const {
    for (int64_t i = 0; i < s_.kernel_h; ++i) {
      const int64_t row = place(y * s_.stride_h + i * s_.dilation_h);
      for (int64_t word = 0; word < words_.row; word += words) *steps++ = row + word * count_;
    }
  }

 private:
  int64_t place(int64_t row) const { return row % rows_ * words_.row * count_; }

  void make(int64_t row) {
    copy_row(row - s_.pad_top);
    const int64_t distance = s_.stride_w * s_.channels;
    uint32_t* to = planes_ + place(row);
    for (int64_t run = 0; run < words_.runs; ++run) {
      const uint8_t* first = row_ + run * s_.dilation_w * s_.channels;
      for (int64_t word = 0; word < words_.run; ++word, to += count_, first += 4) {
        const uint8_t* from = first;
        int64_t i = 0;
        for (; i + 4 <= count_; i += 4, from += 4 * distance) {
          SBN_UNROLL
          for (int64_t k = 0; k < 4; ++k) to[i + k] = load<uint32_t>(from + k * distance);
        }
        for (; i < count_; ++i, from += distance) to[i] = load<uint32_t>(from);
      }
    }
  }

  // Row `y` of the image, with its border.
  void copy_row(int64_t y) {
    const int64_t left = column_ * s_.stride_w - s_.pad_left;
    const int64_t columns = bytes_under(s_, count_) / s_.channels;
    const bool inside = y >= 0 && y < s_.height;
    const int64_t begin = inside ? clamp(-left, 0, columns) : columns;
    const int64_t end = inside ? clamp(s_.width - left, begin, columns) : columns;
    const auto bytes = [&](int64_t count) { return static_cast<size_t>(count * s_.channels); };
    const auto border = static_cast<uint8_t>(s_.pad_value);
    __builtin_memset(row_, border, bytes(begin));
    if (begin < end) {
      const int64_t pixel = (image_ * s_.height + y) * s_.width + left + begin;
      __builtin_memcpy(row_ + bytes(begin), x_ + pixel * s_.channels, bytes(end - begin));
    }
    __builtin_memset(row_ + bytes(end), border, bytes(columns - end));
    __builtin_memset(row_ + bytes(columns), 0, kSlack);
  }

  const PixelConvShape& s_;
  const uint8_t* x_;
  const Runs words_;
  const int64_t column_, count_;  // output pixels
  const int64_t rows_;            // that are there at once
  int64_t image_ = -1, end_ = 0;  // the row after the last one that is there
  alignas(64) uint32_t planes_[kPlaneWords];
  uint8_t row_[kRowBytes];
};

// Thresholds as streaming mode adds them to sums, of `count` channels, in whole blocks.
void negate(const int32_t* threshold, int64_t count, int32_t* to) {
  // Further from 0 than any sum.
  constexpr int64_t kFar = kMaxPixelProducts * 255 * 128 + 1;
  static_assert(2 * kFar <= INT32_MAX, "differences are int32");
  static_assert(kFar <= kNever && kFar <= INT32_MAX - kNever, "no sum reaches it");
  for (int64_t i = 0; i < count; ++i) {
    to[i] = static_cast<int32_t>(-clamp(load<int32_t>(threshold + i), -kFar, kFar));
  }
  for (int64_t i = count; i % kChannels != 0; ++i) to[i] = kNever;
}

void run(const PixelConvRun& run, Range pixels) {
  const PixelConvShape& s = *run.shape;
  const bool bits = ends_in_bits(run.output);
  const int64_t row_words = Runs(s).row, words = s.kernel_h * row_words;
  Results results;
  int32_t limits[kTiles * kChannels];
  Offsets offsets[kTiles] = {};
  for (Offsets& tile : offsets) tile.find(limits);
  int64_t steps[kSteps];

  Product product = {};
  product.words = Words::bytes;
  product.step_words = step_words(row_words);
  product.count = words / product.step_words;
  product.block = words * kChannels;
  product.steps = steps;
  product.offsets = bits ? offsets : nullptr;
  product.result = results.data;
  for (int64_t column = 0, count; column < s.out_w; column += count) {
    count = min(s.out_w - column, most_outputs(s));
    Planes planes(run, column, count);
    product.plane = count;
    for (int64_t row = pixels.begin / s.out_w; row < pixels.end / s.out_w; ++row) {
      const int64_t y = row % s.out_h;
      planes.move(row / s.out_h, y);
      planes.list_steps(y, product.step_words, steps);
      for (int64_t at = 0; at < count; at += product.positions) {
        product.x = planes.words() + at;
        product.positions = min(count - at, kTiles * kPositions);
        const int64_t tiles = div_up(product.positions, kPositions);
        product.room = tiles * kPositions;
        for (int64_t first = 0; first < s.outputs; first += product.channels) {
          const int64_t channels = min(s.outputs - first, kTiles / tiles * kChannels);
          product.channels = div_up(channels, kChannels) * kChannels;
          product.w = static_cast<const uint32_t*>(run.weights) + first * words;
          if (bits) negate(run.output.epilogue.threshold + first, channels, limits);
          stream(product);
          Strip strip = {results, product.room, 0, 0, product.positions};
          strip.pixel = row * s.out_w + column + at;
          for (int64_t channel = 0; channel < channels; channel += kChannels, ++strip.block) {
            strip.channel = first + channel;
            strip.count = min(channels - channel, kChannels);
            finish(run.output, strip);
          }
        }
      }
    }
  }
}

constexpr PixelConvKernel kKernel = {weight_bytes, pack_weights, run, gains};

}  // namespace
}  // namespace sbn::sme2

namespace sbn {

const PixelConvKernel pixel_conv_threshold_sme2 = sme2::kKernel;
const PixelConvKernel pixel_conv_float_sme2 = sme2::kKernel;

}  // namespace sbn
