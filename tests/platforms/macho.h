/* Loads a Mach-O dylib into a Linux process of the same processor: maps its segments, binds it to the
 * functions of this process, gives its thread-local variables memory, and runs its constructors. */
#pragma once

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
  const uint8_t* file;
  uint8_t* base;
  uint32_t symbols, symbol_count, strings;
} MachO;

static void macho_fail(const char* what) {
  fprintf(stderr, "macho: %s\n", what);
  exit(1);
}

static uint32_t word(const void* at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static uint64_t quad(const void* at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

/* --- What differs from Linux's C library --- */

/* SBN_FEATURES names what the processor says it has, separated by commas; else it has nothing. */
static int mac_sysctlbyname(const char* name, void* value, size_t* size, void* set, size_t bytes) {
  (void)set, (void)bytes;
  const char* features = getenv("SBN_FEATURES");
  const char* last = strrchr(name, '.') + 1;
  if (*size != sizeof(int32_t) || !features) return -1;
  const int32_t found = strstr(features, last) != NULL;
  memcpy(value, &found, sizeof found);
  return 0;
}

static int* mac_error(void) { return &errno; }

static void mac_bzero(void* to, size_t size) { memset(to, 0, size); }

static void mac_memset_pattern16(void* to, const void* pattern, size_t size) {
  for (size_t i = 0; i < size; ++i) ((char*)to)[i] = ((const char*)pattern)[i % 16];
}

static void mac_stack_chk_fail(void) { macho_fail("the stack was overwritten"); }
static uint64_t mac_stack_chk_guard = 0x5bd1e995a7c30f1d;

/* A thread-local variable: where it lies in the template, and the number of the pthread key that
 * frees a thread's copy. */
typedef struct {
  void* thunk;
  uint64_t key, offset;
} Variable;

static const void* macho_template;
static size_t macho_template_bytes, macho_template_all;
__attribute__((used)) static __thread char* mac_variables;

__attribute__((used)) static void* mac_variable(const Variable* variable) {
  if (!mac_variables) {
    mac_variables = calloc(1, macho_template_all + 1);
    memcpy(mac_variables, macho_template, macho_template_bytes);
    pthread_setspecific((pthread_key_t)variable->key, mac_variables);
  }
  return mac_variables + variable->offset;
}

/* Keeps every register but the one with the result. On x86-64, where times are taken, a variable
 * costs little, as on a Mac, once the thread has them. */
void mac_thunk(void);
#if defined(__x86_64__)
__asm__(
    ".text\n"
    "mac_thunk:\n"
    "  mov %fs:mac_variables@tpoff, %rax\n"
    "  test %rax, %rax\n  je 1f\n"
    "  add 16(%rdi), %rax\n  ret\n"
    "1:\n"
    "  push %rbp\n  mov %rsp, %rbp\n"
    "  push %rcx\n  push %rdx\n  push %rsi\n  push %rdi\n"
    "  push %r8\n  push %r9\n  push %r10\n  push %r11\n"
    "  sub $512, %rsp\n  and $-64, %rsp\n  fxsave64 (%rsp)\n"
    "  call mac_variable\n"
    "  fxrstor64 (%rsp)\n  lea -64(%rbp), %rsp\n"
    "  pop %r11\n  pop %r10\n  pop %r9\n  pop %r8\n"
    "  pop %rdi\n  pop %rsi\n  pop %rdx\n  pop %rcx\n"
    "  pop %rbp\n  ret\n");
#else
__asm__(
    ".text\n"
    "mac_thunk:\n"
    "  stp x29, x30, [sp, #-16]!\n  mov x29, sp\n"
    "  stp x1, x2, [sp, #-16]!\n  stp x3, x4, [sp, #-16]!\n"
    "  stp x5, x6, [sp, #-16]!\n  stp x7, x8, [sp, #-16]!\n"
    "  stp x9, x10, [sp, #-16]!\n  stp x11, x12, [sp, #-16]!\n"
    "  stp x13, x14, [sp, #-16]!\n  stp x15, x16, [sp, #-16]!\n"
    "  stp q0, q1, [sp, #-32]!\n  stp q2, q3, [sp, #-32]!\n"
    "  stp q4, q5, [sp, #-32]!\n  stp q6, q7, [sp, #-32]!\n"
    "  stp q16, q17, [sp, #-32]!\n  stp q18, q19, [sp, #-32]!\n"
    "  stp q20, q21, [sp, #-32]!\n  stp q22, q23, [sp, #-32]!\n"
    "  stp q24, q25, [sp, #-32]!\n  stp q26, q27, [sp, #-32]!\n"
    "  stp q28, q29, [sp, #-32]!\n  stp q30, q31, [sp, #-32]!\n"
    "  bl mac_variable\n"
    "  ldp q30, q31, [sp], #32\n  ldp q28, q29, [sp], #32\n"
    "  ldp q26, q27, [sp], #32\n  ldp q24, q25, [sp], #32\n"
    "  ldp q22, q23, [sp], #32\n  ldp q20, q21, [sp], #32\n"
    "  ldp q18, q19, [sp], #32\n  ldp q16, q17, [sp], #32\n"
    "  ldp q6, q7, [sp], #32\n  ldp q4, q5, [sp], #32\n"
    "  ldp q2, q3, [sp], #32\n  ldp q0, q1, [sp], #32\n"
    "  ldp x15, x16, [sp], #16\n  ldp x13, x14, [sp], #16\n"
    "  ldp x11, x12, [sp], #16\n  ldp x9, x10, [sp], #16\n"
    "  ldp x7, x8, [sp], #16\n  ldp x5, x6, [sp], #16\n"
    "  ldp x3, x4, [sp], #16\n  ldp x1, x2, [sp], #16\n"
    "  ldp x29, x30, [sp], #16\n  ret\n");
#endif

/* The address that a name of the system's library has here. */
static void* mac_system(const char* name) {
  static const struct {
    const char* name;
    void* address;
  } own[] = {
      {"_sysctlbyname", (void*)mac_sysctlbyname},
      {"___error", (void*)mac_error},
      {"_bzero", (void*)mac_bzero},
      {"___bzero", (void*)mac_bzero},
      {"_memset_pattern16", (void*)mac_memset_pattern16},
      {"___stack_chk_fail", (void*)mac_stack_chk_fail},
      {"___stack_chk_guard", &mac_stack_chk_guard},
      {"__tlv_bootstrap", (void*)mac_thunk},
  };
  for (size_t i = 0; i < sizeof own / sizeof *own; ++i) {
    if (strcmp(own[i].name, name) == 0) return own[i].address;
  }
  void* found = dlsym(RTLD_DEFAULT, name + 1);
  if (!found) macho_fail(name);
  return found;
}

/* --- The file --- */

enum {
  MACHO_MAGIC = 0xfeedfacf,
  MACHO_SYMBOLS = 2,
  MACHO_SEGMENT = 0x19,
  MACHO_FIXUPS = 0x34 | (int)0x80000000,
  MACHO_TLV_DATA = 0x11,
  MACHO_TLV_ZEROES = 0x12,
  MACHO_TLV_VARIABLES = 0x13,
  MACHO_CONSTRUCTORS = 0x16,
};

/* Writes addresses where the file says: of the library itself, and of the system's functions. */
static void macho_fix(const MachO* m, const uint8_t* header) {
  if (word(header + 20) != 1) macho_fail("imports in a form that is not known");
  const uint8_t* imports = header + word(header + 8);
  const char* names = (const char*)header + word(header + 12);
  const uint8_t* starts = header + word(header + 4);
  for (uint32_t i = 0; i < word(starts); ++i) {
    if (!word(starts + 4 + 4 * i)) continue;
    const uint8_t* segment = starts + word(starts + 4 + 4 * i);
    uint16_t page_bytes, form, pages, start;
    memcpy(&page_bytes, segment + 4, 2);
    memcpy(&form, segment + 6, 2);
    memcpy(&pages, segment + 20, 2);
    if (form != 2 && form != 6) macho_fail("pointers in a form that is not known");
    for (uint16_t page = 0; page < pages; ++page) {
      memcpy(&start, segment + 22 + 2 * page, 2);
      if (start == 0xffff) continue;
      uint8_t* at = m->base + quad(segment + 8) + (uint64_t)page * page_bytes + start;
      for (uint64_t next = 1; next;) {
        const uint64_t pointer = quad(at);
        next = pointer >> 51 & 0xfff;
        uint64_t value = (uint64_t)m->base + (pointer & 0xfffffffff) + (pointer >> 36 << 56);
        if (pointer >> 63) {
          const uint32_t import = word(imports + 4 * (pointer & 0xffffff));
          value = (uint64_t)mac_system(names + (import >> 9)) + (pointer >> 24 & 0xff);
        }
        memcpy(at, &value, sizeof value);
        at += 4 * next;
      }
    }
  }
}

static MachO* macho_open(const char* path) {
  const int file = open(path, O_RDONLY);
  struct stat found;
  if (file < 0 || fstat(file, &found)) macho_fail(path);
  MachO* m = calloc(1, sizeof *m);
  m->file = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (word(m->file) != MACHO_MAGIC) macho_fail("this is no Mach-O of 64 bits");
  const uint32_t commands = word(m->file + 16);
  const uint8_t* c = m->file + 32;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < commands; ++i, c += word(c + 4)) {
    const uint64_t end = word(c) == MACHO_SEGMENT ? quad(c + 24) + quad(c + 32) : 0;
    if (end > bytes) bytes = end;
  }
  const uint64_t page = 1 << 14;
  uint8_t* space = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  m->base = (uint8_t*)(((uintptr_t)space + page - 1) / page * page);
  const uint8_t* fixups = NULL;
  c = m->file + 32;
  for (uint32_t i = 0; i < commands; ++i, c += word(c + 4)) {
    if (word(c) == MACHO_SEGMENT) memcpy(m->base + quad(c + 24), m->file + quad(c + 40), quad(c + 48));
    if ((int)word(c) == MACHO_FIXUPS) fixups = m->file + word(c + 8);
    if (word(c) != MACHO_SYMBOLS) continue;
    m->symbols = word(c + 8), m->symbol_count = word(c + 12), m->strings = word(c + 16);
  }
  if (!fixups) macho_fail("there are no chained fixups");
  macho_fix(m, fixups);

  /* Sections: variables of a thread, and constructors. */
  pthread_key_t key;
  pthread_key_create(&key, free);
  const uint8_t *data = NULL, *constructors = NULL;
  uint64_t constructor_bytes = 0;
  c = m->file + 32;
  for (uint32_t i = 0; i < commands; ++i, c += word(c + 4)) {
    if (word(c) != MACHO_SEGMENT) continue;
    for (uint32_t s = 0; s < word(c + 64); ++s) {
      const uint8_t* section = c + 72 + 80 * s;
      uint8_t* at = m->base + quad(section + 32);
      const uint64_t size = quad(section + 40);
      const uint32_t type = word(section + 64) & 0xff;
      if (type == MACHO_CONSTRUCTORS) constructors = at, constructor_bytes = size;
      if (type == MACHO_TLV_DATA) data = at, macho_template_bytes = size;
      if (type == MACHO_TLV_DATA || type == MACHO_TLV_ZEROES) {
        if (!data) data = at;
        macho_template_all = (size_t)(at + size - data);
      }
      for (uint64_t v = 0; type == MACHO_TLV_VARIABLES && v < size; v += sizeof(Variable)) {
        const uint64_t number = key;
        memcpy(at + v + 8, &number, sizeof number);
      }
    }
  }
  macho_template = data;
  c = m->file + 32;
  for (uint32_t i = 0; i < commands; ++i, c += word(c + 4)) {
    if (word(c) != MACHO_SEGMENT || quad(c + 32) == 0) continue;
    const uint32_t allowed = word(c + 60);
    const int access = (allowed & 1 ? PROT_READ : 0) | (allowed & 2 ? PROT_WRITE : 0) |
                       (allowed & 4 ? PROT_EXEC : 0);
    if (mprotect(m->base + quad(c + 24), quad(c + 32), access)) macho_fail("mprotect");
  }
  __builtin___clear_cache((char*)m->base, (char*)m->base + bytes);
  for (uint64_t i = 0; i < constructor_bytes; i += 4) {
    ((void (*)(void))(m->base + word(constructors + i)))();
  }
  return m;
}

static void* macho_symbol(const MachO* m, const char* name) {
  for (uint32_t i = 0; i < m->symbol_count; ++i) {
    const uint8_t* entry = m->file + m->symbols + 16 * i;
    const char* found = (const char*)m->file + m->strings + word(entry);
    const int defined = (entry[4] & 0xe) == 0xe && entry[4] & 1;
    if (defined && *found == '_' && strcmp(found + 1, name) == 0) return m->base + quad(entry + 8);
  }
  return NULL;
}
