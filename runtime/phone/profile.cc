#include "phone/profile.h"

#include "phone/report.h"

namespace sbn::phone {
namespace {

using native::Context;
using native::Edge;
using native::Node;

constexpr int64_t kRound = 10;
constexpr int kReadings = 3;
constexpr int64_t kCycles = 300000;  // 0.1 ms at 3 GHz

struct NodeClock {
  size_t nodes;
  int64_t runs, run;
  int64_t* ns;  // [nodes, runs]; 0 where a node computes nothing
  int64_t before;

  static void ended(void* self, size_t node) {
    auto* clock = static_cast<NodeClock*>(self);
    const int64_t now = now_ns();
    clock->ns[static_cast<int64_t>(node) * clock->runs + clock->run] = max(now - clock->before, 1);
    clock->before = now;
  }
};

int64_t timed_call(const Session& session, int64_t batch) {
  const int64_t before = now_ns();
  run_call(session, batch);
  return now_ns() - before;
}

double read_ghz() {
  double best = 0;  // a reading that something interrupts is too low
  for (int i = 0; i < kReadings; ++i) {
    const int64_t before = now_ns();
    const int64_t cycles = sbn_run_cycles(kCycles);
    const double ghz = static_cast<double>(cycles) / static_cast<double>(now_ns() - before);
    if (ghz > best) best = ghz;
  }
  return best;
}

void print_text(const native::Bytes& text) {
  putchar('"');
  for (size_t i = 0; i < text.size; ++i) {
    const uint8_t byte = text.data[i];
    if (byte < ' ' || byte == '"' || byte == '\\') {
      printf("\\u%04x", byte);
    } else {
      putchar(byte);
    }
  }
  putchar('"');
}

void print_shapes(const Context& context, const int32_t* edges, size_t count) {
  putchar('[');
  bool first = true;
  for (size_t i = 0; i < count; ++i) {
    if (edges[i] < 0) continue;
    if (!first) putchar(',');
    first = false;
    const native::Value& value = context.values[edges[i]];
    print_numbers(value.dims, static_cast<int64_t>(value.rank));
  }
  putchar(']');
}

// What the edges that are constant, or those that are not, hold; packed weights as the file has
// them.
int64_t bytes_of(const Context& context, const int32_t* edges, size_t count, bool constant) {
  int64_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    if (edges[i] < 0) continue;
    const Edge& edge = context.model->graph.edges[edges[i]];
    if ((edge.origin == native::Origin::kConstant) != constant) continue;
    const native::Value& value = context.values[edges[i]];
    int64_t bytes = native::bytes_of(value.type);
    for (size_t j = 0; j < value.rank; ++j) bytes *= value.dims[j];
    sum += bytes;
  }
  return sum;
}

void print_layers(const Context& context, const NodeClock& clock) {
  const native::Graph& graph = context.model->graph;
  bool first = true;
  for (size_t i = 0; i < clock.nodes; ++i) {
    const int64_t* ns = clock.ns + static_cast<int64_t>(i) * clock.runs;
    if (!ns[0]) continue;
    const Node& node = graph.nodes[i];
    printf("%s\n{\"name\": ", first ? "" : ",");
    first = false;
    print_text(node.name);
    printf(", \"op\": ");
    print_text(node.op);
    printf(", \"inputs\": ");
    print_shapes(context, node.inputs, node.input_count);
    printf(", \"outputs\": ");
    print_shapes(context, node.outputs, node.output_count);
    const int64_t moved = bytes_of(context, node.inputs, node.input_count, false) +
                          bytes_of(context, node.outputs, node.output_count, false);
    printf(", \"tensor_bytes\": %lld, \"constant_bytes\": %lld, \"ns\": ",
           static_cast<long long>(moved),
           static_cast<long long>(bytes_of(context, node.inputs, node.input_count, true)));
    print_numbers(ns, clock.runs);
    putchar('}');
  }
}

}  // namespace

void profile(const Session& session, int64_t batch, const Session& peak, int64_t runs) {
  NodeClock clock = {session.model->graph.node_count, runs, 0, nullptr, 0};
  clock.ns = keep<int64_t>(clock.nodes * static_cast<size_t>(runs));
  const auto count = static_cast<size_t>(runs);
  auto* calls = keep<int64_t>(count);
  auto* peaks = keep<int64_t>(count);
  auto* ghz = keep<double>(count);
  int64_t rounds = 0;
  for (int64_t begin = 0; begin < runs; begin += kRound) {
    const int64_t end = min(begin + kRound, runs);
    run_call(session, batch);
    session.context->watch = {NodeClock::ended, &clock};
    for (clock.run = begin; clock.run < end; ++clock.run) {
      clock.before = now_ns();
      run_call(session, batch);
    }
    session.context->watch = {};
    for (int64_t i = begin; i < end; ++i) calls[i] = timed_call(session, batch);
    run_call(peak, 1);
    for (int64_t i = begin; i < end; ++i) peaks[i] = timed_call(peak, 1);
    ghz[rounds++] = read_ghz();
  }
  printf("\"call_ns\": ");
  print_numbers(calls, runs);
  printf(",\n\"peak_ns\": ");
  print_numbers(peaks, runs);
  printf(",\n\"ghz\": [");
  for (int64_t i = 0; i < rounds; ++i) printf("%s%.6f", i ? "," : "", ghz[i]);
  printf("],\n\"layers\": [");
  print_layers(*session.context, clock);
  putchar(']');
}

}  // namespace sbn::phone
