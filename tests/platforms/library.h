/* Libraries: of this system, or with -DSBN_MACHO dylibs, with -DSBN_PE DLLs, which are loaded by
 * loaders of our own. And the time. */
#pragma once

#if defined(_WIN32)
#include <windows.h>
static inline void* system_open(const char* path) { return LoadLibraryA(path); }
static inline void* system_symbol(void* library, const char* name) {
  return (void*)GetProcAddress(library, name);
}
static inline double microseconds(void) {
  LARGE_INTEGER rate, now;
  QueryPerformanceFrequency(&rate);
  QueryPerformanceCounter(&now);
  return (double)now.QuadPart / (double)rate.QuadPart * 1e6;
}
#else
#include <dlfcn.h>
#include <time.h>
static inline double microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}
static inline void* system_open(const char* path) { return dlopen(path, RTLD_NOW); }
static inline void* system_symbol(void* library, const char* name) { return dlsym(library, name); }
#endif

#if defined(SBN_MACHO)
#include "macho.h"
typedef MachO Library;
#define library_open macho_open
#define library_symbol macho_symbol
#elif defined(SBN_PE)
#include "pe.h"
typedef Pe Library;
#define library_open pe_open
#define library_symbol pe_symbol
#else
typedef void Library;
#define library_open system_open
#define library_symbol system_symbol
#endif
