// Pools of ONNX, and Resize.
#include "native/functions.h"
#include "native/windows.h"

namespace sbn::native {
namespace {

// --- Pools ---

enum PoolSetting { kCeil, kCountPads };

Status* pool_create(const Node& node, Settings* s) {
  s->list[kCeil] = node.integer("ceil_mode", 0);
  s->list[kCountPads] = node.integer("count_include_pad", 0);
  return read_window(node, true, &s->window);
}

Status* pool_shape(const Operands& o) {
  const Value& x = o.input(0);
  const Window& w = o.settings.window;
  if (!o.is_float(0) || !has_axes_of(x, w)) return o.invalid("only float32 [N, C, ...] is supported");
  SBN_TRY(set_same(o));
  for (size_t i = 2; i < x.rank; ++i) {
    const size_t axis = Window::kAxes + i - x.rank;
    const int64_t size = x.dims[i], stride = w.strides[axis];
    const int64_t reach = reach_of(w, w.kernel[axis], axis);
    const int64_t room = size + w.before[axis] + w.after[axis] - reach;
    if (size == 0 || room < 0) return o.invalid("the kernel does not fit into the padded input");
    // A pad that is no smaller than the kernel would make outputs of nothing.
    if (w.before[axis] >= reach || w.after[axis] >= reach) {
      return o.invalid("its pads must be smaller than its kernel");
    }
    int64_t outputs = (o.settings.list[kCeil] ? div_up(room, stride) : room / stride) + 1;
    // None begins behind the input and what is before it.
    if ((outputs - 1) * stride >= size + w.before[axis]) --outputs;
    o.output().dims[i] = outputs;
  }
  return nullptr;
}

// The taps of a kernel that lie inside of the input, for the output at a place on an axis.
Range taps(const Window& w, const Extent& in, size_t axis, int64_t at) {
  const int64_t first = at * w.strides[axis] - w.before[axis];
  return inside(first, w.dilations[axis], in.size[axis], w.kernel[axis]);
}

// How many there are, with those in the pads where these count.
int64_t taps_counted(const Window& w, const Extent& in, size_t axis, int64_t at, bool pads) {
  const int64_t first = at * w.strides[axis] - (pads ? 0 : w.before[axis]);
  const int64_t size = in.size[axis] + (pads ? w.before[axis] + w.after[axis] : 0);
  const Range counted = inside(first, w.dilations[axis], size, w.kernel[axis]);
  return counted.end - counted.begin;
}

// Takes a row of inputs into a row of outputs, by the taps of a row of the kernel.
template <class Op>
void pool_row(const Window& w, const float* from, int64_t size, float* to, int64_t width) {
  const int64_t stride = w.strides[2], last = (width - 1) * stride;
  const Range useful = inside(last - w.before[2], w.dilations[2], size + last, w.kernel[2]);
  for (int64_t k = useful.begin; k < useful.end; ++k) {
    const int64_t offset = k * w.dilations[2] - w.before[2];
    const Range r = inside(offset, stride, size, width);
    if (stride == 1) {
      for (int64_t c = r.begin; c < r.end; ++c) to[c] = Op::add(to[c], from[c + offset]);
    } else {
      for (int64_t c = r.begin; c < r.end; ++c) to[c] = Op::add(to[c], from[c * stride + offset]);
    }
  }
}

template <class Op>
void pool_run(const Operands& o) {
  const Window& w = o.settings.window;
  const Extent in = extent_of(o.input(0)), out = extent_of(o.output());
  const int64_t rows = out.size[0] * out.size[1], width = out.size[2];
  const int64_t planes = o.output().dims[0] * o.output().dims[1];
  const auto cost = static_cast<double>(w.kernel[0] * w.kernel[1] * w.kernel[2] * width);
  o.each_range(planes * rows, cost, [&](Range r) {
    for (int64_t i = r.begin; i < r.end; ++i) {
      const float* from = o.in<float>(0) + i / rows * in.count();
      float* to = o.out<float>() + i * width;
      const int64_t depth = i % rows / out.size[1], row = i % out.size[1];
      const Range near = taps(w, in, 0, depth), high = taps(w, in, 1, row);
      for (int64_t c = 0; c < width; ++c) to[c] = Op::kFirst;
      for (int64_t d = near.begin; d < near.end; ++d) {
        for (int64_t h = high.begin; h < high.end; ++h) {
          const int64_t z = depth * w.strides[0] - w.before[0] + d * w.dilations[0];
          const int64_t y = row * w.strides[1] - w.before[1] + h * w.dilations[1];
          const float* line = from + (z * in.size[1] + y) * in.size[2];
          pool_row<Op>(w, line, in.size[2], to, width);
        }
      }
      if constexpr (Op::kMean) {
        const bool pads = o.settings.list[kCountPads];
        const int64_t above =
            taps_counted(w, in, 0, depth, pads) * taps_counted(w, in, 1, row, pads);
        for (int64_t c = 0; c < width; ++c)
          to[c] /= static_cast<float>(above * taps_counted(w, in, 2, c, pads));
      }
    }
  });
}

struct LargestOf {
  static constexpr float kFirst = -kInfinity;
  static constexpr bool kMean = false;
  static float add(float most, float x) { return x > most ? x : most; }
};
struct MeanOf {
  static constexpr float kFirst = 0;
  static constexpr bool kMean = true;
  static float add(float sum, float x) { return sum + x; }
};

// --- Resize ---

enum ResizeSetting { kMode, kPlaces, kRounding };
enum Mode { kNearest, kLinear };
enum Places { kHalfPixel, kTorchHalfPixel, kAlignCorners, kAsymmetric };
enum Rounding { kHalfDown, kHalfUp, kFloor, kCeiling };

// Which of the words the attribute is, the first one without it; -1 for none of them.
template <size_t n>
int64_t word_of(const Node& node, const char* name, const char* const (&words)[n]) {
  const Attribute* found = node.find(name, Attribute::kString);
  if (!found) return 0;
  for (size_t i = 0; i < n; ++i) {
    if (found->bytes == words[i]) return static_cast<int64_t>(i);
  }
  return -1;
}

Status* resize_create(const Node& node, Settings* s) {
  s->list[kMode] = word_of(node, "mode", {"nearest", "linear"});
  s->list[kPlaces] = word_of(node, "coordinate_transformation_mode",
                             {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"});
  s->list[kRounding] = word_of(node, "nearest_mode",
                               {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"});
  const bool plain = node.integer("antialias", 0) == 0 && !node.find("axes", Attribute::kInts);
  for (int64_t i = 0; i < 3; ++i) {
    if (s->list[i] >= 0 && plain) continue;
    Message text;
    return fail(text << node << ": this way of resizing is not supported");
  }
  return nullptr;
}

// Both scales and sizes may be given, for all axes; those of batch and channels do not change.
Status* resize_shape(const Operands& o) {
  const Value& x = o.input(0);
  Value& y = o.output();
  if (!o.is_float(0) || (x.rank != 3 && x.rank != 4)) {
    return o.invalid("only float32 [N, C, L] and [N, C, H, W] are supported");
  }
  SBN_TRY(set_same(o));
  const auto rank = static_cast<int64_t>(x.rank);
  const bool sized = o.has(3) && count(o.input(3)) > 0;
  if (sized && (!is_list(o, 3, kMaxRank) || o.input(3).dims[0] != rank)) {
    return o.invalid("its sizes must be known, one for each axis");
  }
  const bool scaled = o.is_float(2) && o.input(2).rank == 1 && o.input(2).data &&
                      o.input(2).dims[0] == rank;
  if (!sized && !scaled) return o.invalid("its scales must be known, one for each axis");
  for (size_t i = 0; i < x.rank; ++i) {
    constexpr float kMost = 1 << 20;
    const float wanted =
        sized ? 0.0f : floor_of(static_cast<float>(x.dims[i]) * load<float>(o.in<float>(2) + i));
    if (!sized && !(wanted >= 0 && wanted <= kMost)) return o.invalid("its scales are not valid");
    y.dims[i] = sized ? entry(o, 3, i) : static_cast<int64_t>(wanted);
    const bool fits = y.dims[i] > 0 && y.dims[i] <= 1 << 20 && x.dims[i] > 0;
    if (!fits || (i < 2 && y.dims[i] != x.dims[i])) {
      return o.invalid("its output must be larger than nothing, with as many channels");
    }
  }
  return nullptr;
}

// The place in the input of an output on one axis, between two elements, with the weight of the
// second one.
struct Between {
  int64_t low, high;
  float weight;
};

Between place_of(const Operands& o, size_t axis, int64_t at) {
  const int64_t size = o.input(0).dims[axis], outputs = o.output().dims[axis];
  const bool sized = o.has(3) && count(o.input(3)) > 0;
  const float scale = sized ? static_cast<float>(outputs) / static_cast<float>(size)
                            : load<float>(o.in<float>(2) + axis);
  const auto index = static_cast<float>(at);
  float place = 0;
  switch (o.settings.list[kPlaces]) {
    case kHalfPixel:
      place = (index + 0.5f) / scale - 0.5f;
      break;
    case kTorchHalfPixel:
      place = outputs > 1 ? (index + 0.5f) / scale - 0.5f : 0.0f;
      break;
    case kAlignCorners:
      place = outputs > 1 ? index * static_cast<float>(size - 1) / static_cast<float>(outputs - 1)
                          : 0.0f;
      break;
    default:
      place = index / scale;
  }
  const auto last = static_cast<float>(size - 1);
  if (o.settings.list[kMode] == kNearest) {
    const float low = floor_of(place), fraction = place - low;
    const bool up = o.settings.list[kRounding] == kHalfDown   ? fraction > 0.5f
                    : o.settings.list[kRounding] == kHalfUp   ? fraction >= 0.5f
                    : o.settings.list[kRounding] == kCeiling  ? fraction > 0
                                                              : false;
    const float chosen = low + (up ? 1.0f : 0.0f);
    const auto found = static_cast<int64_t>(chosen < 0 ? 0.0f : chosen > last ? last : chosen);
    return {found, found, 0};
  }
  place = place < 0 ? 0.0f : place > last ? last : place;
  const auto low = static_cast<int64_t>(place);
  return {low, min(low + 1, size - 1), place - static_cast<float>(low)};
}

// Rows of the last axis are made of one to four rows of the input.
void resize_run(const Operands& o) {
  const Value& x = o.input(0);
  const Value& y = o.output();
  const bool flat = y.rank == 3;
  const size_t across = y.rank - 1;
  const int64_t rows = flat ? 1 : y.dims[2], width = y.dims[across], in_width = x.dims[across];
  const int64_t in_plane = x.count(2, x.rank);
  o.each_range(y.dims[0] * y.dims[1] * rows, 4.0 * static_cast<double>(width), [&](Range r) {
    for (int64_t i = r.begin; i < r.end; ++i) {
      const Between row = flat ? Between{0, 0, 0} : place_of(o, 2, i % rows);
      const float* plane = o.in<float>(0) + i / rows * in_plane;
      const float* above = plane + row.low * in_width;
      const float* below = plane + row.high * in_width;
      float* to = o.out<float>() + i * width;
      for (int64_t c = 0; c < width; ++c) {
        const Between at = place_of(o, across, c);
        if (o.settings.list[kMode] == kNearest) {
          to[c] = above[at.low];
          continue;
        }
        const float top = above[at.low] * (1 - at.weight) + above[at.high] * at.weight;
        const float bottom = below[at.low] * (1 - at.weight) + below[at.high] * at.weight;
        to[c] = top * (1 - row.weight) + bottom * row.weight;
      }
    }
  });
}

constexpr OnnxOp kOps[] = {
    {"AveragePool", 1, 1, pool_create, pool_shape, pool_run<MeanOf>},
    {"MaxPool", 1, 1, pool_create, pool_shape, pool_run<LargestOf>},
    {"Resize", 1, 4, resize_create, resize_shape, resize_run},
};

}  // namespace

const OnnxOps kWindowOps = kOps;

}  // namespace sbn::native
