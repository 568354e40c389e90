// Damaged ONNX files: some bytes changed, or fields of their messages, so that the rest is whole.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "native/protobuf.h"

namespace sbn::test {

using Bytes = std::string;
using Random = std::mt19937_64;
using native::Fields;

inline int64_t uniform(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

template <class T>
T& any_of(Random& random, std::vector<T>& list) {
  return list[static_cast<size_t>(uniform(random, 0, static_cast<int64_t>(list.size()) - 1))];
}

inline Bytes damaged_bytes(Bytes file, Random& random) {
  constexpr unsigned char kBytes[] = {0, 1, 2, 3, 8, 64, 127, 128, 255};
  for (int64_t changes = uniform(random, 1, 3); changes > 0 && !file.empty(); --changes) {
    const auto at = static_cast<size_t>(uniform(random, 0, static_cast<int64_t>(file.size()) - 1));
    const auto size = static_cast<size_t>(uniform(random, 1, 8));
    switch (uniform(random, 0, 6)) {
      case 0:
      case 1:
        file[at] = static_cast<char>(file[at] ^ 1 << uniform(random, 0, 7));
        break;
      case 2:
      case 3:
        file[at] = static_cast<char>(kBytes[uniform(random, 0, 8)]);
        break;
      case 4:
        file.erase(at, size);
        break;
      case 5:
        file.insert(at, file.substr(at, size));
        break;
      default:
        file.resize(at);
        break;
    }
  }
  return file;
}

// The messages of an ONNX file that are read, by the number of the field that holds them.
enum class Kind : uint8_t {
  kLeaf,
  kModel,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kPort,
  kType,
  kTensorType,
  kShape,
  kDim,
  kEntry
};

inline Kind kind_of(Kind parent, uint32_t number) {
  struct Rule {
    Kind parent;
    uint32_t number;
    Kind kind;
  };
  constexpr Rule kRules[] = {
      {Kind::kModel, 7, Kind::kGraph},      {Kind::kModel, 8, Kind::kEntry},
      {Kind::kModel, 14, Kind::kEntry},     {Kind::kGraph, 1, Kind::kNode},
      {Kind::kGraph, 5, Kind::kTensor},     {Kind::kGraph, 11, Kind::kPort},
      {Kind::kGraph, 12, Kind::kPort},      {Kind::kNode, 5, Kind::kAttribute},
      {Kind::kAttribute, 5, Kind::kTensor}, {Kind::kPort, 2, Kind::kType},
      {Kind::kType, 1, Kind::kTensorType},  {Kind::kTensorType, 2, Kind::kShape},
      {Kind::kShape, 1, Kind::kDim},
  };
  for (const Rule& rule : kRules) {
    if (rule.parent == parent && rule.number == number) return rule.kind;
  }
  return Kind::kLeaf;
}

// A field, and the fields of a message.
struct Field {
  Kind parent = Kind::kLeaf, kind = Kind::kLeaf;
  uint32_t number = 0;
  Fields::Kind wire = Fields::kBytes;
  uint64_t value = 0;
  Bytes bytes;  // of a leaf
  std::vector<Field> fields;
};

inline std::vector<Field> parse(const Bytes& message, Kind kind) {
  constexpr uint32_t kFunctions = 25;  // most of a file, and not read
  std::vector<Field> fields;
  Fields reader({reinterpret_cast<const uint8_t*>(message.data()), message.size()});
  while (reader.next()) {
    if (kind == Kind::kModel && reader.number() == kFunctions) continue;
    Field field;
    field.parent = kind, field.kind = kind_of(kind, reader.number());
    field.number = reader.number(), field.wire = reader.kind(), field.value = reader.value();
    if (reader.kind() == Fields::kBytes) {
      field.bytes.assign(reinterpret_cast<const char*>(reader.bytes().data), reader.bytes().size);
    }
    if (field.kind != Kind::kLeaf) field.fields = parse(field.bytes, field.kind);
    fields.push_back(field);
  }
  return fields;
}

inline void put_varint(Bytes* to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to->push_back(static_cast<char>(value | 0x80));
  to->push_back(static_cast<char>(value));
}

inline Bytes written(const std::vector<Field>& fields) {
  Bytes to;
  for (const Field& field : fields) {
    put_varint(&to, uint64_t{field.number} << 3 | static_cast<uint32_t>(field.wire));
    const size_t width = field.wire == Fields::kFixed64 ? 8 : field.wire == Fields::kFixed32 ? 4 : 0;
    for (size_t i = 0; i < width; ++i) to.push_back(static_cast<char>(field.value >> (8 * i)));
    if (field.wire == Fields::kVarint) put_varint(&to, field.value);
    if (field.wire != Fields::kBytes) continue;
    const Bytes bytes = field.kind == Kind::kLeaf ? field.bytes : written(field.fields);
    put_varint(&to, bytes.size());
    to += bytes;
  }
  return to;
}

// A file's fields, to be changed.
class Mutant {
 public:
  Mutant(const std::vector<Field>& file, const std::vector<Bytes>& operators, Random& random)
      : file_(file), operators_(operators), random_(random) {}

  Bytes make() {
    for (int64_t changes = uniform(random_, 1, 3); changes > 0; --changes) {
      all_.clear();
      collect(&file_);
      if (!all_.empty()) change(any_of(random_, all_));
    }
    return written(file_);
  }

 private:
  struct Place {
    std::vector<Field>* siblings;
    size_t index;
  };

  void collect(std::vector<Field>* fields) {
    for (size_t i = 0; i < fields->size(); ++i) {
      all_.push_back({fields, i});
      collect(&(*fields)[i].fields);
    }
  }

  // A field of the same place in another message, or the field itself.
  const Field& relative_of(const Field& field) {
    for (int tries = 0; tries < 50; ++tries) {
      const Place place = any_of(random_, all_);
      const Field& other = (*place.siblings)[place.index];
      if (other.parent == field.parent && other.number == field.number) return other;
    }
    return field;
  }

  uint64_t odd_number(uint64_t value) {
    constexpr uint64_t kOdd[] = {
        0,       1,       2,       3,           7,          8,           64,
        255,     256,     1 << 15, (1 << 16) + 1, 1u << 31, ~uint64_t{0}, ~uint64_t{1},
        1ull << 32, 1ull << 40, 1ull << 62, 1ull << 63, (1ull << 63) - 1, 16, 6};
    if (uniform(random_, 0, 3) == 0) return value + static_cast<uint64_t>(uniform(random_, -2, 2));
    return kOdd[uniform(random_, 0, std::size(kOdd) - 1)];
  }

  void change_leaf(Field* field) {
    constexpr uint32_t kOpType = 4;
    if (field->wire != Fields::kBytes) {
      field->value = odd_number(field->value);
      // An integer that was packed may be a number, and a size one that is named.
    } else if (field->parent == Kind::kNode && field->number == kOpType) {
      field->bytes = any_of(random_, operators_);
    } else if (uniform(random_, 0, 1)) {
      field->bytes = Bytes(relative_of(*field).bytes);
    } else {
      field->bytes = damaged_bytes(field->bytes, random_);
    }
  }

  void change(Place place) {
    std::vector<Field>& siblings = *place.siblings;
    Field& field = siblings[place.index];
    const auto at = static_cast<std::ptrdiff_t>(place.index);
    switch (uniform(random_, 0, 9)) {
      case 0:
        siblings.erase(siblings.begin() + at);
        break;
      case 1:
        siblings.insert(siblings.begin() + at, Field(field));
        break;
      case 2:
        std::swap(field, any_of(random_, siblings));
        break;
      case 3:
        field = Field(relative_of(field));
        break;
      case 4:
        siblings.insert(siblings.begin() + at, Field(relative_of(field)));
        break;
      default:
        if (field.kind == Kind::kLeaf) return change_leaf(&field);
        if (field.fields.empty()) return;
        change({&field.fields, static_cast<size_t>(uniform(
                                   random_, 0, static_cast<int64_t>(field.fields.size()) - 1))});
    }
  }

  std::vector<Field> file_;
  std::vector<Bytes> operators_;
  Random& random_;
  std::vector<Place> all_;
};

// The names of all operators in the files.
inline void collect_operators(const std::vector<Field>& fields, std::vector<Bytes>* names) {
  constexpr uint32_t kOpType = 4;
  for (const Field& field : fields) {
    if (field.parent == Kind::kNode && field.number == kOpType) names->push_back(field.bytes);
    collect_operators(field.fields, names);
  }
}

}  // namespace sbn::test
