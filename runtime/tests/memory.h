// Memory whose last byte lies before a page that cannot be touched.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace sbn::test {

class Guarded {
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
