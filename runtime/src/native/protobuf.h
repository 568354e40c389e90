// The wire format of protocol buffers, read with every length checked.
#pragma once

#include "native/status.h"

namespace sbn::native {

// The fields of one message, front to back.
//
//   Fields fields(message);
//   while (fields.next()) ...
//   if (fields.damaged()) ...
class Fields {
 public:
  enum Kind { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  explicit Fields(const Bytes& message) : at_(message.data), end_(message.data + message.size) {}

  // Reads the next field; false at the end, and from the first on that is damaged.
  bool next();
  bool damaged() const { return damaged_; }

  uint32_t number() const { return number_; }
  Kind kind() const { return kind_; }
  bool is(uint32_t number, Kind kind) const { return number_ == number && kind_ == kind; }

  // The value of a varint or fixed field.
  uint64_t value() const { return value_; }
  int64_t integer() const { return static_cast<int64_t>(value_); }
  // The contents of a kBytes field.
  const Bytes& bytes() const { return bytes_; }

 private:
  bool varint(uint64_t* value);
  bool fixed(size_t size);

  const uint8_t* at_;
  const uint8_t* end_;
  bool damaged_ = false;
  uint32_t number_ = 0;
  Kind kind_ = kVarint;
  uint64_t value_ = 0;
  Bytes bytes_;
};

// Reads the next varint of a packed list; false at the end or where it is damaged.
bool next_varint(Bytes* list, uint64_t* value);

}  // namespace sbn::native
