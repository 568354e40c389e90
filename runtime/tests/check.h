// How the tests of kernels compare, run and say what they do.
#pragma once

#include <stdio.h>

#include <string>
#include <thread>

#include "problem.h"

namespace sbn::test {

inline int g_failures = 0;

inline void check(const KernelRow& row, const void* got, const void* wanted, size_t size,
           const std::string& problem) {
  if (size == 0 || memcmp(got, wanted, size) == 0) return;
  size_t at = 0;
  while (static_cast<const char*>(got)[at] == static_cast<const char*>(wanted)[at]) ++at;
  printf("FAILED %s: byte %zu of %zu differs, %s\n", row.name, at, size, problem.c_str());
  ++g_failures;
}

template <class... Numbers>
std::string describe(Numbers... numbers) {
  std::string text;
  ((text += std::to_string(numbers) + " "), ...);
  return text;
}

// Three threads, each taking every third task.
inline Parallel threaded() {
  const auto run = [](void*, size_t count, Parallel::Task task, void* state) {
#if SBN_WASM
    for (size_t i = count; i > 0; --i) task(state, i - 1);
#else
    std::vector<std::thread> threads;
    for (size_t first = 0; first < 3; ++first) {
      threads.emplace_back([=] {
        for (size_t i = first; i < count; i += 3) task(state, i);
      });
    }
    for (std::thread& thread : threads) thread.join();
#endif
  };
  return {run, nullptr};
}

inline size_t random_slack(Random& random) {
  return random() % 2 ? 0 : static_cast<size_t>(uniform(random, 1, 63));
}

// Executes a node with scratch memory full of garbage.
template <class Node, class X, class Execute>
void execute(Random& random, const Node& node, Size scratch_size, const X* x, void* y,
             Execute execute_node) {
  Guarded scratch(whole_lines(scratch_size.value()));
  memset(scratch.as<char>(), 0xa5, scratch.size());
  execute_node(node, x, y, scratch.as<void>(), random() % 2 ? serial() : threaded());
}

}  // namespace sbn::test
