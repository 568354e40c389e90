// The four functions that a C++ compiler may call on its own. The library
// links against no libc: it loads under glibc, musl and bionic alike.
// They are built with -fno-tree-loop-distribute-patterns, or the compiler would
// turn each loop into a call of the very function that it implements.
#include <stddef.h>
#include <stdint.h>

extern "C" {

__attribute__((visibility("hidden"))) void* memcpy(void* __restrict to, const void* __restrict from,
                                                   size_t size) {
  auto* d = static_cast<unsigned char*>(to);
  const auto* s = static_cast<const unsigned char*>(from);
  for (size_t i = 0; i < size; ++i) d[i] = s[i];
  return to;
}

__attribute__((visibility("hidden"))) void* memmove(void* to, const void* from, size_t size) {
  auto* d = static_cast<unsigned char*>(to);
  const auto* s = static_cast<const unsigned char*>(from);
  if (d < s) {
    for (size_t i = 0; i < size; ++i) d[i] = s[i];
  } else {
    for (size_t i = size; i > 0; --i) d[i - 1] = s[i - 1];
  }
  return to;
}

__attribute__((visibility("hidden"))) void* memset(void* to, int value, size_t size) {
  auto* d = static_cast<unsigned char*>(to);
  for (size_t i = 0; i < size; ++i) d[i] = static_cast<unsigned char>(value);
  return to;
}

__attribute__((visibility("hidden"))) int memcmp(const void* a, const void* b, size_t size) {
  const auto* p = static_cast<const unsigned char*>(a);
  const auto* q = static_cast<const unsigned char*>(b);
  for (size_t i = 0; i < size; ++i) {
    if (p[i] != q[i]) return p[i] < q[i] ? -1 : 1;
  }
  return 0;
}
}
