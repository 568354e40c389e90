#include "phone/plan.h"

#include <errno.h>
#include <string.h>

#include "phone/report.h"

namespace sbn::phone {
namespace {

constexpr char kMagic[8] = {'s', 'b', 'n', 'p', 'l', 'a', 'n', '1'};
// More than any model has; they keep what is allocated for a damaged plan small.
constexpr int64_t kMostTensors = 1 << 20;
constexpr int64_t kMostNodes = 1 << 18;
constexpr int64_t kMostAttributes = 64;
constexpr int64_t kMostValues = 1 << 10;
constexpr int64_t kMostBytes = int64_t{1} << 30;

int64_t element_bytes(ort::ElementType type) {
  switch (type) {
    case ort::ElementType::kUint8:
    case ort::ElementType::kInt8:
      return 1;
    case ort::ElementType::kInt16:
      return 2;
    case ort::ElementType::kFloat:
    case ort::ElementType::kInt32:
      return 4;
    case ort::ElementType::kInt64:
    case ort::ElementType::kUint64:
      return 8;
    default:
      return 0;
  }
}

// The bytes of the file, front to back.
class Reader {
 public:
  Reader(const char* path, char* data, size_t size) : path_(path), data_(data), size_(size) {}

  [[noreturn]] void damaged(const char* why) const {
    fail("%s: is no plan of this version: %s at byte %zu", path_, why, at_);
  }

  char* bytes(int64_t count) {
    if (count < 0 || static_cast<uint64_t>(count) > size_ - at_) damaged("it ends too early");
    char* found = data_ + at_;
    at_ += static_cast<size_t>(count);
    return found;
  }

  void align() {
    if (align_up(at_, kScratchAlignment) > size_) damaged("it ends too early");
    at_ = align_up(at_, kScratchAlignment);
  }

  int64_t number(int64_t low, int64_t high, const char* what) {
    int64_t value;
    memcpy(&value, bytes(sizeof value), sizeof value);
    if (value < low || value > high) damaged(what);
    return value;
  }

  size_t count(int64_t high, const char* what) {
    return static_cast<size_t>(number(0, high, what));
  }

  // A text with its final zero.
  const char* text() {
    const int64_t length = number(0, kMostBytes, "a text of impossible length");
    const char* found = bytes(length);
    if (*bytes(1) != 0 || strlen(found) != static_cast<size_t>(length)) damaged("a text is broken");
    return found;
  }

  bool at_end() const { return at_ == size_; }

 private:
  const char* path_;
  char* data_;
  size_t size_;
  size_t at_ = 0;
};

Reader open(const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) fail("%s: %s", path, strerror(errno));
  fseek(file, 0, SEEK_END);
  const long size = ftell(file);
  rewind(file);
  if (size < 0 || size > kMostBytes) fail("%s: cannot be read", path);
  auto* data = static_cast<char*>(keep_bytes(static_cast<size_t>(size)));
  if (fread(data, 1, static_cast<size_t>(size), file) != static_cast<size_t>(size)) {
    fail("%s: cannot be read", path);
  }
  fclose(file);
  return {path, data, static_cast<size_t>(size)};
}

void read_tensor(Reader& reader, PlanTensor* to, int64_t* total) {
  to->origin = static_cast<Origin>(
      reader.number(0, static_cast<int64_t>(Origin::kCount) - 1, "a tensor of unknown origin"));
  ort::Tensor& tensor = to->tensor;
  tensor.type = static_cast<ort::ElementType>(reader.number(0, 99, "an unknown type"));
  tensor.rank = reader.count(ort::kMaxRank, "a tensor of too many dimensions");
  Size bytes(element_bytes(tensor.type));
  if (bytes.value() == 0) reader.damaged("an unknown type");
  for (size_t i = 0; i < tensor.rank; ++i) {
    tensor.dims[i] = reader.number(0, kMostBytes, "a tensor of impossible size");
    bytes = bytes * tensor.dims[i];
  }
  if (!bytes.valid() || bytes.value() > kMostBytes - *total) {
    reader.damaged("a tensor of impossible size");
  }
  to->bytes = bytes.value();
  if (to->origin == Origin::kWritten) {
    to->checksum = static_cast<uint32_t>(reader.number(0, UINT32_MAX, "an impossible checksum"));
    *total += to->bytes;
  } else {
    reader.align();
    tensor.data = reader.bytes(to->bytes);
  }
}

void read_attribute(Reader& reader, PlanAttribute* to) {
  to->name = reader.text();
  to->list = reader.number(0, 1, "an attribute of unknown kind");
  to->count = reader.count(kMostValues, "an attribute with too many values");
  if (!to->list && to->count != 1) reader.damaged("a number that is none");
  to->values = keep<int64_t>(to->count);
  for (size_t i = 0; i < to->count; ++i) {
    to->values[i] = reader.number(INT64_MIN, INT64_MAX, "");
  }
}

size_t read_tensors_of(Reader& reader, const Plan& plan, PlanTensor** to) {
  const size_t count = reader.count(8, "an operator with too many tensors");
  for (size_t i = 0; i < count; ++i) {
    const auto last = static_cast<int64_t>(plan.tensor_count) - 1;
    to[i] = plan.tensors + reader.number(0, last, "a tensor that is not there");
  }
  return count;
}

void read_node(Reader& reader, const Plan& plan, PlanNode* to) {
  to->op = reader.text();
  to->name = reader.text();
  to->input_count = read_tensors_of(reader, plan, to->inputs);
  to->output_count = read_tensors_of(reader, plan, to->outputs);
  to->attribute_count = reader.count(kMostAttributes, "an operator with too many attributes");
  to->attributes = keep<PlanAttribute>(to->attribute_count);
  for (size_t i = 0; i < to->attribute_count; ++i) read_attribute(reader, to->attributes + i);
  for (size_t i = 0; i < to->input_count; ++i) {
    if (!to->inputs[i]->tensor.data) reader.damaged("a tensor is read before it is written");
  }
  for (size_t i = 0; i < to->output_count; ++i) {
    PlanTensor& output = *to->outputs[i];
    if (output.origin != Origin::kWritten || output.tensor.data) {
      reader.damaged("a tensor is written that must not be");
    }
    output.tensor.data = keep_bytes(static_cast<size_t>(output.bytes));
  }
}

}  // namespace

Plan read_plan(const char* path) {
  Reader reader = open(path);
  if (memcmp(reader.bytes(sizeof kMagic), kMagic, sizeof kMagic) != 0) {
    reader.damaged("it begins otherwise");
  }
  Plan plan = {};
  plan.tensor_count = reader.count(kMostTensors, "too many tensors");
  plan.node_count = reader.count(kMostNodes, "too many operators");
  plan.tensors = keep<PlanTensor>(plan.tensor_count);
  plan.nodes = keep<PlanNode>(plan.node_count);
  int64_t total = 0;
  for (size_t i = 0; i < plan.tensor_count; ++i) read_tensor(reader, plan.tensors + i, &total);
  for (size_t i = 0; i < plan.node_count; ++i) read_node(reader, plan, plan.nodes + i);
  if (!reader.at_end()) reader.damaged("it goes on after its end");
  if (plan.node_count == 0) reader.damaged("it has no operators");
  return plan;
}

}  // namespace sbn::phone
