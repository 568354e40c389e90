// What trace.c and caches.c call of qemu, declared as its documentation describes version 1 of
// the interface of plugins, since Debian has no package of the header; and when they record.
#ifndef SBN_BENCH_ARM_PLUGIN_H
#define SBN_BENCH_ARM_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

typedef uint64_t PluginId;
typedef uint32_t MemoryInfo;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;

enum { kReadsNoRegisters = 0, kReadsAndWrites = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(PluginId,
                                           void (*)(PluginId, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *,
                                          void (*)(unsigned vcpu, void *data), int flags,
                                          void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
                                      void (*)(unsigned vcpu, MemoryInfo, uint64_t address,
                                               void *data),
                                      int flags, int direction, void *data);
void qemu_plugin_register_vcpu_syscall_cb(PluginId,
                                          void (*)(PluginId, unsigned vcpu, int64_t number,
                                                   uint64_t, uint64_t, uint64_t, uint64_t,
                                                   uint64_t, uint64_t, uint64_t, uint64_t));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);
unsigned qemu_plugin_mem_size_shift(MemoryInfo);

EXPORTED int qemu_plugin_version = 1;

// Recorded is the thread that calls getppid(), from its first call to its second. Nothing else
// calls it.
enum { kGetppid = 173 };
static bool recording;
static unsigned recorded_vcpu;

static void begin(void);
static void end(void);

static void system_call(PluginId id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2,
                        uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                        uint64_t a8) {
  (void)id, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != kGetppid) return;
  recorded_vcpu = vcpu;
  recording = !recording;
  (recording ? begin : end)();
}

// The rest of the option that starts with `name`, or the end of the program.
static const char *option(int count, char **options, const char *name) {
  const size_t length = strlen(name);
  for (int i = 0; i < count; ++i) {
    if (!strncmp(options[i], name, length) && options[i][length] == '=') {
      return options[i] + length + 1;
    }
  }
  fprintf(stderr, "the plugin lacks the option %s\n", name);
  exit(1);
}

static FILE *open_in(const char *folder, const char *name, const char *mode) {
  char path[4096];
  const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = length < (int)sizeof path ? fopen(path, mode) : NULL;
  if (!file) {
    perror(path);
    exit(1);
  }
  return file;
}

#endif
