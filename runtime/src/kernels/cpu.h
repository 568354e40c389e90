// What the CPU and the operating system can run, and the kernel set in use.
#pragma once

#include <stdint.h>

namespace sbn {

// Kernel sets in order of preference; the names are those of sbn_set_isa.
enum class Isa : int32_t { scalar, avx2, avx512bw, avx512, neon, neon_lut2, sme2, wasm, count };

// CPU features that a kernel may need (bits).
enum Feature : uint32_t {
  kNone = 0,
  kPopcnt = 1u << 0,
  kAvx2 = 1u << 1,        // AVX2, FMA, and ymm state saved by the system
  kAvx512bw = 1u << 2,    // AVX2 and AVX-512 F, BW, DQ, VL, and zmm state saved
  kAvx512vnni = 1u << 3,  // the same and VNNI
  kAvx512 = 1u << 4,      // the same as kAvx512bw and VPOPCNTDQ
  kDotProduct = 1u << 5,  // SDOT and UDOT of Armv8.2-A
  kInt8MatMul = 1u << 6,  // SMMLA and UMMLA of Armv8.6-A
  kAvxVnni = 1u << 7,     // the same as kAvx2 and AVX-VNNI
  kSme2 = 1u << 8,        // SME2, with vectors of at most 512 bits
};

// The features of this machine.
uint32_t cpu_features();

const char* isa_name(Isa isa);

// Finds an ISA by name; false when there is none of that name.
bool isa_of_name(const char* name, Isa* isa);

// Whether this machine can run the kernel set.
bool isa_available(Isa isa);

// Whether kernels of `other` serve where `isa` is in use and has none that fits.
bool isa_includes(Isa isa, Isa other);

// The kernel set in use: the one set last, or else the fastest one of this machine.
Isa current_isa();
void set_isa(Isa isa);
void set_best_isa();

}  // namespace sbn
