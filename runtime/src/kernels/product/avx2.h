// The AVX2 product: look-ups for pairs of pixels (product/pairs.h), 32 channels a register.
// Eight instructions do 768 MAC, and three ports take them on Intel: 288 a cycle.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "base/attributes.h"
#include "base/avx2.h"
#include "base/bits.h"
#include "kernels/product/epilogue.h"
#include "kernels/product/pairs.h"

namespace sbn::avx2 {

using Vector = __m256i;
constexpr int64_t kChannels = 32;  // of a register

SBN_TARGET_AVX2 SBN_INLINE Vector load_vector(const void* from) { return load256(from); }

#define SBN_VECTOR(operation) _mm256_##operation
#define SBN_PRODUCT_TARGET SBN_TARGET_AVX2
#include "kernels/product/x86.inc"
#undef SBN_PRODUCT_TARGET
#undef SBN_VECTOR

// Pairs of a tile: four registers for each of both sums and the partial ones, tables and
// weights are all 16 registers.
constexpr int pairs_in_tile(int registers) { return 4 / registers; }

// The channel of a block that a lane computes.
constexpr int64_t channel_of_lane(int64_t lane) { return lane; }

// Adds `Count` <= 3 nibbles from `at` on. index[p] holds the offsets of their tables for
// a pair, and `w` Registers * 32 weight nibbles for each.
template <int Count, int Pairs, int Registers>
SBN_TARGET_AVX2 SBN_INLINE void add_nibbles(Sums<Pairs, Registers>& sums,
                                            const uint16_t* const (&index)[Pairs], int64_t at,
                                            const uint8_t* w) {
  const auto* tables = reinterpret_cast<const uint8_t*>(pairs::kPairTables<Digits>.entries);
  SBN_UNROLL
  for (int p = 0; p < Pairs; ++p) {
    __m256i s[Registers];
    SBN_UNROLL
    for (int i = 0; i < Count; ++i) {
      const __m256i table = broadcast128(tables + index[p][at + i]);
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) {
        const __m256i found =
            _mm256_shuffle_epi8(table, load256(w + (i * Registers + r) * kChannels));
        s[r] = i ? _mm256_add_epi8(s[r], found) : found;
      }
    }
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      sums.a[p][r] = _mm256_add_epi8(sums.a[p][r], s[r]);
      sums.b[p][r] = _mm256_add_epi8(sums.b[p][r], _mm256_srli_epi16(s[r], 4));
    }
  }
}

// The next functions add 3 * `triples` nibbles. They are assembly, since gcc 12 spills
// the tiles. The weights are loaded once for all pairs: loads are what limits Intel's.
#define SBN_TABLE(index, at, table)                  \
  "movzwl " at "(%[" index "]), %k[offset]\n\t"     \
  "vbroadcasti128 (%[tables],%[offset]), " table "\n\t"
#define SBN_LOOK_UP(weights, table, to) "vpshufb " weights ", " table ", " to "\n\t"
#define SBN_ADD_LOOK_UP(weights, table, found, to) \
  "vpshufb " weights ", " table ", " found "\n\t"  \
  "vpaddb " found ", " to ", " to "\n\t"
#define SBN_ADD_PARTIAL(partial, a, b)         \
  "vpaddb " partial ", %[" a "], %[" a "]\n\t" \
  "vpsrlw $4, " partial ", " partial "\n\t"    \
  "vpaddb " partial ", %[" b "], %[" b "]\n\t"

SBN_TARGET_AVX2 SBN_INLINE void add_triples(Sums<2, 2>& sums, const uint16_t* (&index)[2],
                                            const uint8_t*& w, int64_t triples) {
  uint64_t offset;
  __asm__(
      "1:\n\t"
      SBN_TABLE("i0", "0", "%%ymm12")
      SBN_TABLE("i1", "0", "%%ymm13")
      "vmovdqu 0(%[w]), %%ymm14\n\t"
      SBN_LOOK_UP("%%ymm14", "%%ymm12", "%%ymm8")
      SBN_LOOK_UP("%%ymm14", "%%ymm13", "%%ymm10")
      "vmovdqu 32(%[w]), %%ymm15\n\t"
      SBN_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm9")
      SBN_LOOK_UP("%%ymm15", "%%ymm13", "%%ymm11")
      SBN_TABLE("i0", "2", "%%ymm12")
      SBN_TABLE("i1", "2", "%%ymm13")
      "vmovdqu 64(%[w]), %%ymm14\n\t"
      SBN_ADD_LOOK_UP("%%ymm14", "%%ymm12", "%%ymm15", "%%ymm8")
      SBN_ADD_LOOK_UP("%%ymm14", "%%ymm13", "%%ymm14", "%%ymm10")
      "vmovdqu 96(%[w]), %%ymm15\n\t"
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm12", "%%ymm9")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm13", "%%ymm13", "%%ymm11")
      SBN_TABLE("i0", "4", "%%ymm12")
      SBN_TABLE("i1", "4", "%%ymm13")
      "vmovdqu 128(%[w]), %%ymm14\n\t"
      SBN_ADD_LOOK_UP("%%ymm14", "%%ymm12", "%%ymm15", "%%ymm8")
      SBN_ADD_LOOK_UP("%%ymm14", "%%ymm13", "%%ymm14", "%%ymm10")
      "vmovdqu 160(%[w]), %%ymm15\n\t"
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm12", "%%ymm9")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm13", "%%ymm13", "%%ymm11")
      "add $6, %[i0]\n\t"
      "add $6, %[i1]\n\t"
      "add $192, %[w]\n\t"
      SBN_ADD_PARTIAL("%%ymm8", "a0", "b0")
      SBN_ADD_PARTIAL("%%ymm9", "a1", "b1")
      SBN_ADD_PARTIAL("%%ymm10", "a2", "b2")
      SBN_ADD_PARTIAL("%%ymm11", "a3", "b3")
      "dec %[triples]\n\t"
      "jnz 1b\n\t"
      : [a0] "+x"(sums.a[0][0]), [a1] "+x"(sums.a[0][1]), [a2] "+x"(sums.a[1][0]),
        [a3] "+x"(sums.a[1][1]),
        [b0] "+x"(sums.b[0][0]), [b1] "+x"(sums.b[0][1]), [b2] "+x"(sums.b[1][0]),
        [b3] "+x"(sums.b[1][1]),
        [i0] "+r"(index[0]), [i1] "+r"(index[1]),
        [offset] "=&r"(offset), [w] "+r"(w), [triples] "+r"(triples)
      : [tables] "r"(pairs::kPairTables<Digits>.entries)
      : "memory", "cc", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

SBN_TARGET_AVX2 SBN_INLINE void add_triples(Sums<4, 1>& sums, const uint16_t* (&index)[4],
                                            const uint8_t*& w, int64_t triples) {
  uint64_t offset;
  __asm__(
      "1:\n\t"
      "vmovdqu 0(%[w]), %%ymm15\n\t"
      SBN_TABLE("i0", "0", "%%ymm12")
      SBN_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm8")
      SBN_TABLE("i1", "0", "%%ymm13")
      SBN_LOOK_UP("%%ymm15", "%%ymm13", "%%ymm9")
      SBN_TABLE("i2", "0", "%%ymm14")
      SBN_LOOK_UP("%%ymm15", "%%ymm14", "%%ymm10")
      SBN_TABLE("i3", "0", "%%ymm12")
      SBN_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm11")
      "vmovdqu 32(%[w]), %%ymm15\n\t"
      SBN_TABLE("i0", "2", "%%ymm12")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm12", "%%ymm8")
      SBN_TABLE("i1", "2", "%%ymm13")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm13", "%%ymm13", "%%ymm9")
      SBN_TABLE("i2", "2", "%%ymm14")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm14", "%%ymm14", "%%ymm10")
      SBN_TABLE("i3", "2", "%%ymm12")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm12", "%%ymm11")
      "vmovdqu 64(%[w]), %%ymm15\n\t"
      SBN_TABLE("i0", "4", "%%ymm12")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm12", "%%ymm8")
      SBN_TABLE("i1", "4", "%%ymm13")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm13", "%%ymm13", "%%ymm9")
      SBN_TABLE("i2", "4", "%%ymm14")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm14", "%%ymm14", "%%ymm10")
      SBN_TABLE("i3", "4", "%%ymm12")
      SBN_ADD_LOOK_UP("%%ymm15", "%%ymm12", "%%ymm12", "%%ymm11")
      "add $6, %[i0]\n\t"
      "add $6, %[i1]\n\t"
      "add $6, %[i2]\n\t"
      "add $6, %[i3]\n\t"
      "add $96, %[w]\n\t"
      SBN_ADD_PARTIAL("%%ymm8", "a0", "b0")
      SBN_ADD_PARTIAL("%%ymm9", "a1", "b1")
      SBN_ADD_PARTIAL("%%ymm10", "a2", "b2")
      SBN_ADD_PARTIAL("%%ymm11", "a3", "b3")
      "dec %[triples]\n\t"
      "jnz 1b\n\t"
      : [a0] "+x"(sums.a[0][0]), [a1] "+x"(sums.a[1][0]), [a2] "+x"(sums.a[2][0]),
        [a3] "+x"(sums.a[3][0]),
        [b0] "+x"(sums.b[0][0]), [b1] "+x"(sums.b[1][0]), [b2] "+x"(sums.b[2][0]),
        [b3] "+x"(sums.b[3][0]),
        [i0] "+r"(index[0]), [i1] "+r"(index[1]), [i2] "+r"(index[2]), [i3] "+r"(index[3]),
        [offset] "=&r"(offset), [w] "+r"(w), [triples] "+r"(triples)
      : [tables] "r"(pairs::kPairTables<Digits>.entries)
      : "memory", "cc", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

#undef SBN_TABLE
#undef SBN_LOOK_UP
#undef SBN_ADD_LOOK_UP
#undef SBN_ADD_PARTIAL

// Adds a run of `nibbles`, and moves `index` and `w` to its end.
template <int Pairs, int Registers>
SBN_TARGET_AVX2 SBN_INLINE void add_run(Sums<Pairs, Registers>& sums,
                                        const uint16_t* (&index)[Pairs], const uint8_t*& w,
                                        int64_t nibbles) {
  if (nibbles >= 3) add_triples(sums, index, w, nibbles / 3);
  const int64_t rest = nibbles % 3;
  if (rest == 1) add_nibbles<1>(sums, index, 0, w);
  if (rest == 2) add_nibbles<2>(sums, index, 0, w);
  w += rest * Registers * kChannels;
}

// Epilogues: what becomes of the counts of output channels [channel, channel +
// count) of a pixel. `slot` counts registers of channels from the first channel on.
SBN_TARGET_AVX2 SBN_INLINE void store_bits(const Output& out, int64_t pixel, int64_t channel,
                                           uint32_t bits) {
  uint64_t* to = out.bits(pixel);
  if (out.merge) return merge_bits(to, channel, bits);
  store(reinterpret_cast<char*>(to) + channel / 8, bits);
}

struct Threshold : ThresholdOffsets {
  // Offsets: for each slot 16 int16 of the even channels, then the odd ones.
  static void pack_offsets(int64_t groups, int64_t group_outputs, const int32_t* offsets,
                           void* packed) {
    auto* to = static_cast<int16_t*>(packed);
    for (int64_t group = 0; group < groups; ++group, offsets += group_outputs) {
      for (int64_t first = 0; first < group_outputs; first += kChannels) {
        for (int64_t lane = 0; lane < kChannels; ++lane) {
          const int64_t channel = first + lane % 16 * 2 + lane / 16;
          *to++ = channel < group_outputs ? static_cast<int16_t>(offsets[channel]) : 0;
        }
      }
    }
  }

  SBN_TARGET_AVX2 SBN_INLINE void operator()(const Counts& counts, const void* offsets,
                                             int64_t slot, int64_t pixel, int64_t channel,
                                             int64_t count) const {
    const auto* limits = static_cast<const int16_t*>(offsets) + slot * kChannels;
    const __m256i even = _mm256_cmpgt_epi16(counts.even, load256(limits));
    const __m256i odd = _mm256_cmpgt_epi16(counts.odd, load256(limits + 16));
    const __m256i high_bytes = _mm256_set1_epi16(static_cast<int16_t>(0xff00));
    const __m256i set = _mm256_blendv_epi8(even, odd, high_bytes);
    const auto bits = static_cast<uint32_t>(static_cast<uint32_t>(_mm256_movemask_epi8(set)) &
                                            low_bits(count));
    store_bits(out, pixel, channel, bits);
  }
};

// Float epilogues take N registers of eight channels at a time, each step for all of them, so that
// what a step depends on is looked at once. `At` loads their parameters.
struct Whole {
  int64_t channel;

  SBN_TARGET_AVX2 SBN_INLINE __m256 load(const float* from, int i) const {
    return _mm256_loadu_ps(from + channel + 8 * i);
  }
  SBN_TARGET_AVX2 SBN_INLINE void store(float* to, int i, __m256 v) const {
    _mm256_storeu_ps(to + 8 * i, v);
  }
  static constexpr int64_t count(int) { return 8; }
};

// The first `left` < 8 channels of a register.
struct Part {
  int64_t channel;
  int64_t left;
  __m256i lanes;

  SBN_TARGET_AVX2 SBN_INLINE Part(int64_t first, int64_t in_use) : channel(first), left(in_use) {
    const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(left)), numbers);
  }
  SBN_TARGET_AVX2 SBN_INLINE __m256 load(const float* from, int) const {
    return _mm256_maskload_ps(from + channel, lanes);
  }
  SBN_TARGET_AVX2 SBN_INLINE void store(float* to, int, __m256 v) const {
    _mm256_maskstore_ps(to, lanes, v);
  }
  int64_t count(int) const { return left; }
};

#define SBN_EACH SBN_UNROLL for (int i = 0; i < N; ++i)

template <int N, class At>
SBN_TARGET_AVX2 SBN_INLINE void activate(__m256 (&x)[N], const Activation& a, const At& at) {
  if (a.shift) SBN_EACH x[i] = _mm256_add_ps(x[i], at.load(a.shift, i));
  if (a.slope) {
    SBN_EACH {
      const __m256 negative = _mm256_cmp_ps(x[i], _mm256_setzero_ps(), _CMP_LT_OQ);
      const __m256 sloped = _mm256_mul_ps(x[i], at.load(a.slope, i));
      if (a.gain) x[i] = _mm256_mul_ps(x[i], at.load(a.gain, i));
      x[i] = _mm256_blendv_ps(x[i], sloped, negative);
    }
  }
  if (a.offset) SBN_EACH x[i] = _mm256_add_ps(x[i], at.load(a.offset, i));
  // The second operand is the result where one is NaN or both are zero.
  if (a.low) SBN_EACH x[i] = _mm256_max_ps(at.load(a.low, i), x[i]);
  if (a.high) SBN_EACH x[i] = _mm256_min_ps(at.load(a.high, i), x[i]);
}

// All 8 * N channels of an epilogue that is straight. Returns which results are negative where the
// signs are wanted.
template <int N>
SBN_TARGET_AVX2 SBN_INLINE uint32_t finish_straight(const Output& out, __m256i (&dot)[N],
                                                    int64_t pixel, int64_t channel) {
  const Epilogue& e = out.epilogue;
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[i] = _mm256_max_epi32(dot[i], _mm256_set1_epi32(e.dot_low));
      dot[i] = _mm256_min_epi32(dot[i], _mm256_set1_epi32(e.dot_high));
    }
  }
  const float* scale = e.scale + channel;
  const float* bias = e.bias + channel;
  const int64_t first = pixel * out.outputs + channel;
  __m256 v[N];
  SBN_EACH {
    v[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[i]), _mm256_loadu_ps(scale + 8 * i),
                           _mm256_loadu_ps(bias + 8 * i));
  }
  if (e.residual) {
    SBN_EACH v[i] = _mm256_add_ps(v[i], _mm256_loadu_ps(e.residual + first + 8 * i));
  }
  float* to = static_cast<float*>(out.y) + first;
  SBN_EACH _mm256_storeu_ps(to + 8 * i, v[i]);
  if (!e.signs) return 0;
  uint32_t negative = 0;
  SBN_EACH {
    const __m256 below = _mm256_cmp_ps(v[i], _mm256_setzero_ps(), _CMP_LT_OQ);
    negative |= static_cast<uint32_t>(_mm256_movemask_ps(below)) << (8 * i);
  }
  return negative;
}

// Returns which results are negative where the signs are wanted.
template <int N, class At>
SBN_TARGET_AVX2 SBN_INLINE uint32_t finish_registers(const Output& out, __m256i (&dot)[N],
                                                     int64_t pixel, const At& at) {
  const Epilogue& e = out.epilogue;
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[i] = _mm256_max_epi32(dot[i], _mm256_set1_epi32(e.dot_low));
      dot[i] = _mm256_min_epi32(dot[i], _mm256_set1_epi32(e.dot_high));
    }
  }
  __m256 v[N];
  if (e.dot_offset == 0) {
    SBN_EACH v[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[i]), at.load(e.scale, i),
                                    at.load(e.bias, i));
  } else {
    SBN_EACH {
      dot[i] = _mm256_add_epi32(dot[i], _mm256_set1_epi32(e.dot_offset));
      v[i] = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(dot[i]), at.load(e.scale, i)),
                           at.load(e.bias, i));
    }
  }
  if (out.inner) activate(v, e.inner, at);
  if (e.residual) {
    const float* shortcut = e.residual + pixel * out.outputs;
    SBN_EACH v[i] = _mm256_add_ps(v[i], at.load(shortcut, i));
  }
  if (out.outer) activate(v, e.outer, at);
  if (e.integers) {
    int16_t* to = out.integers(pixel, at.channel);
    SBN_EACH store_int16(to + 8 * i, to_int16(v[i]), at.count(i));
    return 0;
  }
  float* to = out.floats(pixel, at.channel);
  SBN_EACH at.store(to, i, v[i]);
  if (!e.signs) return 0;
  uint32_t negative = 0;
  SBN_EACH {
    const __m256 low = e.sign_low ? at.load(e.sign_low, i) : _mm256_setzero_ps();
    __m256 outside = _mm256_cmp_ps(v[i], low, _CMP_LT_OQ);
    if (e.sign_high) {
      const __m256 above = _mm256_cmp_ps(v[i], at.load(e.sign_high, i), _CMP_GT_OQ);
      outside = _mm256_or_ps(outside, above);
    }
    const uint32_t bits = static_cast<uint32_t>(_mm256_movemask_ps(outside));
    negative |= (bits & ((1u << at.count(i)) - 1)) << (8 * i);
  }
  return negative;
}

#undef SBN_EACH

// The first `count` of 8 * N channels.
template <int N>
SBN_TARGET_AVX2 SBN_INLINE uint32_t finish_eights(const Output& out, __m256i (&dot)[N],
                                                  int64_t pixel, int64_t channel, int64_t count) {
  if (count >= 8 * N) return finish_registers(out, dot, pixel, Whole{channel});
  uint32_t negative = 0;
  for (int i = 0; 8 * i < count; ++i) {
    __m256i one[] = {dot[i]};
    const int64_t first = channel + 8 * i, left = count - 8 * i;
    negative |= (left < 8 ? finish_registers(out, one, pixel, Part(first, left))
                          : finish_registers(out, one, pixel, Whole{first}))
                << (8 * i);
  }
  return negative;
}

// Straight: for epilogues that are, of whole registers.
template <bool Straight>
struct Float : FloatOffsets {
  SBN_TARGET_AVX2 SBN_INLINE void operator()(const Counts& counts, const void* offsets, int64_t,
                                             int64_t pixel, int64_t channel,
                                             int64_t count) const {
    constexpr int kEights = kChannels / 8;
    const auto* products = static_cast<const int32_t*>(offsets) + channel;
    // Channels 0..7 and 16..23, then 8..15 and 24..31.
    const __m256i low = _mm256_unpacklo_epi16(counts.even, counts.odd);
    const __m256i high = _mm256_unpackhi_epi16(counts.even, counts.odd);
    const __m128i eights[kEights] = {
        _mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
        _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
    __m256i dot[kEights];
    SBN_UNROLL
    for (int i = 0; i < kEights; ++i) {
      const __m256i twice = _mm256_slli_epi32(_mm256_cvtepu16_epi32(eights[i]), 1);
      dot[i] = _mm256_sub_epi32(load256(products + 8 * i), twice);
    }
    const uint32_t negative = Straight ? finish_straight(out, dot, pixel, channel)
                                       : finish_eights(out, dot, pixel, channel, count);
    if (out.epilogue.signs) store_bits(out, pixel, channel, negative);
  }
};

}  // namespace sbn::avx2
