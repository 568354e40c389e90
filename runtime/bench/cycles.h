// Time in cycles of the core, on machines whose clock changes and whose counters
// cannot be read: a chain of dependent multiplications, whose length in cycles is
// known, runs right before and after what is measured.
#pragma once

#include <stdint.h>
#include <time.h>

#include <algorithm>
#include <vector>

namespace sbn::bench {

// Of this thread, so that time given to other processes does not count.
inline double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Runs 8 * rounds multiplications, and returns how many cycles that takes: three
// each on every x86 core since 2008.
__attribute__((noinline)) inline double multiply_chain(int64_t rounds) {
  uint64_t x = 1;
  for (int64_t i = 0; i < rounds; ++i) {
    __asm__ volatile(
        "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0\n\t"
        "imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0"
        : "+r"(x));
  }
  return static_cast<double>(rounds) * 8 * 3;
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
  double chain = multiply_chain(kRounds);
  const double b = now();
  for (int64_t i = 0; i < calls; ++i) work();
  const double c = now();
  chain += multiply_chain(kRounds);
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
