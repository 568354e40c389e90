#include "kernels/conv/conv.h"

#include "base/bits.h"
#include "base/text.h"
#include "kernels/conv/border.h"
#include "kernels/scratch.h"

namespace sbn {
namespace {

// Words of padded input that are worth a task, to copy and to make an index of.
constexpr double kTaskWords = 1 << 14;
constexpr double kTaskIndexWords = 1 << 10;
// Prepared offsets are worth no more memory than this.
constexpr int64_t kMaxPrepared = 1 << 18;

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

bool has_zero_border(const ConvShape& s) { return s.pad_value == 0; }

AxisClasses vertical_classes(const ConvShape& s) {
  if (!has_zero_border(s)) return {s.kernel_h, 1, 0, 0};
  return {s.kernel_h, s.dilation_h, s.pad_top, s.pad_bottom};
}

AxisClasses horizontal_classes(const ConvShape& s) {
  if (!has_zero_border(s)) return {s.kernel_w, 1, 0, 0};
  return {s.kernel_w, s.dilation_w, s.pad_left, s.pad_right};
}

// What making offsets needs besides room for them.
struct OffsetScratch {
  int64_t taps = 0, plain = 0;

  OffsetScratch(const ConvShape& s, ScratchLayout* scratch) {
    if (has_zero_border(s)) taps = scratch->take(Size(s.kernel_h) * s.kernel_w * s.outputs * 4);
    plain = scratch->take(Size(s.outputs) * 4);
  }
};

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
    if (!node.packed_offsets) {
      const OffsetScratch making(s, &scratch);
      taps = making.taps, plain = making.plain;
      const Size classes =
          has_zero_border(s) ? Size(vertical(s).classes()) * horizontal(s).classes() : Size(1);
      offsets = scratch.take(classes * k.offset_bytes(s));
    }
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

// Makes rows of offsets.
class OffsetMaker {
 public:
  OffsetMaker(const ConvNode& node, void* taps, void* plain)
      : node_(node), taps_(nullptr), plain_(static_cast<int32_t*>(plain)) {
    if (!has_zero_border(*node.shape)) return;
    taps_ = static_cast<int32_t*>(taps);
    tap_dots();
  }

  // The row of a border class whose taps inside the image are rows x columns.
  void make(Range rows, Range columns, void* packed) const {
    const ConvShape& s = *node_.shape;
    for (int64_t o = 0; o < s.outputs; ++o) plain_[o] = static_cast<int32_t>(s.products);
    // Take off what the taps outside added.
    for (int64_t i = 0; taps_ && i < s.kernel_h; ++i) {
      for (int64_t j = 0; j < s.kernel_w; ++j) {
        const bool row_inside = i >= rows.begin && i < rows.end;
        if (row_inside && j >= columns.begin && j < columns.end) continue;
        const int32_t* tap = taps_ + (i * s.kernel_w + j) * s.outputs;
        for (int64_t o = 0; o < s.outputs; ++o) plain_[o] -= tap[o];
      }
    }
    const int32_t* threshold = node_.epilogue.threshold;
    for (int64_t o = 0; threshold && o < s.outputs; ++o) {
      // dot < T  <=>  2 m > offset - T  <=>  m > floor((offset - T) / 2)
      const int64_t limit = (int64_t{plain_[o]} - load<int32_t>(threshold + o)) >> 1;
      plain_[o] = static_cast<int32_t>(clamp(limit, -1, s.products));
    }
    node_.kernel->pack_offsets(s, plain_, packed);
  }

 private:
  // The dot product of each tap's weights with +1.
  void tap_dots() {
    const ConvShape& s = *node_.shape;
    const int64_t count = s.kernel_h * s.kernel_w;
    const uint64_t* w = node_.w;
    for (int64_t o = 0; o < s.outputs; ++o) {
      for (int64_t tap = 0; tap < count; ++tap) {
        int64_t minus = 0;
        for (int64_t word = 0; word < s.group_words; ++word) {
          minus += count_bits(load<uint64_t>(w++));
        }
        taps_[tap * s.outputs + o] = static_cast<int32_t>(s.group_channels - 2 * minus);
      }
    }
  }

  const ConvNode& node_;
  int32_t* taps_;
  int32_t* plain_;
};

// Marks where the row of offsets of each output row and column lies among the
// prepared ones.
void mark_prepared(const ConvShape& s, int64_t offset_bytes, int64_t* rows, int64_t* columns) {
  const AxisClasses down = vertical_classes(s), across = horizontal_classes(s);
  const bool zero = has_zero_border(s);
  const Axis v = vertical(s), h = horizontal(s);
  for (int64_t i = 0; i < s.out_h; ++i) {
    rows[i] = zero ? down.index_of(v.taps(i)) * across.count() * offset_bytes : 0;
  }
  for (int64_t i = 0; i < s.out_w; ++i) {
    columns[i] = zero ? across.index_of(h.taps(i)) * offset_bytes : 0;
  }
}

// Makes the rows of offsets of the classes that the image has, and marks where they lie.
void make_offsets(const ConvShape& s, const OffsetMaker& maker, int64_t offset_bytes,
                  char* offsets, int64_t* rows, int64_t* columns) {
  const auto mark = [](int64_t* marks, Range outputs, int64_t value) {
    for (int64_t i = outputs.begin; i < outputs.end; ++i) marks[i] = value;
  };
  if (!has_zero_border(s)) {
    mark(rows, {0, s.out_h}, 0);
    mark(columns, {0, s.out_w}, 0);
    return maker.make({0, s.kernel_h}, {0, s.kernel_w}, offsets);
  }
  const Axis across = horizontal(s);
  const int64_t count = across.each_class([&](int64_t index, Range, Range outputs) {
    mark(columns, outputs, index * offset_bytes);
  });
  vertical(s).each_class([&](int64_t row, Range row_taps, Range outputs) {
    const int64_t at = row * count * offset_bytes;
    mark(rows, outputs, at);
    across.each_class([&](int64_t column, Range column_taps, Range) {
      maker.make(row_taps, column_taps, offsets + at + column * offset_bytes);
    });
  });
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
    return "kernel height * width * channels exceeds " SBN_STRING(SBN_MAX_PRODUCTS);
  }
  s->products = products.value();
  return nullptr;
}

bool resize(ConvShape* s) {
  if (!resize<ConvShape>(s)) return false;
  s->padded_h = s->height + s->pad_top + s->pad_bottom;
  s->padded_w = s->width + s->pad_left + s->pad_right;
  return true;
}

int64_t conv_prepared_bytes(const ConvNode& node) {
  const ConvShape& s = *node.shape;
  const Size bytes = Size(vertical_classes(s).count()) * horizontal_classes(s).count() *
                     node.kernel->offset_bytes(s);
  return bytes.valid() && bytes.value() <= kMaxPrepared ? bytes.value() : 0;
}

Size conv_prepare_scratch(const ConvNode& node) {
  ScratchLayout scratch;
  OffsetScratch(*node.shape, &scratch);
  return scratch.total();
}

void conv_prepare_offsets(const ConvNode& node, void* scratch, void* prepared) {
  const ConvShape& s = *node.shape;
  ScratchLayout layout;
  const OffsetScratch making(s, &layout);
  const OffsetMaker maker(node, static_cast<char*>(scratch) + making.taps,
                          static_cast<char*>(scratch) + making.plain);
  const AxisClasses down = vertical_classes(s), across = horizontal_classes(s);
  auto* to = static_cast<char*>(prepared);
  for (int64_t row = 0; row < down.count(); ++row) {
    for (int64_t column = 0; column < across.count(); ++column) {
      maker.make(down.inside(row), across.inside(column), to);
      to += node.kernel->offset_bytes(s);
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
  run.output = Output(node.epilogue, y, s.outputs, s.output_words);

  run.weights = node.packed_weights;
  if (!run.weights) {
    k.pack_weights(s, node.w, part(layout.weights));
    run.weights = part(layout.weights);
  }

  auto* row_offset = reinterpret_cast<int64_t*>(part(layout.rows));
  auto* column_offset = reinterpret_cast<int64_t*>(part(layout.columns));
  run.row_offset = row_offset;
  run.column_offset = column_offset;
  run.offsets = node.packed_offsets;
  if (run.offsets) {
    mark_prepared(s, k.offset_bytes(s), row_offset, column_offset);
  } else {
    const OffsetMaker maker(node, part(layout.taps), part(layout.plain));
    make_offsets(s, maker, k.offset_bytes(s), part(layout.offsets), row_offset, column_offset);
    run.offsets = part(layout.offsets);
  }

  // Padded copy and index.
  const bool copy = needs_copy(s);
  const int64_t row_words = s.padded_w * s.groups * s.group_words;
  run.input = copy ? reinterpret_cast<const uint64_t*>(part(layout.input)) : x;
  run.index = part(layout.index);
  if (copy || k.build_index) {
    const int64_t rows = s.batch * s.padded_h;
    const double words = static_cast<double>(rows) * static_cast<double>(row_words);
    const double task = k.build_index ? kTaskIndexWords : kTaskWords;
    parallel_ranges(parallel, rows, words, task, [&](Range mine) {
      for (int64_t row = mine.begin; row < mine.end; ++row) {
        const uint64_t* from = run.input + row * row_words;
        if (copy) pad_row(s, x, row, const_cast<uint64_t*>(from));
        if (k.build_index) k.build_index(s, from, row, part(layout.index));
      }
    });
  }

  // Blocks that do not fill the words they lie in leave bits that nobody writes.
  const bool merge = s.groups > 1 && s.group_outputs % k.alignment;
  if (run.output.bits(0) && (merge || s.outputs % 64)) {
    uint64_t* words = run.output.bits(0);
    const int64_t count = s.batch * s.out_h * s.out_w * s.output_words;
    for (int64_t i = 0; i < count; ++i) store(words + i, uint64_t{0});
    run.output.merge = merge;
  }

  const int64_t blocks = conv_blocks(s, k.block_channels);
  const int64_t units = k.units(s);
  const double macs = static_cast<double>(s.batch * s.out_h * s.out_w) *
                      static_cast<double>(blocks * k.block_channels) *
                      static_cast<double>(s.products);
  // Merging tasks must not share words, so they cover all channels of their units.
  const int64_t parts = run.output.merge ? 1 : blocks;
  parallel_grid(parallel, parts, units, macs, k.task_macs, [&](Range b, Range u) {
    k.run(run, run.output.merge ? Range{0, blocks} : b, u);
  });
}

}  // namespace sbn
