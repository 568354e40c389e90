// What other systems have in C: a Mac with an M4, and a PC with two fast and two slow cores.

#include <stdint.h>
#include <string.h>

static int number(void* out, size_t* size, uint64_t value, size_t bytes) {
  if (*size < bytes) return -1;
  memcpy(out, &value, bytes);
  *size = bytes;
  return 0;
}

int sysctlbyname(const char* name, void* out, size_t* size, void* in, size_t in_size) {
  static const char brand[] = "Apple M4";
  if (in || in_size) return -1;
  if (!strcmp(name, "hw.nperflevels")) return number(out, size, 2, 4);
  if (!strcmp(name, "hw.perflevel0.physicalcpu")) return number(out, size, 4, 4);
  if (!strcmp(name, "hw.physicalcpu")) return number(out, size, 8, 4);
  if (!strcmp(name, "hw.optional.arm.FEAT_DotProd")) return number(out, size, 1, 4);
  if (!strcmp(name, "hw.optional.arm.FEAT_I8MM")) return number(out, size, 1, 8);
  if (!strcmp(name, "hw.optional.arm.FEAT_SME2")) return number(out, size, 1, 4);
  if (!strcmp(name, "hw.optional.arm.sme_max_svl_b")) return number(out, size, 64, 4);
  if (!strcmp(name, "hw.optional.avx2_0")) return number(out, size, 0, 4);
  if (strcmp(name, "machdep.cpu.brand_string") || *size < sizeof brand) return -1;
  memcpy(out, brand, sizeof brand);
  *size = sizeof brand;
  return 0;
}

// One core as GetLogicalProcessorInformationEx describes it.
struct core {
  uint32_t relationship, size;
  uint8_t flags, efficiency, reserved[20];
  uint16_t groups;
  uint64_t mask;
  uint16_t group, unused[3];
};

int GetLogicalProcessorInformationEx(int relationship, void* out, uint32_t* size) {
  static const struct core cores[] = {
      {0, sizeof(struct core), 1, 1, {0}, 1, 0x03, 0, {0}},
      {0, sizeof(struct core), 1, 1, {0}, 1, 0x0c, 0, {0}},
      {0, sizeof(struct core), 0, 0, {0}, 1, 0x10, 0, {0}},
      {0, sizeof(struct core), 0, 0, {0}, 1, 0x20, 0, {0}},
  };
  _Static_assert(sizeof(struct core) == 48, "as on Windows");
  uint32_t room = *size;
  *size = sizeof cores;
  if (relationship || room < sizeof cores) return 0;
  memcpy(out, cores, sizeof cores);
  return 1;
}

#define THIS_PROCESS ((void*)-1)
static uint64_t affinity = 0x3f;

void* GetCurrentProcess(void) { return THIS_PROCESS; }

int GetProcessAffinityMask(void* process, uint64_t* mask, uint64_t* system) {
  if (process != THIS_PROCESS) return 0;
  *mask = affinity;
  *system = 0x3f;
  return 1;
}

void test_set_affinity(uint64_t mask) { affinity = mask; }

int IsProcessorFeaturePresent(uint32_t feature) { return feature == 40; }

// Handles are pointers that do not fit into an int.
#define JOB ((void*)0x7000000000000001)
#define PROCESS(pid) ((void*)(0x7100000000000000 | (uint64_t)(pid)))
static int ends_with_its_job;
static uint32_t bound;

void* CreateJobObjectW(void* attributes, const void* name) {
  return attributes || name ? 0 : JOB;
}

void* OpenProcess(uint32_t access, int inherit, uint32_t pid) {
  return access == 0x0101 && !inherit ? PROCESS(pid) : 0;
}

int SetInformationJobObject(void* job, int kind, const uint32_t* limits, uint32_t size) {
  ends_with_its_job = job == JOB && kind == 9 && size == 144 && limits[4] == 0x2000;
  return ends_with_its_job;
}

int AssignProcessToJobObject(void* job, void* process) {
  if (job != JOB || !ends_with_its_job) return 0;
  bound = (uint32_t)(uint64_t)process;
  return 1;
}

uint32_t test_bound(void) { return bound; }

// Two handles, of which one is a console and one a pipe.
static uint32_t mode = 3;

void* GetStdHandle(int which) { return (void*)(0x7200000000000000 | (uint64_t)(uint32_t)-which); }

int GetConsoleMode(void* console, uint32_t* out) {
  if (console != (void*)(0x7200000000000000 | 12)) return 0;
  *out = mode;
  return 1;
}

int SetConsoleMode(void* console, uint32_t wanted) {
  if (console != (void*)(0x7200000000000000 | 12)) return 0;
  mode = wanted;
  return 1;
}

uint32_t test_console_mode(void) { return mode; }
