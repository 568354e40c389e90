// Time in cycles of the core, on machines whose clock changes and whose counters
// cannot be read: a chain of dependent instructions, whose length in cycles is known,
// runs right before and after what is measured.
#pragma once

#include <stdint.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "base/cycle_chain.h"

namespace sbn::bench {

// Of this thread, so that time given to other processes does not count.
inline double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Returns how many cycles the chain takes.
__attribute__((noinline)) inline double run_chain(int64_t rounds) {
  run_cycle_chain(rounds);
  return static_cast<double>(rounds * kChainCycles);
}

// Of one call.
struct Cost {
  double cycles;
  double seconds;
};

// One slice: `calls` calls between two chains of about 30 us.
template <class Work>
Cost measure(int64_t calls, Work work) {
  constexpr int64_t kRounds = 4000;
  const double a = now();
  double chain = run_chain(kRounds);
  const double b = now();
  for (int64_t i = 0; i < calls; ++i) work();
  const double c = now();
  chain += run_chain(kRounds);
  const double d = now();
  const double hertz = chain / ((b - a) + (d - c));
  const double seconds = (c - b) / static_cast<double>(calls);
  return {seconds * hertz, seconds};
}

template <class Number>
Number median(std::vector<Number> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace sbn::bench
