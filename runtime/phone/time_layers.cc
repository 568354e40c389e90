// Times the sbn operators of a model one after the other, on one thread of this machine and
// without onnxruntime, which the shell of a phone does not have.
//
//   sbn_layers PLAN RUNS WARMUP
//
// Writes JSON to standard output: the kernel set (the fastest, or SBN_ISA), the core, its
// state before and after, and for each operator whether the chosen kernels give the bits of
// the scalar ones and those that the host expects, and the nanoseconds of each call. An
// error goes to standard error, in one line, with exit status 2.
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <time.h>

#include "phone/core.h"
#include "phone/host.h"
#include "phone/report.h"
#include "sbn.h"

namespace sbn::phone {
namespace {

// By then a governor that follows the work has raised the frequency.
constexpr int64_t kBusyNs = 500000000;
constexpr int64_t kMostRuns = 1000000;

int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

// CRC-32 as zlib computes it.
uint32_t checksum(const void* data, int64_t size) {
  static uint32_t table[256];
  if (!table[1]) {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t rest = i;
      for (int bit = 0; bit < 8; ++bit) rest = rest >> 1 ^ (rest & 1 ? 0xedb88320u : 0);
      table[i] = rest;
    }
  }
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint32_t crc = ~uint32_t{0};
  for (int64_t i = 0; i < size; ++i) crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
  return ~crc;
}

void use_kernels(const char* isa) {
  const int status = sbn_set_isa(isa);
  if (status == 1) fail("SBN_ISA=%s: there is no such kernel set", isa);
  if (status) fail("SBN_ISA=%s: this CPU cannot run it", isa);
}

// Runs all operators once, with the kernel set in use, and returns the checksums of what
// they write, by tensor.
uint32_t* checked_run(const Plan& plan, const Layer* layers) {
  auto* sums = keep<uint32_t>(plan.tensor_count);
  for (size_t i = 0; i < plan.node_count; ++i) {
    run_layer(layers[i]);
    const PlanNode& node = plan.nodes[i];
    for (size_t j = 0; j < node.output_count; ++j) {
      const PlanTensor* output = node.outputs[j];
      sums[output - plan.tensors] = checksum(output->tensor.data, output->bytes);
    }
  }
  return sums;
}

void run_all(const Plan& plan, const Layer* layers) {
  for (size_t i = 0; i < plan.node_count; ++i) run_layer(layers[i]);
}

// Notes for each call the time of each operator, [runs, operators].
void time_all(const Plan& plan, const Layer* layers, int64_t runs, int64_t* ns) {
  for (int64_t run = 0; run < runs; ++run) {
    int64_t before = now_ns();
    for (size_t i = 0; i < plan.node_count; ++i) {
      run_layer(layers[i]);
      const int64_t after = now_ns();
      *ns++ = after - before;
      before = after;
    }
  }
}

void print_layers(const Plan& plan, const uint32_t* scalar, const uint32_t* chosen, int64_t runs,
                  const int64_t* ns) {
  for (size_t i = 0; i < plan.node_count; ++i) {
    const PlanNode& node = plan.nodes[i];
    bool agrees = true, expected = true;
    for (size_t j = 0; j < node.output_count; ++j) {
      const PlanTensor* output = node.outputs[j];
      const auto at = output - plan.tensors;
      agrees = agrees && chosen[at] == scalar[at];
      expected = expected && chosen[at] == output->checksum;
    }
    printf("%s\n{\"agree\": %s, \"expected\": %s, \"ns\": [", i ? "," : "",
           agrees ? "true" : "false", expected ? "true" : "false");
    for (int64_t run = 0; run < runs; ++run) {
      const auto at = static_cast<size_t>(run) * plan.node_count + i;
      printf("%s%lld", run ? "," : "", static_cast<long long>(ns[at]));
    }
    printf("]}");
  }
}

int64_t number(const char* text, int64_t low) {
  char* end;
  const long long value = strtoll(text, &end, 10);
  if (!*text || *end || value < low || value > kMostRuns) {
    fail("%s: must be a number from %lld to %lld", text, static_cast<long long>(low),
         static_cast<long long>(kMostRuns));
  }
  return value;
}

void measure(const char* path, int64_t runs, int64_t warmup) {
  const char* wanted = getenv("SBN_ISA");
  if (!wanted) wanted = "";
  // As onnxruntime's does, the allocator keeps what is given back.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, INT32_MAX);
  const int cores = usable_cores();
  const int core = pin_to_fastest_core();
  const Plan plan = read_plan(path);
  register_operators();

  use_kernels(wanted);
  const char* isa = sbn_isa();
  use_kernels("scalar");
  fprintf(stderr, "checking %zu operators with scalar and %s kernels\n", plan.node_count, isa);
  Layer* layers = create_layers(plan);
  const uint32_t* scalar = checked_run(plan, layers);
  destroy_layers(plan, layers);
  use_kernels(isa);
  layers = create_layers(plan);
  const uint32_t* chosen = checked_run(plan, layers);

  fprintf(stderr, "%lld runs on core %d\n", static_cast<long long>(runs), core);
  auto* ns = keep<int64_t>(static_cast<size_t>(runs) * plan.node_count);
  for (const int64_t end = now_ns() + kBusyNs; now_ns() < end;) run_all(plan, layers);
  printf("{\"isa\": \"%s\", \"version\": \"%s\", \"cores\": %d, \"core\": %d,\n\"before\": ", isa,
         sbn_version(), cores, core);
  print_state(core);
  for (int64_t i = 0; i < warmup; ++i) run_all(plan, layers);
  time_all(plan, layers, runs, ns);
  printf(",\n\"after\": ");
  print_state(core);
  printf(",\n\"layers\": [");
  print_layers(plan, scalar, chosen, runs, ns);
  printf("]}\n");
  if (fflush(stdout) != 0 || ferror(stdout)) fail("the result cannot be written: %s", strerror(errno));
}

}  // namespace
}  // namespace sbn::phone

int main(int count, char** words) {
  using namespace sbn::phone;
  if (count != 4) fail("usage: sbn_layers PLAN RUNS WARMUP");
  measure(words[1], number(words[2], 1), number(words[3], 0));
}
