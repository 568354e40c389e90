// A chain of dependent instructions whose length in cycles is known: timed, it tells the
// clock of a core that changes it and whose counters cannot be read.
#pragma once

#include <stdint.h>

#include "base/attributes.h"

namespace sbn {

constexpr int64_t kChainCycles = 24;

// Takes kChainCycles a round. A multiplication takes three on every x86 core since 2008, and
// an addition one on ARM's.
inline void run_cycle_chain(int64_t rounds) {
  uint64_t x = 1;
  for (int64_t i = 0; i < rounds; ++i) {
#if SBN_X86
    __asm__ volatile(".rept 8\n\timul %0, %0\n\t.endr" : "+r"(x));
#else
    __asm__ volatile(".rept 24\n\tadd %0, %0, %0\n\t.endr" : "+r"(x));
#endif
  }
}

}  // namespace sbn
