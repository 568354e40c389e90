// Failures and memory of the native runtime. Nothing throws, and nothing aborts for want of memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "base/text.h"
#include "kernels/scratch.h"
#include "ort/node.h"

namespace sbn::ort {

// What is opaque to the operators.
struct Status {
  char text[sizeof(Message)];
};

}  // namespace sbn::ort

namespace sbn::native {

using ort::Status;

// Never null: where there is no memory for the text, a failure that says so.
Status* fail(const char* text);
inline Status* fail(const Message& message) { return fail(message.text()); }
Status* out_of_memory();
void release(Status* status);

// What a function of sbn.h returns of a failure, which sbn_last_error then says: 0 for null, or 1.
int failed(Status* failure);

// Bytes of a file. Those that are no printable ASCII appear as '?' in messages.
struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;

  bool operator==(const char* text) const;
  bool operator==(const Bytes& other) const;
};
Message& operator<<(Message& message, const Bytes& text);

// Of one tensor or table, so that sums of a few can be counted.
constexpr int64_t kMostBytes = int64_t{1} << (sizeof(size_t) < 8 ? 30 : 40);

// Memory that is given back all at once. Plain data: zeroes are an empty pool.
class Pool {
 public:
  // Zeroed and aligned, to kScratchAlignment at most; null where there is no memory.
  void* take(Size bytes, size_t alignment);

  template <class T>
  Status* array(size_t count, T** to, size_t alignment = alignof(T)) {
    const Size bytes = Size(static_cast<int64_t>(count)) * int64_t{sizeof(T)};
    *to = static_cast<T*>(take(bytes, alignment));
    return *to ? nullptr : out_of_memory();
  }

  // A copy that ends in a zero byte.
  Status* text(const Bytes& bytes, const char** to);
  Status* copy(const Bytes& bytes, Bytes* to);

  void release();

 private:
  struct Block {
    Block* next;
  };
  Block* blocks_;
  char* at_;  // room left in the newest small block
  size_t left_;
};

}  // namespace sbn::native
