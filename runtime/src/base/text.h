// A message built in a fixed buffer: the library allocates nothing to complain.
#pragma once

#include <stddef.h>
#include <stdint.h>

// The value of a macro as text.
#define SBN_STRING_OF(value) #value
#define SBN_STRING(macro) SBN_STRING_OF(macro)

namespace sbn {

inline bool same_text(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

// Text beyond the buffer is cut off.
class Message {
 public:
  Message& operator<<(const char* text) {
    while (*text && length_ + 1 < sizeof text_) text_[length_++] = *text++;
    text_[length_] = 0;
    return *this;
  }

  Message& operator<<(int64_t number) {
    char digits[21];
    char* at = digits + sizeof digits;
    *--at = 0;
    uint64_t rest = number < 0 ? uint64_t{0} - static_cast<uint64_t>(number)
                               : static_cast<uint64_t>(number);
    do {
      *--at = static_cast<char>('0' + rest % 10);
      rest /= 10;
    } while (rest);
    if (number < 0) *this << "-";
    return *this << at;
  }

  const char* text() const { return text_; }

 private:
  char text_[768] = {};
  size_t length_ = 0;
};

}  // namespace sbn
