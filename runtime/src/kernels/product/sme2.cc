#include "kernels/product/sme2.h"

namespace sbn::sme2 {

// Instructions of SME are given as numbers for assemblers that do not know them. SMSTART and SMSTOP
// clear the vector registers, and SMSTART sets every flag of the floating-point status.
void stream(void (*function)(const Product*), const Product& product) {
  register const Product* x0 __asm__("x0") = &product;
  register void (*x8)(const Product*) __asm__("x8") = function;
  uint64_t status;
  __asm__ volatile("mrs %0, fpsr" : "=r"(status));
  __asm__ volatile(
      // A caller whose ZA is not saved yet has said in TPIDR2_EL0 where: the AAPCS64 calls this
      // committing a lazy save.
      "mrs x14, S3_3_C13_C0_5\n\t"
      "cbz x14, 2f\n\t"
      "msr S3_3_C13_C0_5, xzr\n\t"
      "ldr x16, [x14]\n\t"
      "cbz x16, 2f\n\t"
      "ldrh w17, [x14, #8]\n\t"
      "cbz w17, 2f\n\t"
      "mov w15, wzr\n"
      "1:\n\t"
      ".inst 0xe1206200\n\t"  // str za[w15, 0], [x16]
      ".inst 0x04305830\n\t"  // addsvl x16, x16, #1
      "add w15, w15, #1\n\t"
      "cmp w15, w17\n\t"
      "b.lo 1b\n"
      "2:\n\t"
      ".inst 0xd503477f\n\t"  // smstart
      "blr %1\n\t"
      ".inst 0xd503467f"      // smstop
      : "+r"(x0), "+r"(x8)
      :
      : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
        "x16", "x17", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",
        "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23",
        "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31", "memory", "cc");
  __asm__ volatile("msr fpsr, %0" : : "r"(status));
}

int64_t streaming_lanes() {
  register int64_t bytes __asm__("x0");
  __asm__(".inst 0x04bf5820" : "=r"(bytes));  // rdsvl x0, #1
  return bytes / 4;
}

void pack_weights(const uint64_t* w, int64_t groups, int64_t group_outputs, int64_t taps,
                  int64_t bits, void* packed) {
  auto* to = static_cast<uint32_t*>(packed);
  const int64_t pass = 4 * streaming_lanes();
  const int64_t words = half_words(bits), tap_words = words_of(bits);
  for (int64_t group = 0; group < groups; ++group, w += group_outputs * taps * tap_words) {
    const int64_t channels = div_up(group_outputs, kChannels) * kChannels;
    for (int64_t first = 0; first < channels; first += pass) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t word = 0; word < words; ++word) {
          for (int64_t o = first; o < first + pass; ++o) {
            uint64_t both = 0;
            if (o < group_outputs) both = load<uint64_t>(w + (o * taps + tap) * tap_words + word / 2);
            *to++ = ~static_cast<uint32_t>(word % 2 ? both >> 32 : both);
          }
        }
      }
    }
  }
}

void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed) {
  auto* to = static_cast<int32_t*>(packed);
  for (int64_t o = 0; o < outputs + kChannels; ++o) to[o] = o < outputs ? offsets[o] : 0;
}

}  // namespace sbn::sme2
