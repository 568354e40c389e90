// The functions of sbn.h that every library of ours has.
#include "base/attributes.h"
#if !SBN_WASM
#include "base/cycle_chain.h"
#endif
#include "kernels/cpu.h"
#include "sbn.h"

extern "C" SBN_EXPORT const char* sbn_version() { return SBN_VERSION; }

extern "C" SBN_EXPORT const char* sbn_isa() { return sbn::isa_name(sbn::current_isa()); }

extern "C" SBN_EXPORT int sbn_isa_available(const char* name) {
  sbn::Isa isa;
  return sbn::isa_of_name(name, &isa) && sbn::isa_available(isa);
}

extern "C" SBN_EXPORT int sbn_set_isa(const char* name) {
  if (!*name) {
    sbn::set_best_isa();
    return 0;
  }
  sbn::Isa isa;
  if (!sbn::isa_of_name(name, &isa)) return 1;
  if (!sbn::isa_available(isa)) return 2;
  sbn::set_isa(isa);
  return 0;
}

#if !SBN_WASM
extern "C" SBN_EXPORT int64_t sbn_run_cycles(int64_t cycles) {
  const int64_t rounds = cycles / sbn::kChainCycles;
  sbn::run_cycle_chain(rounds);
  return rounds * sbn::kChainCycles;
}
#endif
