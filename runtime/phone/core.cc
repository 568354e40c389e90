#include "phone/core.h"

#include <dirent.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

namespace sbn::phone {
namespace {

// The first line of a file, without what JSON would need escapes for; false if there is none.
bool read_line(const char* path, char* line, int size) {
  FILE* file = fopen(path, "r");
  if (!file) return false;
  const bool found = fgets(line, size, file);
  fclose(file);
  if (!found) return false;
  char* to = line;
  for (const char* from = line; *from; ++from) {
    if (*from >= ' ' && *from <= '~' && *from != '"' && *from != '\\') *to++ = *from;
  }
  *to = 0;
  return true;
}

int64_t most_khz(int core) {
  char path[96], line[64];
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq", core);
  return read_line(path, line, sizeof line) ? atoll(line) : 0;
}

class StatePrinter {
 public:
  void file(const char* path) {
    char line[256];
    if (!read_line(path, line, sizeof line)) return;
    printf("%s\"%s\": \"%s\"", first_ ? "" : ", ", path + 1, line);
    first_ = false;
  }

 private:
  bool first_ = true;
};

// Other zones are the battery's, the modem's, and such that hold no temperature at all.
bool is_of_the_cpu(const char* zone) {
  char path[320], type[64];
  snprintf(path, sizeof path, "%s/type", zone);
  if (!read_line(path, type, sizeof type)) return false;
  for (const char* at = type; *at; ++at) {
    if (strncasecmp(at, "cpu", 3) == 0) return true;
  }
  return false;
}

void print_thermal_zones(StatePrinter* printer) {
  constexpr char kFolder[] = "/sys/class/thermal";
  constexpr int kMostTrips = 12;
  DIR* folder = opendir(kFolder);
  if (!folder) return;
  while (const dirent* entry = readdir(folder)) {
    if (strncmp(entry->d_name, "thermal_zone", 12) != 0) continue;
    char zone[300], path[340];
    snprintf(zone, sizeof zone, "%s/%s", kFolder, entry->d_name);
    if (!is_of_the_cpu(zone)) continue;
    snprintf(path, sizeof path, "%s/temp", zone);
    printer->file(path);
    for (int i = 0; i < kMostTrips; ++i) {
      snprintf(path, sizeof path, "%s/trip_point_%d_type", zone, i);
      printer->file(path);
      snprintf(path, sizeof path, "%s/trip_point_%d_temp", zone, i);
      printer->file(path);
    }
  }
  closedir(folder);
}

}  // namespace

Cores keep_to_fastest(int count) {
  Cores cores = {};
  cpu_set_t usable, chosen;
  if (sched_getaffinity(0, sizeof usable, &usable) != 0) return cores;
  cores.usable = CPU_COUNT(&usable);
  cpu_set_t left = usable;
  CPU_ZERO(&chosen);
  while (cores.count < count && cores.count < kMostCores && CPU_COUNT(&left) > 0) {
    int fastest = -1;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (!CPU_ISSET(core, &left)) continue;
      if (fastest < 0 || most_khz(core) >= most_khz(fastest)) fastest = core;
    }
    CPU_CLR(fastest, &left);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(fastest, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) continue;
    CPU_SET(fastest, &chosen);
    cores.numbers[cores.count++] = fastest;
  }
  if (cores.count > 0) sched_setaffinity(0, sizeof chosen, &chosen);
  return cores;
}

void print_state(const Cores& cores) {
  constexpr const char* kNames[] = {"cpufreq/scaling_governor", "cpufreq/scaling_cur_freq",
                                    "cpufreq/scaling_max_freq", "cpufreq/cpuinfo_max_freq",
                                    "regs/identification/midr_el1"};
  StatePrinter printer;
  putchar('{');
  for (int i = 0; i < cores.count; ++i) {
    for (const char* name : kNames) {
      char path[96];
      snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cores.numbers[i], name);
      printer.file(path);
    }
  }
  print_thermal_zones(&printer);
  printer.file("/proc/loadavg");
  putchar('}');
}

}  // namespace sbn::phone
