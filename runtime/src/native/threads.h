// The threads of a context: its caller's, and workers that help it.
#pragma once

#include "kernels/parallel.h"
#include "native/status.h"

namespace sbn::native {

constexpr int64_t kMostThreads = 256;

// Null where `count` is 1, which needs no workers.
struct Threads;
Status* start_threads(int64_t count, Threads** threads);
void stop_threads(Threads* threads);

// Runs tasks on them, and on the caller's alone where they are null.
Parallel parallel_on(Threads* threads);

}  // namespace sbn::native
