// Streaming mode of SME2, as the caller sees it.
#pragma once

#include "check.h"
#include "kernels/product/sme2.h"

namespace sbn::test {

// A caller that left ZA to be saved finds it where it said, and its floating-point status as it was.
inline void test_stream() {
  const int64_t bytes = 4 * sme2::streaming_lanes();
  std::vector<char> za(static_cast<size_t>(bytes * bytes)), saved(za.size());
  Random random(0);
  for (char& byte : za) byte = static_cast<char>(random());
  alignas(16) struct {
    void* buffer;
    uint16_t slices;
    uint8_t zero[6];
  } block = {saved.data(), static_cast<uint16_t>(bytes), {}};
  uint64_t before, after, left, mode;
  __asm__ volatile(
      "mov w12, wzr\n\t"
      "mov x13, %1\n\t"
      ".inst 0xd503457f\n"    // smstart za
      "1:\n\t"
      ".inst 0xe10001a0\n\t"  // ldr za[w12, 0], [x13]
      ".inst 0x042d582d\n\t"  // addsvl x13, x13, #1
      "add w12, w12, #1\n\t"
      "cmp x12, %2\n\t"
      "b.lo 1b\n\t"
      "msr S3_3_C13_C0_5, %3\n\t"  // TPIDR2_EL0
      "mrs %0, fpsr"
      : "=&r"(before)
      : "r"(za.data()), "r"(bytes), "r"(&block)
      : "x12", "x13", "memory", "cc");
  const sme2::Product nothing = {};
  sme2::stream(nothing);
  __asm__ volatile(
      "mrs %0, fpsr\n\t"
      "mrs %1, S3_3_C13_C0_5\n\t"
      "mrs %2, S3_3_C4_C2_2"  // SVCR
      : "=&r"(after), "=&r"(left), "=&r"(mode)
      :
      : "memory");
  if (za != saved || left || mode || before != after) {
    printf("FAILED stream: ZA, TPIDR2_EL0, SVCR or FPSR of the caller\n");
    ++g_failures;
  }
}

}  // namespace sbn::test
