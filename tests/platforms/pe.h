/* Loads a DLL for Windows on 64-bit ARM into a Linux process: maps its sections, gives it functions
 * in place of kernel32's, and runs its entry point.
 *
 * Code for Windows finds its thread's block of data in x18, which Linux's code overwrites. So
 * whatever calls into the library sets it, and whatever the library calls keeps it. */
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if !defined(__aarch64__)
#error "x86-64's DLLs run in Wine"
#endif

typedef struct {
  uint8_t* base;
  uint32_t* thunks;
  size_t thunk_count;
} Pe;

static void pe_fail(const char* what) {
  fprintf(stderr, "pe: %s\n", what);
  exit(1);
}

static uint16_t pe_half(const void* at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint32_t pe_word(const void* at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint64_t pe_quad(const void* at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

/* --- Threads --- */

enum { PE_SLOTS_AT = 0x58, PE_BLOCK_BYTES = 0x1000 };

static const void* pe_template;
static size_t pe_template_bytes;
static uint32_t* pe_index;

/* What x18 points to in a new thread: a block with the library's variables, which is not freed. */
static void* pe_block(void) {
  uint8_t* block = calloc(1, PE_BLOCK_BYTES);
  void** slots = calloc(1, sizeof *slots);
  slots[0] = calloc(1, pe_template_bytes + 1);
  if (pe_template_bytes) memcpy(slots[0], pe_template, pe_template_bytes);
  memcpy(block + PE_SLOTS_AT, &slots, sizeof slots);
  return block;
}

uint32_t pe_call(uint32_t (*body)(void*), void* argument, void* block);
__asm__(
    ".text\n"
    "pe_call:\n"
    "  stp x29, x30, [sp, #-16]!\n  mov x29, sp\n"
    "  mov x18, x2\n  mov x16, x0\n  mov x0, x1\n  blr x16\n"
    "  ldp x29, x30, [sp], #16\n  ret\n");

typedef struct {
  uint32_t (*body)(void*);
  void* argument;
  pthread_t thread;
} PeThread;

static void* pe_run(void* thread) {
  PeThread* t = thread;
  pe_call(t->body, t->argument, pe_block());
  return NULL;
}

/* --- In place of kernel32.dll --- */

enum { PE_FILES = 1000 }; /* handles below it are files */

static pthread_mutex_t pe_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pe_condition = PTHREAD_COND_INITIALIZER;

static int k_GetModuleHandleExW(uint32_t flags, const void* address, void** module) {
  (void)flags, (void)address;
  *module = NULL;
  return 1;
}
static int k_IsProcessorFeaturePresent(uint32_t feature) {
  const char* features = getenv("SBN_FEATURES");
  const char* name = feature == 43 ? "FEAT_DotProd" : feature == 66 ? "FEAT_I8MM" : "none";
  return features && strstr(features, name) != NULL;
}
static void* k_GetProcessHeap(void) { return NULL; }
static void* k_HeapAlloc(void* heap, uint32_t flags, size_t bytes) {
  (void)heap;
  return flags & 8 ? calloc(1, bytes ? bytes : 1) : malloc(bytes ? bytes : 1);
}
static int k_HeapFree(void* heap, uint32_t flags, void* memory) {
  (void)heap, (void)flags;
  free(memory);
  return 1;
}
static int k_MultiByteToWideChar(uint32_t page, uint32_t flags, const char* text, int bytes,
                                 uint16_t* to, int room) {
  (void)page, (void)flags, (void)bytes;
  const int length = (int)strlen(text) + 1;
  for (int i = 0; i < length && i < room; ++i) to[i] = (unsigned char)text[i];
  return length;
}
static void* k_CreateFileW(const uint16_t* path, uint32_t access, uint32_t sharing, void* security,
                           uint32_t creation, uint32_t flags, void* pattern) {
  (void)access, (void)sharing, (void)security, (void)creation, (void)flags, (void)pattern;
  char text[4096];
  size_t i = 0;
  do text[i] = (char)path[i];
  while (path[i++] && i < sizeof text);
  const int file = open(text, O_RDONLY);
  return (void*)(intptr_t)file;
}
static int k_SetFilePointerEx(void* file, int64_t distance, int64_t* place, uint32_t from) {
  const off_t found = lseek((int)(intptr_t)file, distance, (int)from);
  if (place) *place = found;
  return found >= 0;
}
static int k_ReadFile(void* file, void* to, uint32_t bytes, uint32_t* count, void* overlapped) {
  (void)overlapped;
  const ssize_t found = read((int)(intptr_t)file, to, bytes);
  *count = found < 0 ? 0 : (uint32_t)found;
  return found >= 0;
}
static int k_CloseHandle(void* handle) {
  if ((intptr_t)handle < PE_FILES) return close((int)(intptr_t)handle) == 0;
  free(handle);
  return 1;
}
static uint32_t k_GetLastError(void) { return 2; }
static uint32_t k_FormatMessageA(uint32_t flags, const void* source, uint32_t message,
                                 uint32_t language, char* to, uint32_t room, void* arguments) {
  (void)flags, (void)source, (void)language, (void)arguments;
  return (uint32_t)snprintf(to, room, "error %u. ", message);
}
static void k_AcquireSRWLockExclusive(void** lock) {
  (void)lock;
  pthread_mutex_lock(&pe_mutex);
}
static void k_ReleaseSRWLockExclusive(void** lock) {
  (void)lock;
  pthread_mutex_unlock(&pe_mutex);
}
static int k_SleepConditionVariableSRW(void** condition, void** lock, uint32_t time, uint32_t flags) {
  (void)condition, (void)lock, (void)time, (void)flags;
  return pthread_cond_wait(&pe_condition, &pe_mutex) == 0;
}
static void k_WakeAllConditionVariable(void** condition) {
  (void)condition;
  pthread_cond_broadcast(&pe_condition);
}
static void* k_CreateThread(void* security, size_t stack, uint32_t (*body)(void*), void* argument,
                            uint32_t flags, uint32_t* id) {
  (void)security, (void)stack, (void)flags, (void)id;
  PeThread* t = calloc(1, sizeof *t);
  t->body = body, t->argument = argument;
  if (pthread_create(&t->thread, NULL, pe_run, t)) pe_fail("no thread");
  return t;
}
static uint32_t k_WaitForSingleObject(void* handle, uint32_t time) {
  (void)time;
  pthread_join(((PeThread*)handle)->thread, NULL);
  return 0;
}
static int k_SwitchToThread(void) { return sched_yield() == 0; }

static void* pe_system(const char* name) {
#define PE_FUNCTION(name) {#name, (void*)k_##name}
  static const struct {
    const char* name;
    void* address;
  } all[] = {
      PE_FUNCTION(AcquireSRWLockExclusive),
      PE_FUNCTION(CloseHandle),
      PE_FUNCTION(CreateFileW),
      PE_FUNCTION(CreateThread),
      PE_FUNCTION(FormatMessageA),
      PE_FUNCTION(GetLastError),
      PE_FUNCTION(GetModuleHandleExW),
      PE_FUNCTION(GetProcessHeap),
      PE_FUNCTION(HeapAlloc),
      PE_FUNCTION(HeapFree),
      PE_FUNCTION(IsProcessorFeaturePresent),
      PE_FUNCTION(MultiByteToWideChar),
      PE_FUNCTION(ReadFile),
      PE_FUNCTION(ReleaseSRWLockExclusive),
      PE_FUNCTION(SetFilePointerEx),
      PE_FUNCTION(SleepConditionVariableSRW),
      PE_FUNCTION(SwitchToThread),
      PE_FUNCTION(WaitForSingleObject),
      PE_FUNCTION(WakeAllConditionVariable),
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
    if (strcmp(all[i].name, name) == 0) return all[i].address;
  }
  pe_fail(name);
  return NULL;
}

/* --- Thunks --- */

/* Code that calls `target` and keeps x18, or, with a block, that goes to `target` with it in x18. */
static void* pe_thunk(Pe* library, void* target, void* block) {
  static const uint32_t keeping[] = {
      0xa9bf7bf2, /* stp x18, x30, [sp, #-16]! */
      0x580000b0, /* ldr x16, 24 bytes from the beginning */
      0xd63f0200, /* blr x16 */
      0xa8c17bf2, /* ldp x18, x30, [sp], #16 */
      0xd65f03c0, /* ret */
      0xd503201f, /* nop */
  };
  static const uint32_t giving[] = {
      0x580000d0, /* ldr x16, 24 bytes from the beginning */
      0x580000f2, /* ldr x18, 32 bytes from the beginning */
      0xd61f0200, /* br x16 */
      0xd503201f, 0xd503201f, 0xd503201f,
  };
  uint32_t* code = library->thunks + 10 * library->thunk_count++;
  memcpy(code, block ? giving : keeping, sizeof keeping);
  memcpy(code + 6, &target, sizeof target);
  memcpy(code + 8, &block, sizeof block);
  __builtin___clear_cache((char*)code, (char*)(code + 10));
  return code;
}

/* --- The file --- */

static Pe* pe_open(const char* path) {
  const int file = open(path, O_RDONLY);
  struct stat found;
  if (file < 0 || fstat(file, &found)) pe_fail(path);
  const uint8_t* data = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  const uint8_t* header = data + pe_word(data + 60);
  const uint8_t* optional = header + 24;
  if (pe_half(header + 4) != 0xaa64) pe_fail("this is no DLL for 64-bit ARM");
  const int all = PROT_READ | PROT_WRITE | PROT_EXEC, own = MAP_PRIVATE | MAP_ANONYMOUS;
  Pe* library = calloc(1, sizeof *library);
  uint8_t* base = library->base = mmap(NULL, pe_word(optional + 56), all, own, -1, 0);
  library->thunks = mmap(NULL, 1 << 16, all, own, -1, 0);
  memcpy(base, data, pe_word(optional + 60));
  const uint8_t* section = optional + pe_half(header + 20);
  for (int i = 0; i < pe_half(header + 6); ++i, section += 40) {
    const uint32_t size = pe_word(section + 8), bytes = pe_word(section + 16);
    memcpy(base + pe_word(section + 12), data + pe_word(section + 20), size < bytes ? size : bytes);
  }
  /* Addresses in it, which are for where it would like to lie. */
  const uint64_t moved = (uint64_t)base - pe_quad(optional + 24);
  const uint8_t* block = base + pe_word(optional + 112 + 8 * 5);
  const uint8_t* end = block + pe_word(optional + 112 + 8 * 5 + 4);
  for (; block < end; block += pe_word(block + 4)) {
    for (uint32_t i = 8; i < pe_word(block + 4); i += 2) {
      const uint16_t entry = pe_half(block + i);
      if (entry >> 12 == 0) continue;
      if (entry >> 12 != 10) pe_fail("an address in a form that is not known");
      uint8_t* at = base + pe_word(block) + (entry & 0xfff);
      const uint64_t address = pe_quad(at) + moved;
      memcpy(at, &address, sizeof address);
    }
  }
  const uint32_t imports = pe_word(optional + 112 + 8), tls = pe_word(optional + 112 + 8 * 9);
  for (const uint8_t* at = base + imports; imports && pe_word(at); at += 20) {
    uint64_t* to = (uint64_t*)(base + pe_word(at + 16));
    for (const uint8_t* name = base + pe_word(at); pe_quad(name); name += 8) {
      *to++ = (uint64_t)pe_thunk(library, pe_system((char*)base + pe_quad(name) + 2), NULL);
    }
  }
  if (tls) {
    pe_template = (const void*)pe_quad(base + tls);
    pe_template_bytes = pe_quad(base + tls + 8) - pe_quad(base + tls);
    pe_index = (uint32_t*)pe_quad(base + tls + 16);
    *pe_index = 0;
  }
  __builtin___clear_cache((char*)base, (char*)base + pe_word(optional + 56));
  int (*entry)(void*, uint32_t, void*) = (int (*)(void*, uint32_t, void*))pe_thunk(
      library, base + pe_word(optional + 16), pe_block());
  if (!entry(base, 1, NULL)) pe_fail("the entry point refuses");
  return library;
}

/* For calls from the main thread. */
static void* pe_symbol(Pe* library, const char* name) {
  static void* block;
  if (!block) block = pe_block();
  const uint8_t* base = library->base;
  const uint8_t* exports = base + pe_word(base + pe_word(base + 60) + 24 + 112);
  const uint8_t* functions = base + pe_word(exports + 28);
  const uint8_t* names = base + pe_word(exports + 32);
  const uint8_t* places = base + pe_word(exports + 36);
  for (uint32_t i = 0; i < pe_word(exports + 24); ++i) {
    if (strcmp((const char*)base + pe_word(names + 4 * i), name)) continue;
    const uint32_t address = pe_word(functions + 4 * pe_half(places + 2 * i));
    return pe_thunk(library, (void*)(base + address), block);
  }
  return NULL;
}
