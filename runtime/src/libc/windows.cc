// What the native runtime needs of a C library on Windows besides base/freestanding.cc and text.cc.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/kernel32.h"

namespace {

// Where a thread's own variables lie. The linker puts what the compiler calls .tls$ between them.
__attribute__((section(".tls"))) char g_first = 0;
__attribute__((section(".tls$ZZZ"))) char g_last = 0;

struct Directory {
  const void *begin, *end, *index, *callbacks;
  uint32_t zeroes, characteristics;
};

thread_local int t_error;
thread_local char t_message[256];

}  // namespace

extern "C" {

uint32_t _tls_index = 0;  // the library's number, which Windows fills in
extern const Directory _tls_used;
const Directory _tls_used = {&g_first, &g_last, &_tls_index, nullptr, 0, 0};

void* malloc(size_t size) { return HeapAlloc(GetProcessHeap(), 0, size); }

void* calloc(size_t count, size_t size) {
  constexpr uint32_t kZeroed = 8;
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) return nullptr;
  return HeapAlloc(GetProcessHeap(), kZeroed, bytes);
}

void free(void* memory) {
  if (memory) HeapFree(GetProcessHeap(), 0, memory);
}

// A FILE is a handle of the system's. Paths are UTF-8.
FILE* fopen(const char* path, const char*) {
  constexpr uint32_t kUtf8 = 65001, kRead = 0x80000000, kShared = 1, kExisting = 3;
  const int length = MultiByteToWideChar(kUtf8, 0, path, -1, nullptr, 0);
  auto* wide = static_cast<wchar_t*>(calloc(static_cast<size_t>(length) + 1, sizeof(wchar_t)));
  if (!wide) return nullptr;
  MultiByteToWideChar(kUtf8, 0, path, -1, wide, length);
  void* file = CreateFileW(wide, kRead, kShared, nullptr, kExisting, 0, nullptr);
  t_error = static_cast<int>(GetLastError());
  free(wide);
  return file == reinterpret_cast<void*>(intptr_t{-1}) ? nullptr : static_cast<FILE*>(file);
}

int fclose(FILE* file) { return CloseHandle(file) ? 0 : -1; }

int fseek(FILE* file, long offset, int from) {
  return SetFilePointerEx(file, offset, nullptr, static_cast<uint32_t>(from)) ? 0 : -1;
}

void rewind(FILE* file) { fseek(file, 0, SEEK_SET); }

long ftell(FILE* file) {
  int64_t place = 0;
  const bool known = SetFilePointerEx(file, 0, &place, SEEK_CUR);
  return known && place <= INT32_MAX ? static_cast<long>(place) : -1;
}

// At most 2^32 - 1 bytes.
size_t fread(void* to, size_t size, size_t count, FILE* file) {
  uint32_t read = 0;
  return ReadFile(file, to, static_cast<uint32_t>(size * count), &read, nullptr) ? read / size : 0;
}

int* _errno() { return &t_error; }

char* strerror(int number) {
  constexpr uint32_t kOfSystem = 0x1000, kNoInserts = 0x200, kOneLine = 0xff;
  uint32_t length =
      FormatMessageA(kOfSystem | kNoInserts | kOneLine, nullptr, static_cast<uint32_t>(number), 0,
                     t_message, sizeof t_message - 1, nullptr);
  while (length > 0 && (t_message[length - 1] == ' ' || t_message[length - 1] == '.')) --length;
  t_message[length] = 0;
  return t_message;
}
}
