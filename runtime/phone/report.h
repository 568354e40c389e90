// How the program ends when it cannot go on, what it keeps until then, and how it reads the clock.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arithmetic.h"
#include "kernels/scratch.h"

namespace sbn::phone {

// One line to standard error, exit status 2.
template <class... Arguments>
[[noreturn]] void fail(const char* format, Arguments... arguments) {
  fprintf(stderr, format, arguments...);
  fputc('\n', stderr);
  exit(2);
}

// Zeroed memory of whole cache lines, never given back.
template <class T>
T* keep(size_t count) {
  const size_t size = align_up(count * sizeof(T) + 1, kScratchAlignment);
  void* memory = aligned_alloc(kScratchAlignment, size);
  if (!memory) fail("out of memory: no room for %zu bytes", size);
  __builtin_memset(memory, 0, size);
  return static_cast<T*>(memory);
}

inline int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

inline void print_numbers(const int64_t* numbers, int64_t count) {
  putchar('[');
  for (int64_t i = 0; i < count; ++i)
    printf("%s%lld", i ? "," : "", static_cast<long long>(numbers[i]));
  putchar(']');
}

}  // namespace sbn::phone
