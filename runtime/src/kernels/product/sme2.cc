#include "kernels/product/sme2.h"

namespace sbn::sme2 {

// Instructions of SME are given as numbers for assemblers that do not know them. SMSTART and SMSTOP
// clear the vector registers, and SMSTART sets every flag of the floating-point status.
void stream(const Product& product) {
  register const Product* x0 __asm__("x0") = &product;
  register void (*x8)(const Product*) __asm__("x8") = sbn_sme2_product;
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
    to = pack_blocks(group_outputs, taps * words, to, [&](int64_t o, int64_t i) {
      const int64_t word = i % words;
      const uint64_t* from = w + (o * taps + i / words) * tap_words + word / 2;
      return ~static_cast<uint32_t>(load<uint64_t>(from) >> word % 2 * 32);
    });
  }
}

namespace {

// Four words of each position. Where it has three, `last` is a plane that is written again.
SBN_INLINE void four_planes(const uint32_t* x, int64_t step, int64_t count, uint32_t* to,
                            int64_t plane, uint32_t* last) {
  uint32_t* second = to + plane;
  uint32_t* third = second + plane;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4, x += 4 * step) {
    uint32x4x4_t all;
    if (step == 4) {
      all = vld4q_u32(x);
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
    const auto low = load<uint64_t>(x), high = load<uint64_t>(x + 2);
    last[i] = static_cast<uint32_t>(high >> 32);
    to[i] = static_cast<uint32_t>(low), second[i] = static_cast<uint32_t>(low >> 32);
    third[i] = static_cast<uint32_t>(high);
  }
}

// Two words of each position. Where it has one, `last` is the only plane.
SBN_INLINE void two_planes(const uint32_t* x, int64_t step, int64_t count, uint32_t* to,
                           uint32_t* last) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4, x += 4 * step) {
    uint32x4x2_t all;
    if (step == 2) {
      all = vld2q_u32(x);
    } else {
      const auto pair = [&](const uint32_t* at) {
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

void to_planes(const uint32_t* x, int64_t step, int64_t count, int64_t words, uint32_t* to,
               int64_t plane) {
  for (; words > 2; words -= 4, x += 4, to += 4 * plane) {
    four_planes(x, step, count, to, plane, words > 3 ? to + 3 * plane : to);
  }
  if (words > 0) two_planes(x, step, count, to, words > 1 ? to + plane : to);
}

void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed) {
  auto* to = static_cast<int32_t*>(packed);
  for (int64_t o = 0; o < outputs + kChannels; ++o) to[o] = o < outputs ? offsets[o] : kNever;
}

namespace {

void finish_bits(const Output& out, const Strip& s) {
  const auto* bits = reinterpret_cast<const uint64_t*>(s.results.data) + s.block * s.room +
                     s.position;
  if (out.merge) {
    for (int64_t p = 0; p < s.positions; ++p) {
      merge_bits(out.bits(s.pixel + p), s.channel, bits[p] & low_bits(s.count));
    }
    return;
  }
  const int64_t words = out.pixel_words;
  uint64_t* to = out.bits(s.pixel) + s.channel / 64;
  int64_t p = 0;
  for (; words == 1 && p + 8 <= s.positions; p += 8) {
    SBN_UNROLL
    for (int64_t k = p; k < p + 8; k += 2) store(to + k, load<uint64x2_t>(bits + k));
  }
  SBN_ROLL
  for (to += p * words; p + 4 <= s.positions; p += 4, to += 4 * words) {
    store(to, bits[p]), store(to + words, bits[p + 1]);
    store(to + 2 * words, bits[p + 2]), store(to + 3 * words, bits[p + 3]);
  }
  SBN_ROLL
  for (; p < s.positions; ++p, to += words) store(to, bits[p]);
}

// Of the first position and channel.
SBN_INLINE const int32_t* sums_of(const Strip& s) {
  return reinterpret_cast<const int32_t*>(s.results.data) + s.block * s.room * kChannels +
         s.position * kGroup;
}

// Dot products of four channels from `i` on: of signs, whose mismatches count twice and are
// negative, or of bytes, which have no offsets.
SBN_INLINE int32x4_t dot_of(bool signs, int32x4_t sums, const int32_t* offsets, int64_t i) {
  return signs ? vmlaq_s32(load<int32x4_t>(offsets + i), sums, vdupq_n_s32(2)) : sums;
}

SBN_INLINE const int32_t* offsets_of(bool signs, const Strip& s, int64_t p) {
  return signs ? reinterpret_cast<const int32_t*>(s.offsets + s.next_offset[p]) : nullptr;
}

SBN_INLINE void store_signs(const Output& out, int64_t pixel, int64_t channel, uint64_t bits) {
  uint64_t* to = out.bits(pixel);
  if (out.merge) return merge_bits(to, channel, bits);
  store(to + channel / 64, bits);
}

void finish_any(const Output& out, const Strip& s) {
  const bool signs = s.next_offset;
  const int32_t* sums = sums_of(s);
  for (int64_t p = 0; p < s.positions; ++p, sums += kGroup) {
    const int32_t* offsets = offsets_of(signs, s, p);
    uint64_t negative = 0;
    for (int64_t i = 0; i < s.count; i += kGroup) {
      int32x4_t dot[4];
      SBN_UNROLL
      for (int r = 0; r < 4; ++r) {
        dot[r] = dot_of(signs, load<int32x4_t>(sums + i * s.room + 4 * r), offsets, i + 4 * r);
      }
      const int64_t pixel = s.pixel + p, count = s.count - i;
      if (count >= kGroup) {
        negative |= uint64_t{neon::finish_fours(out, dot, pixel, s.channel + i, kGroup)} << i;
        continue;
      }
      SBN_ROLL
      for (int64_t r = 0; 4 * r < count; ++r) {
        int32x4_t four[] = {dot[r]};
        const int64_t first = i + 4 * r;
        negative |= uint64_t{neon::finish_fours(out, four, pixel, s.channel + first,
                                                s.count - first)} << first;
      }
    }
    if (out.epilogue.signs) {
      store_signs(out, s.pixel + p, s.channel, negative & low_bits(s.count));
    }
  }
}

// Of epilogues that are straight, and whole groups of 16 channels. All that stays the same is read
// once, which the compiler does not know.
template <bool Signs>
void finish_straight(const Output& out, const Strip& s) {
  const Epilogue& e = out.epilogue;
  const bool clamps = out.clamps_dot();
  const int32x4_t low = vdupq_n_s32(e.dot_low), high = vdupq_n_s32(e.dot_high);
  const int64_t outputs = out.outputs, first = s.pixel * outputs + s.channel;
  const int64_t group = s.room * kGroup, positions = s.positions, count = s.count;
  const float* scale = e.scale + s.channel;
  const float* bias = e.bias + s.channel;
  const float* residual = e.residual;
  const bool signs = e.signs;
  const int32_t* sums = sums_of(s);
  float* y = static_cast<float*>(out.y) + first;
  if (residual) residual += first;
  for (int64_t p = 0; p < positions; ++p, sums += kGroup, y += outputs) {
    const int32_t* offsets = offsets_of(Signs, s, p);
    const int32_t* here = sums;
    // Else gcc keeps the address of each vector, in memory.
    __asm__("" : "+r"(scale), "+r"(bias));
    uint8x16_t negative[4] = {};
    SBN_UNROLL
    for (int64_t g = 0; g < 4; ++g, here += group) {
      if (g * kGroup >= count) break;
      const int64_t i = g * kGroup;
      __asm__("" : "+r"(here));
      int32x4_t dot[4];
      float32x4_t v[4];
#define SBN_EACH SBN_UNROLL for (int r = 0; r < 4; ++r)
      SBN_EACH dot[r] = dot_of(Signs, load<int32x4_t>(here + 4 * r), offsets, i + 4 * r);
      if (clamps) SBN_EACH dot[r] = vminq_s32(vmaxq_s32(dot[r], low), high);
      SBN_EACH {
        v[r] = vfmaq_f32(load<float32x4_t>(bias + i + 4 * r), vcvtq_f32_s32(dot[r]),
                         load<float32x4_t>(scale + i + 4 * r));
      }
      if (residual) SBN_EACH v[r] = vaddq_f32(v[r], load<float32x4_t>(residual + i + 4 * r));
      SBN_EACH store(y + i + 4 * r, v[r]);
#undef SBN_EACH
      const auto less = [&](int r) {
        return vuzp1q_u16(vreinterpretq_u16_u32(vcltzq_f32(v[r])),
                          vreinterpretq_u16_u32(vcltzq_f32(v[r + 1])));
      };
      if (signs) negative[g] = neon::narrow(less(0), less(2));
    }
    if (residual) residual += outputs;
    if (signs) store_signs(out, s.pixel + p, s.channel, neon::bits_of(negative));
  }
}

}  // namespace

void finish(const Output& out, const Strip& s) {
  if (ends_in_bits(out)) return finish_bits(out, s);
  if (!out.straight || s.count % kGroup != 0) return finish_any(out, s);
  if (s.next_offset) return finish_straight<true>(out, s);
  finish_straight<false>(out, s);
}

}  // namespace sbn::sme2
