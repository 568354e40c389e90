// A plugin of qemu that simulates data caches: how many lines each level had to fetch from the
// next, the last one from memory.
//
//     qemu-aarch64 -plugin caches.so,folder=FOLDER,levels=SETSxWAYS:SETSxWAYS:… …
//
// Lines have 64 bytes; the one used longest ago makes room; a write fetches its line. The caches
// are simulated from the start of the program, so that they are warm when recording begins. Into
// the folder goes `caches`, a line for each level.

#include "plugin.h"

#include <inttypes.h>

enum { kLevels = 4, kLineShift = 6 };

typedef struct {
  uint64_t sets, ways;
  uint64_t *lines;  // of each set, the one used last first
  uint64_t fetched;
} Level;

static Level levels[kLevels];
static int level_count;
static char folder[4096];

// Whether the line was there; now it is, and the one used last.
static bool use(Level *level, uint64_t line) {
  uint64_t *set = level->lines + line % level->sets * level->ways;
  uint64_t way = 0;
  while (way + 1 < level->ways && set[way] != line) ++way;
  const bool found = set[way] == line;
  memmove(set + 1, set, way * sizeof *set);
  set[0] = line;
  return found;
}

static void accessed(unsigned vcpu, MemoryInfo info, uint64_t address, void *data) {
  (void)vcpu, (void)data;
  const uint64_t size = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
  for (uint64_t line = address >> kLineShift; line <= (address + size - 1) >> kLineShift; ++line) {
    for (int i = 0; i < level_count && !use(&levels[i], line); ++i) levels[i].fetched += recording;
  }
}

static void translated(PluginId id, struct qemu_plugin_tb *tb) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); ++i) {
    qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), accessed, kReadsNoRegisters,
                                     kReadsAndWrites, NULL);
  }
}

static void begin(void) {}

static void end(void) {
  FILE *file = open_in(folder, "caches", "w");
  for (int i = 0; i < level_count; ++i) fprintf(file, "%" PRIu64 "\n", levels[i].fetched);
  fclose(file);
}

EXPORTED int qemu_plugin_install(PluginId id, const struct qemu_info_t *info, int count,
                                 char **options) {
  (void)info;
  snprintf(folder, sizeof folder, "%s", option(count, options, "folder"));
  const char *text = option(count, options, "levels");
  for (int read = 0; level_count < kLevels; text += read) {
    Level *level = &levels[level_count];
    if (sscanf(text, "%" SCNu64 "x%" SCNu64 "%n", &level->sets, &level->ways, &read) != 2) break;
    level->lines = calloc(level->sets * level->ways, sizeof *level->lines);
    ++level_count;
    if (text[read] != ':') break;
    ++read;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_vcpu_syscall_cb(id, system_call);
  return 0;
}
