// Compiler attributes that raise the instruction set of single functions.
//
// Every translation unit is compiled at the ABI floor (x86-64 or Armv8.0-A baseline),
// so no newer instruction can leak into shared code. A function that needs more says
// so with one of the SBN_TARGET macros, and runs only where cpu.h found the
// features that the kernel's row in kernels/table.inc asks for.
#pragma once

#define SBN_INLINE inline __attribute__((always_inline))
#define SBN_EXPORT __attribute__((visibility("default")))
#define SBN_NOINLINE __attribute__((noinline))
// SBN_ROLL is for long bodies, of which one copy is faster than several.
#if defined(__clang__)
#define SBN_UNROLL _Pragma("clang loop unroll(full)")
#define SBN_ROLL _Pragma("clang loop unroll(disable)")
#else
#define SBN_UNROLL _Pragma("GCC unroll 16")
#define SBN_ROLL _Pragma("GCC unroll 1")
#endif

#if defined(__x86_64__)
#define SBN_X86 1
#define SBN_TARGET_POPCNT __attribute__((target("popcnt")))
#define SBN_TARGET_AVX2 __attribute__((target("avx2,fma,popcnt")))
#define SBN_TARGET_AVX512BW \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,popcnt")))
#define SBN_TARGET_AVX512VNNI \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,popcnt")))
#define SBN_TARGET_AVX512                                                       \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq," \
                        "avx2,fma,popcnt")))
#else
#define SBN_X86 0
#endif

#if defined(__aarch64__)
#define SBN_ARM64 1
#define SBN_TARGET_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#define SBN_TARGET_I8MM __attribute__((target("arch=armv8.2-a+i8mm")))
#else
#define SBN_ARM64 0
#endif

// Whether there are kernels of SME2: CMake says so, which knows whether they can be built.
#ifndef SBN_SME2
#define SBN_SME2 0
#endif

#if defined(__wasm__)
#define SBN_WASM 1
#else
#define SBN_WASM 0
#endif
