#include "kernels/cpu.h"

#include "base/attributes.h"
#include "base/text.h"

#if SBN_X86
#include <cpuid.h>
#if defined(__APPLE__)
#include "base/apple.h"
#endif
#endif
#if SBN_ARM64
#include "kernels/cpu_arm64.h"
#endif

namespace sbn {
namespace {

constexpr const char* kNames[] = {"scalar", "avx2", "avx512bw", "avx512", "neon",
                                     "neon_lut2", "sme2", "wasm"};
static_assert(sizeof kNames / sizeof *kNames == static_cast<size_t>(Isa::count), "one name each");

constexpr int32_t kBest = -1;
int32_t g_chosen = kBest;

#if SBN_X86
uint64_t extended_control_register() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

uint32_t detect() {
  uint32_t a, b, c, d;
  uint32_t found = kNone;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool popcnt = c & bit_POPCNT;
  if (popcnt) found |= kPopcnt;
  const bool fma = c & bit_FMA;
  const bool system_saves = c & bit_OSXSAVE;
  if (!system_saves || !popcnt || !fma) return found;
  constexpr uint64_t kYmmState = 0x6, kZmmState = 0xe6;
  uint64_t saved = extended_control_register();
#if defined(__APPLE__)
  // macOS saves zmm from the moment when a thread first uses them.
  if (apple_says("hw.optional.avx512f")) saved |= kZmmState;
#endif
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  if ((saved & kYmmState) == kYmmState && (b & bit_AVX2)) found |= kAvx2;
  constexpr uint32_t kAvx512Bits = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  if ((saved & kZmmState) == kZmmState && (found & kAvx2) && (b & kAvx512Bits) == kAvx512Bits) {
    found |= kAvx512bw;
    if (c & bit_AVX512VNNI) found |= kAvx512vnni;
    if (c & bit_AVX512VPOPCNTDQ) found |= kAvx512;
  }
  constexpr uint32_t kAvxVnniBit = 1 << 4;
  if ((found & kAvx2) && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvxVnniBit)) {
    found |= kAvxVnni;
  }
  return found;
}
#elif SBN_ARM64
uint32_t detect() { return arm64::detect(); }
#else
uint32_t detect() { return kNone; }
#endif

Isa best_isa() {
#if SBN_ARM64
  if (isa_available(Isa::sme2) && arm64::sme2_is_faster()) return Isa::sme2;
  return arm64::look_ups_are_faster() ? Isa::neon_lut2 : Isa::neon;
#else
  auto best = Isa::scalar;
  for (int32_t i = 0; i < static_cast<int32_t>(Isa::count); ++i) {
    if (isa_available(static_cast<Isa>(i))) best = static_cast<Isa>(i);
  }
  return best;
#endif
}

}  // namespace

uint32_t cpu_features() {
  // Detected once; two threads that race here store the same value.
  constexpr uint32_t kKnown = 1u << 31;
  static uint32_t cached = 0;
  uint32_t features = __atomic_load_n(&cached, __ATOMIC_RELAXED);
  if (!(features & kKnown)) {
    features = detect() | kKnown;
    __atomic_store_n(&cached, features, __ATOMIC_RELAXED);
  }
  return features & ~kKnown;
}

const char* isa_name(Isa isa) { return kNames[static_cast<int32_t>(isa)]; }

bool isa_of_name(const char* name, Isa* isa) {
  for (int32_t i = 0; i < static_cast<int32_t>(Isa::count); ++i) {
    if (same_text(name, kNames[i])) {
      *isa = static_cast<Isa>(i);
      return true;
    }
  }
  return false;
}

bool isa_available(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return true;
    case Isa::avx2:
      return cpu_features() & kAvx2;
    case Isa::avx512bw:
      return cpu_features() & kAvx512bw;
    case Isa::avx512:
      return cpu_features() & kAvx512;
    case Isa::neon:
    case Isa::neon_lut2:
      return SBN_ARM64;
    case Isa::sme2:
      return SBN_SME2 && cpu_features() & kSme2;
    case Isa::wasm:
      return SBN_WASM;
    default:
      return false;
  }
}

bool isa_includes(Isa isa, Isa other) {
#if SBN_ARM64
  if (isa == Isa::sme2 && other == Isa::neon_lut2) return arm64::look_ups_are_faster();
#endif
  return other <= isa;
}

Isa current_isa() {
  const int32_t chosen = __atomic_load_n(&g_chosen, __ATOMIC_RELAXED);
  return chosen < 0 ? best_isa() : static_cast<Isa>(chosen);
}

void set_isa(Isa isa) { __atomic_store_n(&g_chosen, static_cast<int32_t>(isa), __ATOMIC_RELAXED); }
void set_best_isa() { __atomic_store_n(&g_chosen, kBest, __ATOMIC_RELAXED); }

}  // namespace sbn
