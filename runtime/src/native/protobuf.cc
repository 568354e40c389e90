#include "native/protobuf.h"

namespace sbn::native {

bool next_varint(Bytes* list, uint64_t* value) {
  constexpr int kMostBits = 64;
  *value = 0;
  for (int shift = 0; shift < kMostBits && list->size; shift += 7) {
    const uint8_t byte = *list->data;
    ++list->data, --list->size;
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return true;
  }
  return false;
}

bool Fields::varint(uint64_t* value) {
  Bytes rest = {at_, static_cast<size_t>(end_ - at_)};
  const bool found = next_varint(&rest, value);
  at_ = rest.data;
  return found;
}

bool Fields::fixed(size_t size) {
  if (static_cast<size_t>(end_ - at_) < size) return false;
  value_ = 0;
  for (size_t i = 0; i < size; ++i) value_ |= uint64_t{at_[i]} << (8 * i);
  at_ += size;
  return true;
}

bool Fields::next() {
  if (at_ == end_ || damaged_) return false;
  damaged_ = true;
  uint64_t tag = 0;
  if (!varint(&tag) || tag >> 3 == 0 || tag >> 32) return false;
  number_ = static_cast<uint32_t>(tag >> 3);
  kind_ = static_cast<Kind>(tag & 7);
  bool read = false;
  switch (kind_) {
    case kVarint:
      read = varint(&value_);
      break;
    case kFixed64:
      read = fixed(8);
      break;
    case kFixed32:
      read = fixed(4);
      break;
    case kBytes:
      read = varint(&value_) && value_ <= static_cast<uint64_t>(end_ - at_);
      if (read) {
        bytes_ = {at_, static_cast<size_t>(value_)};
        at_ += value_;
      }
      break;
  }
  damaged_ = !read;
  return read;
}

}  // namespace sbn::native
