// How the program ends when it cannot go on, and memory that it keeps until then.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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
inline void* keep_bytes(size_t bytes) {
  const size_t size = align_up(bytes + !bytes, kScratchAlignment);
  void* memory = aligned_alloc(kScratchAlignment, size);
  if (!memory) fail("out of memory: no room for %zu bytes", size);
  __builtin_memset(memory, 0, size);
  return memory;
}

template <class T>
T* keep(size_t count) {
  return static_cast<T*>(keep_bytes(count * sizeof(T)));
}

}  // namespace sbn::phone
