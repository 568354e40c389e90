#include "kernels/conv/conv.h"

#include "base/bits.h"
#include "kernels/conv/border.h"
#include "kernels/scratch.h"

namespace sbn {
namespace {

// Binary MACs that are worth a task of their own: about 15 us at full speed.
constexpr double kTaskMacs = 1 << 23;
// Words of padded input that are worth a task.
constexpr double kTaskWords = 1 << 14;

Axis vertical(const ConvShape& s) {
  return {s.out_h, s.stride_h, s.dilation_h, s.pad_top, s.kernel_h, s.height};
}

Axis horizontal(const ConvShape& s) {
  return {s.out_w, s.stride_w, s.dilation_w, s.pad_left, s.kernel_w, s.width};
}

// Whether every group of a pixel of X begins on a word of its own.
bool groups_aligned(const ConvShape& s) { return s.groups == 1 || s.group_channels % 64 == 0; }

bool needs_copy(const ConvShape& s) {
  return s.padded_h != s.height || s.padded_w != s.width || !groups_aligned(s);
}

// Where the parts of the scratch buffer lie.
struct Layout {
  ScratchLayout scratch;
  int64_t input = 0, index = 0, weights = 0, taps = 0, plain = 0, offsets = 0, rows = 0,
          columns = 0;

  explicit Layout(const ConvNode& node) {
    const ConvShape& s = *node.shape;
    const ConvKernel& k = *node.kernel;
    const Size images = Size(s.batch) * s.padded_h;
    if (needs_copy(s)) input = scratch.take(images * s.padded_w * s.groups * s.group_words * 8);
    if (k.build_index) index = scratch.take(images * k.index_bytes(s));
    if (!node.packed_weights) weights = scratch.take(k.weight_bytes(s));
    const bool zero = s.pad_value == 0;
    if (zero && !node.taps) taps = scratch.take(conv_tap_bytes(s));
    plain = scratch.take(Size(s.outputs) * 4);
    const Size classes = zero ? Size(vertical(s).classes()) * horizontal(s).classes() : Size(1);
    offsets = scratch.take(classes * k.offset_bytes(s));
    rows = scratch.take(Size(s.out_h) * 8);
    columns = scratch.take(Size(s.out_w) * 8);
  }
};

// `count` <= 64 bits of a bit string of words, from bit `at` on.
uint64_t bits_from(const uint64_t* words, int64_t at, int64_t count) {
  const uint64_t* word = words + at / 64;
  const int64_t shift = at % 64;
  uint64_t bits = load<uint64_t>(word) >> shift;
  if (shift && shift + count > 64) bits |= load<uint64_t>(word + 1) << (64 - shift);
  return bits & low_bits(count);
}

// Row `row` of batch * padded_h of the padded input, each group on its own words.
void pad_row(const ConvShape& s, const uint64_t* x, int64_t row, uint64_t* padded) {
  const int64_t pixel = s.groups * s.group_words;
  const int64_t y = row % s.padded_h - s.pad_top;
  const bool inside = y >= 0 && y < s.height;
  const uint64_t* from = x + (row / s.padded_h * s.height + y) * s.width * s.input_words;
  const uint64_t border = s.pad_value < 0 ? ~uint64_t{0} : 0;
  const auto fill = [&](uint64_t* at, int64_t pixels) {
    for (int64_t i = 0; i < pixels * s.groups; ++i) {
      for (int64_t word = 0; word < s.group_words; ++word) {
        *at++ = border & low_bits(s.group_channels - 64 * word);
      }
    }
  };
  if (!inside) return fill(padded, s.padded_w);
  fill(padded, s.pad_left);
  uint64_t* to = padded + s.pad_left * pixel;
  if (groups_aligned(s)) {
    const int64_t words = s.width * pixel;
    for (int64_t i = 0; i < words; ++i) to[i] = load<uint64_t>(from + i);
  } else {
    for (int64_t i = 0; i < s.width; ++i, from += s.input_words) {
      for (int64_t group = 0; group < s.groups; ++group) {
        for (int64_t done = 0; done < s.group_channels; done += 64) {
          *to++ = bits_from(from, group * s.group_channels + done,
                            min(s.group_channels - done, 64));
        }
      }
    }
  }
  fill(padded + (s.pad_left + s.width) * pixel, s.pad_right);
}

// The row of offsets of a border class whose taps inside the image are rows x columns.
void make_offsets(const ConvNode& node, const int32_t* taps, Range rows, Range columns,
                  int32_t* out) {
  const ConvShape& s = *node.shape;
  for (int64_t o = 0; o < s.outputs; ++o) out[o] = static_cast<int32_t>(s.products);
  // Take off what the taps outside added.
  for (int64_t i = 0; taps && i < s.kernel_h; ++i) {
    for (int64_t j = 0; j < s.kernel_w; ++j) {
      const bool row_inside = i >= rows.begin && i < rows.end;
      if (row_inside && j >= columns.begin && j < columns.end) continue;
      const int32_t* tap = taps + (i * s.kernel_w + j) * s.outputs;
      for (int64_t o = 0; o < s.outputs; ++o) out[o] -= tap[o];
    }
  }
  if (!node.threshold) return;
  for (int64_t o = 0; o < s.outputs; ++o) {
    // dot < T  <=>  2 m > offset - T  <=>  m > floor((offset - T) / 2)
    const int64_t limit = (int64_t{out[o]} - load<int32_t>(node.threshold + o)) >> 1;
    out[o] = static_cast<int32_t>(clamp(limit, -1, s.products));
  }
}

}  // namespace

const char* conv_fix(ConvShape* s) {
  if (s->channels % s->groups || s->outputs % s->groups) {
    return "group must divide the number of channels and of outputs";
  }
  s->group_channels = s->channels / s->groups;
  s->group_outputs = s->outputs / s->groups;
  s->group_words = words_of(s->group_channels);
  s->input_words = words_of(s->channels);
  s->output_words = words_of(s->outputs);
  const Size products = Size(s->kernel_h) * s->kernel_w * s->group_channels;
  if (!products.valid() || products.value() > kMaxProducts) {
    return "kernel height * width * channels exceeds 2^28";
  }
  s->products = products.value();
  return nullptr;
}

const char* conv_resize(ConvShape* s) {
  const auto axis = [](int64_t size, int64_t pads, int64_t kernel, int64_t dilation,
                       int64_t stride, int64_t* padded, int64_t* out) {
    const Size reach = Size(kernel - 1) * dilation + 1;
    const Size all = Size(size) + pads;
    if (!reach.valid() || !all.valid() || all.value() < reach.value()) return false;
    *padded = all.value();
    *out = (*padded - reach.value()) / stride + 1;
    return true;
  };
  const bool fits = axis(s->height, s->pad_top + s->pad_bottom, s->kernel_h, s->dilation_h,
                         s->stride_h, &s->padded_h, &s->out_h) &&
                    axis(s->width, s->pad_left + s->pad_right, s->kernel_w, s->dilation_w,
                         s->stride_w, &s->padded_w, &s->out_w);
  return fits ? nullptr : "the kernel does not fit into the padded input";
}

int64_t conv_tap_bytes(const ConvShape& s) { return s.kernel_h * s.kernel_w * s.outputs * 4; }

void conv_tap_dots(const ConvShape& s, const uint64_t* w, int32_t* taps) {
  const int64_t count = s.kernel_h * s.kernel_w;
  for (int64_t o = 0; o < s.outputs; ++o) {
    for (int64_t tap = 0; tap < count; ++tap) {
      int64_t minus = 0;
      for (int64_t word = 0; word < s.group_words; ++word) {
        minus += count_bits(load<uint64_t>(w++));
      }
      taps[tap * s.outputs + o] = static_cast<int32_t>(s.group_channels - 2 * minus);
    }
  }
}

Size conv_scratch(const ConvNode& node) { return Layout(node).scratch.total(); }

void conv_execute(const ConvNode& node, const uint64_t* x, void* y, void* scratch,
                  const Parallel& parallel) {
  const ConvShape& s = *node.shape;
  const ConvKernel& k = *node.kernel;
  const Layout layout(node);
  const auto part = [&](int64_t at) { return static_cast<char*>(scratch) + at; };
  ConvRun run = {};
  run.shape = &s;
  run.scale = node.scale;
  run.bias = node.bias;
  run.y = y;

  run.weights = node.packed_weights;
  if (!run.weights) {
    k.pack_weights(s, node.w, part(layout.weights));
    run.weights = part(layout.weights);
  }

  const bool zero = s.pad_value == 0;
  const int32_t* taps = zero ? node.taps : nullptr;
  if (zero && !taps) {
    conv_tap_dots(s, node.w, reinterpret_cast<int32_t*>(part(layout.taps)));
    taps = reinterpret_cast<int32_t*>(part(layout.taps));
  }
  auto* plain = reinterpret_cast<int32_t*>(part(layout.plain));
  auto* row_offset = reinterpret_cast<int64_t*>(part(layout.rows));
  auto* column_offset = reinterpret_cast<int64_t*>(part(layout.columns));
  const int64_t offset_bytes = k.offset_bytes(s);
  const auto offsets = [&](int64_t at, Range rows, Range columns) {
    make_offsets(node, taps, rows, columns, plain);
    k.pack_offsets(s, plain, part(layout.offsets) + at);
  };
  const auto mark = [](int64_t* marks, Range outputs, int64_t value) {
    for (int64_t i = outputs.begin; i < outputs.end; ++i) marks[i] = value;
  };
  if (zero) {
    const Axis across = horizontal(s);
    const int64_t columns = across.each_class([&](int64_t index, Range, Range outputs) {
      mark(column_offset, outputs, index * offset_bytes);
    });
    vertical(s).each_class([&](int64_t row, Range row_taps, Range outputs) {
      const int64_t at = row * columns * offset_bytes;
      mark(row_offset, outputs, at);
      across.each_class([&](int64_t column, Range column_taps, Range) {
        offsets(at + column * offset_bytes, row_taps, column_taps);
      });
    });
  } else {
    mark(row_offset, {0, s.out_h}, 0);
    mark(column_offset, {0, s.out_w}, 0);
    offsets(0, {0, s.kernel_h}, {0, s.kernel_w});
  }
  run.offsets = part(layout.offsets);
  run.row_offset = row_offset;
  run.column_offset = column_offset;

  // Padded copy and index.
  const bool copy = needs_copy(s);
  const int64_t row_words = s.padded_w * s.groups * s.group_words;
  run.input = copy ? reinterpret_cast<const uint64_t*>(part(layout.input)) : x;
  run.index = part(layout.index);
  if (copy || k.build_index) {
    const int64_t rows = s.batch * s.padded_h;
    const double words = static_cast<double>(rows) * static_cast<double>(row_words);
    parallel_ranges(parallel, rows, words, kTaskWords, [&](Range mine) {
      for (int64_t row = mine.begin; row < mine.end; ++row) {
        const uint64_t* from = run.input + row * row_words;
        if (copy) pad_row(s, x, row, const_cast<uint64_t*>(from));
        if (k.build_index) k.build_index(s, from, row, part(layout.index));
      }
    });
  }

  // Blocks that do not fill the words they lie in leave bits that nobody writes.
  const bool threshold = node.threshold != nullptr;
  run.merge = threshold && s.groups > 1 && s.group_outputs % k.alignment;
  if (threshold && (run.merge || s.outputs % 64)) {
    auto* words = static_cast<uint64_t*>(y);
    const int64_t count = s.batch * s.out_h * s.out_w * s.output_words;
    for (int64_t i = 0; i < count; ++i) store(words + i, uint64_t{0});
  }

  const int64_t blocks = conv_blocks(s, k.block_channels);
  const int64_t units = k.units(s);
  const double macs = static_cast<double>(s.batch * s.out_h * s.out_w) *
                      static_cast<double>(blocks * k.block_channels) *
                      static_cast<double>(s.products);
  // Merging tasks must not share words, so they cover all channels of their units.
  const int64_t parts = run.merge ? 1 : blocks;
  parallel_grid(parallel, parts, units, macs, kTaskMacs, [&](Range b, Range u) {
    k.run(run, run.merge ? Range{0, blocks} : b, u);
  });
}

}  // namespace sbn
