// Memory whose last byte lies before a page that cannot be touched; in WebAssembly, which has none,
// before bytes that must not change.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"

#if !SBN_WASM
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace sbn::test {

class Guarded {
#if SBN_WASM
  static constexpr char kUntouched = 0x3c;
  static constexpr size_t kMargin = 128;

 public:
  explicit Guarded(size_t size, size_t slack = 0) : size_(size) {
    mapped_ = (size + slack + 63) / 64 * 64 + kMargin;
    base_ = aligned_alloc(64, mapped_);
    if (!base_) abort();
    memset(base_, kUntouched, mapped_);
    data_ = static_cast<char*>(base_) + mapped_ - kMargin - size - slack;
  }
  ~Guarded() {
    for (const char* at = data_ + size_; at < static_cast<char*>(base_) + mapped_; ++at) {
      if (*at == kUntouched) continue;
      printf("FAILED: written behind the end\n");
      abort();
    }
    free(base_);
  }
#else
 public:
  // `slack` bytes lie between the end and the guard page: 0 catches reads past the
  // end, an odd number makes the memory unaligned.
  explicit Guarded(size_t size, size_t slack = 0) : size_(size) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    mapped_ = (size + slack + page - 1) / page * page + page;
    base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char* guard = static_cast<char*>(base_) + mapped_ - page;
    if (base_ == MAP_FAILED || mprotect(guard, page, PROT_NONE) != 0) {
      perror("guarded memory");
      abort();
    }
    data_ = guard - size - slack;
  }
  ~Guarded() { munmap(base_, mapped_); }
#endif
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  size_t size() const { return size_; }

 private:
  void* base_;
  char* data_;
  size_t mapped_;
  size_t size_;
};

}  // namespace sbn::test
