#include "ort/pack_ops.h"

namespace sbn::ort {
namespace {

// Floats that are worth a task of their own: about 10 us from the cache.
constexpr double kTaskFloats = 1 << 17;

// Reads X, whose last axis has `last` elements unless that is negative, makes Y with
// a last axis of resize(channels of X), and runs work(x, y, rows, size of X's last axis).
template <class Resize, class Work>
Status* each_row(Call& call, int64_t last, Resize resize, Work work) {
  Tensor x;
  SBN_TRY(call.input(0, &x));
  if (x.rank == 0) return call.node().invalid("input X is a scalar; it needs a channel axis");
  int64_t wanted[kMaxRank];
  for (size_t i = 0; i + 1 < x.rank; ++i) wanted[i] = -1;
  wanted[x.rank - 1] = last;
  SBN_TRY(call.node().expect(0, x, x.rank, wanted));
  Tensor shape = x;
  int64_t& size = shape.dims[x.rank - 1];
  const int64_t rows = x.count(0, x.rank - 1);
  size = resize(size);
  void* y = nullptr;
  SBN_TRY(call.output(0, shape.rank, shape.dims, &y));
  if (rows == 0 || size == 0) return nullptr;
  return work(x, y, rows);
}

// A function, as one that is always inlined has no address where nothing is optimised away.
int64_t packed_channels(int64_t channels) { return words_of(channels); }

bool infer_last(const KnownShape& x, int64_t size, KnownShape* output) {
  if (x.rank == 0) return false;
  *output = x;
  output->set(x.rank - 1, size);
  return true;
}

int64_t packed_size(const KnownShape& x) {
  const bool known = x.rank && x.known(x.rank - 1);
  return known ? words_of(x.dims[x.rank - 1]) : -1;
}

}  // namespace

Status* PackOp::create(const Node&, const Attributes&, const KernelInfo*) {
  kernel = select_kernel<Op::pack>(current_isa());
  return nullptr;
}

Status* PackOp::compute(Call& call) const {
  return each_row(call, -1, packed_channels, [&](const Tensor& x, void* y, int64_t rows) {
    int64_t channels = x.dims[x.rank - 1];
    const int64_t floats = rows * channels;
    if (channels % 64 == 0) channels = 64;  // rows of words lie side by side
    rows = floats / channels;
    return call.with_threads([&](const Parallel& parallel) {
      const auto cost = static_cast<double>(floats);
      parallel_ranges(parallel, rows, cost, kTaskFloats, [&](Range r) {
        kernel->run(x.as<float>() + r.begin * channels,
                    static_cast<uint64_t*>(y) + r.begin * words_of(channels), r.end - r.begin,
                    channels);
      });
    });
  });
}

bool PackOp::infer(const Attributes&, const KnownShape* inputs, KnownShape* output) {
  return infer_last(inputs[0], packed_size(inputs[0]), output);
}

Status* PackThresholdOp::create(const Node&, const Attributes&, const KernelInfo*) {
  kernel = select_kernel<Op::pack_threshold>(current_isa());
  return nullptr;
}

Status* PackThresholdOp::compute(Call& call) const {
  return each_row(call, -1, packed_channels, [&](const Tensor& x, void* y, int64_t rows) -> Status* {
    const int64_t channels = x.dims[x.rank - 1];
    Tensor low, high;
    SBN_TRY(call.input(1, &low));
    SBN_TRY(call.input(2, &high));
    SBN_TRY(call.node().expect(1, low, 1, &channels));
    SBN_TRY(call.node().expect(2, high, 1, &channels));
    return call.with_threads([&](const Parallel& parallel) {
      const double cost = static_cast<double>(rows) * static_cast<double>(channels);
      parallel_ranges(parallel, rows, cost, kTaskFloats, [&](Range r) {
        kernel->run(x.as<float>() + r.begin * channels, low.as<float>(), high.as<float>(),
                    static_cast<uint64_t*>(y) + r.begin * words_of(channels), r.end - r.begin,
                    channels);
      });
    });
  });
}

bool PackThresholdOp::infer(const Attributes&, const KnownShape* inputs, KnownShape* output) {
  return infer_last(inputs[0], packed_size(inputs[0]), output);
}

Status* UnpackOp::create(const Node&, const Attributes& attributes, const KernelInfo*) {
  kernel = select_kernel<Op::unpack>(current_isa());
  channels = attributes.channels;
  return nullptr;
}

Status* UnpackOp::compute(Call& call) const {
  const auto resize = [&](int64_t) { return channels; };
  return each_row(call, words_of(channels), resize, [&](const Tensor& x, void* y, int64_t rows) {
    return call.with_threads([&](const Parallel& parallel) {
      const double cost = static_cast<double>(rows) * static_cast<double>(channels);
      parallel_ranges(parallel, rows, cost, kTaskFloats, [&](Range r) {
        kernel->run(x.as<uint64_t>() + r.begin * words_of(channels),
                    static_cast<float*>(y) + r.begin * channels, r.end - r.begin, channels);
      });
    });
  });
}

bool UnpackOp::infer(const Attributes& attributes, const KnownShape* inputs, KnownShape* output) {
  return infer_last(inputs[0], attributes.channels, output);
}

Status* QuantizeOp::create(const Node&, const Attributes&, const KernelInfo*) {
  kernel = select_kernel<Op::quantize>(current_isa());
  return nullptr;
}

Status* QuantizeOp::compute(Call& call) const {
  const auto same = [](int64_t channels) { return channels; };
  return each_row(call, -1, same, [&](const Tensor& x, void* y, int64_t rows) -> Status* {
    const int64_t channels = x.dims[x.rank - 1];
    Tensor scale, bias;
    SBN_TRY(call.input(1, &scale));
    SBN_TRY(call.input(2, &bias));
    SBN_TRY(call.node().expect(1, scale, 1, &channels));
    SBN_TRY(call.node().expect(2, bias, 1, &channels));
    return call.with_threads([&](const Parallel& parallel) {
      const double cost = static_cast<double>(rows) * static_cast<double>(channels);
      parallel_ranges(parallel, rows, cost, kTaskFloats, [&](Range r) {
        kernel->run(x.as<float>() + r.begin * channels, scale.as<float>(), bias.as<float>(),
                    static_cast<int16_t*>(y) + r.begin * channels, r.end - r.begin, channels);
      });
    });
  });
}

bool QuantizeOp::infer(const Attributes&, const KnownShape* inputs, KnownShape* output) {
  *output = inputs[0];
  return output->rank > 0;
}

}  // namespace sbn::ort
