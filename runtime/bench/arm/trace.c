// A plugin of qemu that records which blocks of instructions a program executes, in order.
//
//     qemu-aarch64 -plugin trace.so,folder=FOLDER …
//
// A block is what qemu translates at once: up to the next branch, or the end of a page. Into the
// folder go `trace` (32-bit numbers of blocks), `blocks` (a line each: number, where it lies in
// this process, instructions in hexadecimal) and `maps` (which file lies where).

#include "plugin.h"

#include <inttypes.h>

static char folder[4096];
static FILE *blocks;  // null when all is recorded
static FILE *trace;
static uintptr_t next_block;

static void executed(unsigned vcpu, void *number) {
  if (recording && vcpu == recorded_vcpu) {
    const uint32_t block = (uint32_t)(uintptr_t)number;
    fwrite(&block, sizeof block, 1, trace);
  }
}

static void translated(PluginId id, struct qemu_plugin_tb *tb) {
  (void)id;
  if (!blocks) return;
  const size_t count = qemu_plugin_tb_n_insns(tb);
  const uintptr_t number = next_block++;
  fprintf(blocks, "%" PRIuPTR " %" PRIxPTR " ", number,
          (uintptr_t)qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(tb, 0)));
  for (size_t i = 0; i < count; ++i) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof word);
    fprintf(blocks, "%08" PRIx32, word);
  }
  fputc('\n', blocks);
  qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, kReadsNoRegisters, (void *)number);
}

static void begin(void) { trace = open_in(folder, "trace", "wb"); }

static void end(void) {
  fclose(trace);
  fclose(blocks);
  blocks = NULL;
  FILE *from = open_in("/proc/self", "maps", "r");
  FILE *to = open_in(folder, "maps", "w");
  char line[4096];
  while (fgets(line, sizeof line, from)) fputs(line, to);
  fclose(from);
  fclose(to);
}

EXPORTED int qemu_plugin_install(PluginId id, const struct qemu_info_t *info, int count,
                                 char **options) {
  (void)info;
  snprintf(folder, sizeof folder, "%s", option(count, options, "folder"));
  blocks = open_in(folder, "blocks", "w");
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, system_call);
  return 0;
}
