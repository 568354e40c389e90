// How kernels spread work over threads without knowing whose threads they are.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arithmetic.h"

namespace sbn {

struct Parallel {
  using Task = void (*)(void* state, size_t index);

  // Calls task(state, i) for every i in [0, count), in any order, maybe at once.
  void (*run)(void* threads, size_t count, Task task, void* state);
  void* threads;
};

template <class Body>
void parallel_for(const Parallel& parallel, int64_t count, Body body) {
  if (count == 1) return body(0);
  const Parallel::Task task = [](void* state, size_t index) {
    (*static_cast<Body*>(state))(static_cast<int64_t>(index));
  };
  parallel.run(parallel.threads, static_cast<size_t>(count), task, &body);
}

// Tasks for work of `total_cost`, each of about `task_cost`; at most `units`.
inline int64_t task_count(int64_t units, double total_cost, double task_cost) {
  constexpr double kMost = 1024;
  const double wanted = total_cost / task_cost;
  return min(units, static_cast<int64_t>(wanted < 1 ? 1 : wanted > kMost ? kMost : wanted));
}

// Calls body(range) for ranges that make up [0, units).
template <class Body>
void parallel_ranges(const Parallel& parallel, int64_t units, double total_cost, double task_cost,
                     Body body) {
  const int64_t tasks = task_count(units, total_cost, task_cost);
  parallel_for(parallel, tasks, [&](int64_t task) { body(part_of(units, task, tasks)); });
}

// Calls body(range of blocks, range of units) for ranges that make up blocks x
// units. Tasks of one range of blocks follow each other, so that a thread goes
// through all units with the weights of a range of blocks in its cache.
template <class Body>
void parallel_grid(const Parallel& parallel, int64_t blocks, int64_t units, double total_cost,
                   double task_cost, Body body) {
  const int64_t tasks = task_count(blocks * units, total_cost, task_cost);
  const int64_t block_parts = min(blocks, tasks);
  const int64_t unit_parts = min(units, div_up(tasks, block_parts));
  parallel_for(parallel, block_parts * unit_parts, [&](int64_t task) {
    body(part_of(blocks, task / unit_parts, block_parts),
         part_of(units, task % unit_parts, unit_parts));
  });
}

}  // namespace sbn
