#include "ort/stochastic_sign_op.h"

#include "base/bits.h"
#include "op_limits.inc"

namespace sbn::ort {
namespace {

constexpr size_t kTable = 1, kSeed = 2, kFirstSample = 3, kSamples = 4;
constexpr int64_t kSampleNumbers = int64_t{1} << 31;

// A scalar in [low, high].
Status* read_number(const Call& call, size_t index, int64_t low, int64_t high, int64_t* number) {
  const Node& node = call.node();
  Tensor tensor;
  SBN_TRY(call.input(index, &tensor));
  SBN_TRY(node.expect(index, tensor, 0, nullptr));
  if (!tensor.data) return node.invalid("seed, first_sample and samples must not be computed");
  *number = load<int64_t>(tensor.data);
  if (*number >= low && *number <= high) return nullptr;
  Message text = node.message();
  return node.invalid(text << "input " << node.spec().inputs[index].name << " is " << *number
                           << ", must lie in [" << low << ", " << high << "]");
}

}  // namespace

Status* StochasticSignOp::create(const Node& node, const Attributes& given,
                                 const KernelInfo* info) {
  kernel = select_kernel<Op::stochastic_sign>(current_isa());
  attributes = given;
  bool found = false;
  Tensor entries;
  SBN_TRY(node.constant(info, kTable, &found, &entries));
  if (!found) return node.invalid("input table must be constant; make it an initializer");
  const int64_t dims[] = {2, SignTable::kSegments};
  SBN_TRY(node.expect(kTable, entries, 2, dims));
  const int64_t segment = table.set(entries.as<int32_t>());
  if (segment < 0) return nullptr;
  Message text = node.message();
  return node.invalid(text << "table is not monotone between 32768 and 65535 at segment " << segment
                           << ": start " << int64_t{load<int32_t>(entries.as<int32_t>() + segment)}
                           << ", rise "
                           << int64_t{load<int32_t>(entries.as<int32_t>() +
                                                    SignTable::kSegments + segment)}
                           << "; make the table of a distribution function");
}

Status* StochasticSignOp::read(const Call& call, const Tensor& x, StochasticSignNode* work) const {
  const Node& node = call.node();
  int64_t seed = 0, first_sample = 0;
  SBN_TRY(read_number(call, kSeed, 0, INT64_MAX, &seed));
  SBN_TRY(read_number(call, kSamples, 1, SBN_MAX_SAMPLES, &work->samples));
  SBN_TRY(read_number(call, kFirstSample, 0, kSampleNumbers - work->samples, &first_sample));
  work->seed = static_cast<uint64_t>(seed);
  work->first_sample = static_cast<uint32_t>(first_sample);
  work->layer = static_cast<uint32_t>(attributes.layer);
  work->fan_out = attributes.fan_out;
  if (x.rank < 2) {
    Message text = node.message();
    return node.invalid(text << "input X has shape " << x << ", needs "
                             << node.spec().inputs[0].shape);
  }
  if (!work->fan_out && x.dims[0] % work->samples) {
    Message text = node.message();
    return node.invalid(text << "input X has shape " << x
                             << ", whose first size must be a multiple of " << work->samples
                             << " samples where fan_out is 0");
  }
  work->images = work->fan_out ? x.dims[0] : x.dims[0] / work->samples;
  work->pixels = x.count(1, x.rank - 1);
  work->channels = x.dims[x.rank - 1];
  return nullptr;
}

Status* StochasticSignOp::compute(Call& call) const {
  Tensor x;
  SBN_TRY(call.input(0, &x));
  StochasticSignNode work = {};
  work.kernel = kernel;
  work.table = &table;
  SBN_TRY(read(call, x, &work));
  Tensor shape = x;
  shape.dims[0] = work.samples * work.images;
  shape.dims[x.rank - 1] = words_of(work.channels);
  void* y = nullptr;
  SBN_TRY(call.output(0, shape.rank, shape.dims, &y));
  if (shape.count(0, shape.rank) == 0) return nullptr;
  return call.with_threads([&](const Parallel& parallel) {
    stochastic_sign_execute(work, x.as<int16_t>(), static_cast<uint64_t*>(y), parallel);
  });
}

bool StochasticSignOp::infer(const Attributes& attributes, const KnownShape* inputs,
                             KnownShape* output) {
  const KnownShape& x = inputs[0];
  if (x.rank < 2) return false;
  *output = x;
  if (attributes.fan_out) output->set(0, -1);
  const size_t last = x.rank - 1;
  output->set(last, x.known(last) ? words_of(x.dims[last]) : -1);
  return true;
}

}  // namespace sbn::ort
