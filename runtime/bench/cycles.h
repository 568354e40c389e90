// Time in cycles of the core, on machines whose clock changes and whose counters
// cannot be read: a chain of dependent instructions, whose length in cycles is known,
// runs right before and after what is measured.
#pragma once

#include <stdint.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "base/attributes.h"

namespace sbn::bench {

// Of this thread, so that time given to other processes does not count.
inline double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Runs a chain of 24 cycles a round, and returns how many cycles that takes. A
// multiplication takes three on every x86 core since 2008, and an addition one on ARM's.
__attribute__((noinline)) inline double run_chain(int64_t rounds) {
  uint64_t x = 1;
  for (int64_t i = 0; i < rounds; ++i) {
#if SBN_X86
    __asm__ volatile(".rept 8\n\timul %0, %0\n\t.endr" : "+r"(x));
#else
    __asm__ volatile(".rept 24\n\tadd %0, %0, %0\n\t.endr" : "+r"(x));
#endif
  }
  return static_cast<double>(rounds) * 24;
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
