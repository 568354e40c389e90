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
  const int64_t words = half_words(bits), tap_words = words_of(bits);
  for (int64_t group = 0; group < groups; ++group, w += group_outputs * taps * tap_words) {
    to = pack_block(group_outputs, taps * words, to, [&](int64_t o, int64_t step) {
      const int64_t word = step % words;
      const uint64_t* from = w + (o * taps + step / words) * tap_words + word / 2;
      return ~static_cast<uint32_t>(load<uint64_t>(from) >> word % 2 * 32);
    });
  }
}

namespace {

// Four words of each position. Where it has three, `last` is a plane that is written again.
SBN_INLINE void four_planes(const uint64_t* x, int64_t step, int64_t count, uint32_t* to,
                            int64_t plane, uint32_t* last) {
  uint32_t* second = to + plane;
  uint32_t* third = second + plane;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4, x += 4 * step) {
    uint32x4x4_t all;
    if (step == 2) {
      all = vld4q_u32(reinterpret_cast<const uint32_t*>(x));
    } else {
      const auto pair = [&](int64_t p) { return load<uint64x2_t>(x + p * step); };
      const auto u32 = [](uint64x2_t v) { return vreinterpretq_u32_u64(v); };
      const uint64x2_t a = pair(0), b = pair(1), c = pair(2), d = pair(3);
      const uint32x4_t low[] = {u32(vuzp1q_u64(a, b)), u32(vuzp1q_u64(c, d))};
      const uint32x4_t high[] = {u32(vuzp2q_u64(a, b)), u32(vuzp2q_u64(c, d))};
      all = {{vuzp1q_u32(low[0], low[1]), vuzp2q_u32(low[0], low[1]),
              vuzp1q_u32(high[0], high[1]), vuzp2q_u32(high[0], high[1])}};
    }
    store(last + i, all.val[3]);
    store(to + i, all.val[0]), store(second + i, all.val[1]), store(third + i, all.val[2]);
  }
  SBN_ROLL
  for (; i < count; ++i, x += step) {
    const auto low = load<uint64_t>(x), high = load<uint64_t>(x + 1);
    last[i] = static_cast<uint32_t>(high >> 32);
    to[i] = static_cast<uint32_t>(low), second[i] = static_cast<uint32_t>(low >> 32);
    third[i] = static_cast<uint32_t>(high);
  }
}

// Two words of each position. Where it has one, `last` is the only plane.
SBN_INLINE void two_planes(const uint64_t* x, int64_t step, int64_t count, uint32_t* to,
                           uint32_t* last) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4, x += 4 * step) {
    uint32x4x2_t all;
    if (step == 1) {
      all = vld2q_u32(reinterpret_cast<const uint32_t*>(x));
    } else {
      const auto pair = [&](const uint64_t* at) {
        return vreinterpretq_u32_u64(
            vcombine_u64(load<uint64x1_t>(at), load<uint64x1_t>(at + step)));
      };
      const uint32x4_t a = pair(x), b = pair(x + 2 * step);
      all = {{vuzp1q_u32(a, b), vuzp2q_u32(a, b)}};
    }
    store(last + i, all.val[1]);
    store(to + i, all.val[0]);
  }
  SBN_ROLL
  for (; i < count; ++i, x += step) {
    const auto both = load<uint64_t>(x);
    last[i] = static_cast<uint32_t>(both >> 32);
    to[i] = static_cast<uint32_t>(both);
  }
}

}  // namespace

void to_planes(const uint64_t* x, int64_t step, int64_t count, int64_t words, uint32_t* to,
               int64_t plane) {
  for (; words > 2; words -= 4, x += 2, to += 4 * plane) {
    four_planes(x, step, count, to, plane, words > 3 ? to + 3 * plane : to);
  }
  if (words > 0) two_planes(x, step, count, to, words > 1 ? to + plane : to);
}

void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed) {
  auto* to = static_cast<int32_t*>(packed);
  for (int64_t o = 0; o < outputs + kChannels; ++o) to[o] = o < outputs ? offsets[o] : 0;
}

uint64_t finish(const Output& out, int32x4_t (&dot)[4], int64_t pixel, int64_t channel,
                int64_t count) {
  if (count >= kGroup) return neon::finish_fours(out, dot, pixel, channel, kGroup);
  uint64_t bits = 0;
  SBN_ROLL
  for (int64_t i = 0; 4 * i < count; ++i) {
    int32x4_t four[] = {dot[i]};
    bits |= uint64_t{neon::finish_fours(out, four, pixel, channel + 4 * i, count - 4 * i)}
            << 4 * i;
  }
  return bits;
}

}  // namespace sbn::sme2
