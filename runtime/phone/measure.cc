// Runs and times models in the shell of a phone, which has neither Python nor onnxruntime, with the
// native runtime.
//
//   sbn_measure run MODEL CALLS THREADS OUTPUTS
//     computes all calls and writes the outputs of each, in the order of the model's file, to
//     OUTPUTS, one after the other
//   sbn_measure time MODEL CALLS THREADS RUNS WARMUP BUSY_MS LIMIT_MS
//     times up to RUNS calls of the first, after WARMUP untimed ones; begins none when LIMIT_MS have
//     passed since the model was loaded, of which WARMUP may take a tenth. Before that it keeps the
//     core busy for BUSY_MS, in which a governor that follows the work raises the frequency
//   sbn_measure profile MODEL CALLS THREADS RUNS BUSY_MS PEAK PEAK_CALLS
//     times each node in RUNS calls of the first; PEAK is the model that shows how fast the CPU is
//
// Each keeps to as many of the fastest cores as there are threads. Writes JSON to standard output:
// the kernel set (the fastest, or SBN_ISA), the version, the cores; their state before and after,
// and the times in nanoseconds. An error goes to standard error, in one line, with exit status 2.
#include <errno.h>
#include <string.h>

#include "phone/core.h"
#include "phone/profile.h"
#include "phone/report.h"
#include "phone/session.h"

namespace sbn::phone {
namespace {

constexpr int64_t kMostRuns = 1000000;
constexpr int64_t kMostMs = 1000000000000;
constexpr int64_t kNsOfMs = 1000000;
constexpr int64_t kWarmupShare = 10;  // of the limit
constexpr int64_t kEmptyCalls = 1000;

constexpr char kUsage[] =
    "usage: sbn_measure run MODEL CALLS THREADS OUTPUTS, or"
    " sbn_measure time MODEL CALLS THREADS RUNS WARMUP BUSY_MS LIMIT_MS, or"
    " sbn_measure profile MODEL CALLS THREADS RUNS BUSY_MS PEAK PEAK_CALLS";

int64_t number(const char* text, int64_t low, int64_t high) {
  char* end;
  const long long value = strtoll(text, &end, 10);
  if (!*text || *end || value < low || value > high) {
    fail("%s: must be a number from %lld to %lld", text, static_cast<long long>(low),
         static_cast<long long>(high));
  }
  return value;
}

void choose_kernels() {
  const char* isa = getenv("SBN_ISA");
  if (!isa) return;
  const int status = sbn_set_isa(isa);
  if (status == 1) fail("SBN_ISA=%s: there is no such kernel set", isa);
  if (status) fail("SBN_ISA=%s: this CPU cannot run it", isa);
}

void print_head(const Cores& cores) {
  printf("{\"isa\": \"%s\", \"version\": \"%s\", \"usable\": %d, \"cores\": [", sbn_isa(),
         sbn_version(), cores.usable);
  for (int i = 0; i < cores.count; ++i) printf("%s%d", i ? "," : "", cores.numbers[i]);
  printf("]");
}

// Forgets the peak that this process has reached; where that is not allowed, it is overstated.
void forget_peak() {
  FILE* file = fopen("/proc/self/clear_refs", "w");
  if (!file) return;
  fputs("5", file);
  fclose(file);
}

// An entry of /proc/self/status in bytes; 0 where there is none.
int64_t memory(const char* entry) {
  FILE* file = fopen("/proc/self/status", "r");
  if (!file) return 0;
  char line[128];
  int64_t bytes = 0;
  const size_t length = strlen(entry);
  while (!bytes && fgets(line, sizeof line, file)) {
    if (strncmp(line, entry, length) == 0 && line[length] == ':')
      bytes = atoll(line + length + 1) * 1024;
  }
  fclose(file);
  return bytes;
}

void run_all(const Session& session, Calls* calls, const char* path) {
  FILE* file = fopen(path, "wb");
  if (!file) fail("%s: %s", path, strerror(errno));
  while (calls->left > 0) {
    run_call(session, give_next(calls, session));
    for (size_t i = 0; i < sbn_model_outputs(session.model); ++i) {
      sbn_tensor tensor;
      const void* data = sbn_context_output(session.context, i, &tensor);
      auto bytes = native::bytes_of(static_cast<native::ElementType>(tensor.type));
      for (int32_t j = 0; j < tensor.rank; ++j) bytes *= tensor.shape[j];
      if (fwrite(data, 1, static_cast<size_t>(bytes), file) != static_cast<size_t>(bytes))
        fail("%s: %s", path, strerror(errno));
    }
  }
  if (fclose(file) != 0) fail("%s: %s", path, strerror(errno));
}

struct Limits {
  int64_t runs, warmup, busy_ns, limit_ns;
};

void time_calls(const char* path, Calls calls, int threads, const Cores& cores,
                const Limits& limits) {
  auto* ns = keep<int64_t>(static_cast<size_t>(limits.runs));
  forget_peak();
  const int64_t resident = memory("VmRSS");
  const int64_t opening = now_ns();
  const Session session = open_session(path, threads);
  const int64_t opened = now_ns();
  const int64_t batch = give_next(&calls, session);
  run_call(session, batch);
  const int64_t peak = memory("VmHWM");

  while (now_ns() - opened < limits.busy_ns) run_call(session, batch);
  printf(",\n\"before\": ");
  print_state(cores);
  const int64_t warm_end = now_ns() + limits.limit_ns / kWarmupShare;
  for (int64_t i = 0; i < limits.warmup && now_ns() < warm_end; ++i) run_call(session, batch);
  int64_t count = 0;
  int64_t begin = now_ns();
  const int64_t end = opened + limits.limit_ns;
  while (count < limits.runs && (count == 0 || begin < end)) {
    run_call(session, batch);
    const int64_t now = now_ns();
    ns[count++] = now - begin;
    begin = now_ns();
  }
  printf(",\n\"after\": ");
  print_state(cores);

  const int64_t empty = now_ns();
  for (int64_t i = 1; i < kEmptyCalls; ++i) now_ns();
  const int64_t empty_ns = (now_ns() - empty) / kEmptyCalls;
  printf(",\n\"load_ns\": %lld, \"resident_bytes\": %lld, \"peak_bytes\": %lld, \"clock_ns\": %lld,"
         "\n\"ns\": ",
         static_cast<long long>(opened - opening), static_cast<long long>(resident),
         static_cast<long long>(peak), static_cast<long long>(empty_ns));
  print_numbers(ns, count);
}

void profile_calls(const char* path, Calls calls, int threads, const Cores& cores, int64_t runs,
                   int64_t busy_ns, const char* peak_path, const char* peak_calls_path) {
  const Session session = open_session(path, threads);
  const Session peak = open_session(peak_path, threads);
  Calls peak_calls = read_calls(peak_calls_path);
  const int64_t batch = give_next(&calls, session);
  give_next(&peak_calls, peak);
  const int64_t begin = now_ns();
  do run_call(session, batch);
  while (now_ns() - begin < busy_ns);
  printf(",\n\"before\": ");
  print_state(cores);
  printf(",\n");
  profile(session, batch, peak, runs);
  printf(",\n\"after\": ");
  print_state(cores);
}

void measure(int count, char** words) {
  const bool runs = count == 6 && strcmp(words[1], "run") == 0;
  const bool times = count == 9 && strcmp(words[1], "time") == 0;
  const bool profiles = count == 9 && strcmp(words[1], "profile") == 0;
  if (!runs && !times && !profiles) fail("%s", kUsage);
  const char* model = words[2];
  const auto threads = static_cast<int>(number(words[4], 1, native::kMostThreads));
  choose_kernels();
  const Cores cores = keep_to_fastest(threads);
  Calls calls = read_calls(words[3]);
  print_head(cores);
  if (runs) {
    run_all(open_session(model, threads), &calls, words[5]);
  } else if (times) {
    time_calls(model, calls, threads, cores,
               {number(words[5], 1, kMostRuns), number(words[6], 0, kMostRuns),
                number(words[7], 0, kMostMs) * kNsOfMs, number(words[8], 0, kMostMs) * kNsOfMs});
  } else {
    profile_calls(model, calls, threads, cores, number(words[5], 1, kMostRuns),
                  number(words[6], 0, kMostMs) * kNsOfMs, words[7], words[8]);
  }
  printf("}\n");
  if (fflush(stdout) != 0 || ferror(stdout))
    fail("the result cannot be written: %s", strerror(errno));
}

}  // namespace
}  // namespace sbn::phone

int main(int count, char** words) { sbn::phone::measure(count, words); }
