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
#include "kernels/product/nibbles.inc"
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
SBN_INLINE void store_bits(const Output& out, int64_t pixel, int64_t channel, uint32_t bits) {
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

// How a float epilogue loads the parameters of registers of eight channels, and stores results.
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

// Each step is taken for all registers of P pixels by 8 * N channels, so that what it depends on is
// looked at once, and its parameters serve all pixels.
#define SBN_EACH                         \
  SBN_UNROLL for (int p = 0; p < P; ++p) \
    SBN_UNROLL for (int i = 0; i < N; ++i)

template <int P, int N, class At>
SBN_TARGET_AVX2 SBN_INLINE void activate(__m256 (&x)[P][N], const Activation& a, const At& at) {
  if (a.shift) SBN_EACH x[p][i] = _mm256_add_ps(x[p][i], at.load(a.shift, i));
  if (a.slope && a.gain) {
    SBN_EACH {
      const __m256 negative = _mm256_cmp_ps(x[p][i], _mm256_setzero_ps(), _CMP_LT_OQ);
      const __m256 factor = _mm256_blendv_ps(at.load(a.gain, i), at.load(a.slope, i), negative);
      x[p][i] = _mm256_mul_ps(x[p][i], factor);
    }
  } else if (a.slope) {
    SBN_EACH {
      const __m256 negative = _mm256_cmp_ps(x[p][i], _mm256_setzero_ps(), _CMP_LT_OQ);
      const __m256 sloped = _mm256_mul_ps(x[p][i], at.load(a.slope, i));
      x[p][i] = _mm256_blendv_ps(x[p][i], sloped, negative);
    }
  }
  if (a.offset) SBN_EACH x[p][i] = _mm256_add_ps(x[p][i], at.load(a.offset, i));
  // The second operand is the result where one is NaN or both are zero.
  if (a.low) SBN_EACH x[p][i] = _mm256_max_ps(at.load(a.low, i), x[p][i]);
  if (a.high) SBN_EACH x[p][i] = _mm256_min_ps(at.load(a.high, i), x[p][i]);
}

// Notes which results are negative where the signs are wanted, from bit `shift` on. Straight: for
// epilogues that are; it leaves out the steps that those do not have.
template <bool Straight, int P, int N, class At>
SBN_TARGET_AVX2 SBN_INLINE void finish_registers(const Output& out, __m256i (&dot)[P][N],
                                                 int64_t pixel, const At& at, int shift,
                                                 uint32_t (&negative)[P]) {
  const Epilogue& e = out.epilogue;
  const int64_t first = pixel * out.outputs;
  if (out.clamps_dot()) {
    SBN_EACH {
      dot[p][i] = _mm256_max_epi32(dot[p][i], _mm256_set1_epi32(e.dot_low));
      dot[p][i] = _mm256_min_epi32(dot[p][i], _mm256_set1_epi32(e.dot_high));
    }
  }
  __m256 v[P][N];
  if (Straight || e.dot_offset == 0) {
    SBN_EACH v[p][i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[p][i]), at.load(e.scale, i),
                                       at.load(e.bias, i));
  } else {
    SBN_EACH {
      const __m256i sum = _mm256_add_epi32(dot[p][i], _mm256_set1_epi32(e.dot_offset));
      v[p][i] = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), at.load(e.scale, i)),
                              at.load(e.bias, i));
    }
  }
  if (!Straight && out.inner) activate(v, e.inner, at);
  if (e.residual) {
    const float* shortcut = e.residual + first;
    SBN_EACH v[p][i] = _mm256_add_ps(v[p][i], at.load(shortcut + p * out.outputs, i));
  }
  if (!Straight && out.outer) activate(v, e.outer, at);
  if (!Straight && e.integers) {
    SBN_EACH store_int16(out.integers(pixel + p, at.channel) + 8 * i, to_int16(v[p][i]),
                         at.count(i));
    return;
  }
  float* to = static_cast<float*>(out.y) + first + at.channel;
  SBN_EACH at.store(to + p * out.outputs, i, v[p][i]);
  if (!e.signs) return;
  SBN_EACH {
    const __m256 low = !Straight && e.sign_low ? at.load(e.sign_low, i) : _mm256_setzero_ps();
    __m256 outside = _mm256_cmp_ps(v[p][i], low, _CMP_LT_OQ);
    if (!Straight && e.sign_high) {
      const __m256 above = _mm256_cmp_ps(v[p][i], at.load(e.sign_high, i), _CMP_GT_OQ);
      outside = _mm256_or_ps(outside, above);
    }
    const uint32_t bits = static_cast<uint32_t>(_mm256_movemask_ps(outside));
    negative[p] |= (bits & ((1u << at.count(i)) - 1)) << (8 * i + shift);
  }
}

#undef SBN_EACH

// Writes the first `count` of 8 * N channels from `channel` on, of P pixels, whose dot products are
// given in registers, pixel by pixel; where signs are wanted, Signs::store takes those of each
// pixel. A function of its own: inlined into a kernel it would take registers from the innermost
// loop.
template <class Signs, int P, int N, class... Vectors>
SBN_TARGET_AVX2 SBN_NOINLINE void finish(const Output& out, int64_t pixel, int64_t channel,
                                         int64_t count, Vectors... vectors) {
  static_assert(sizeof...(vectors) == P * N && P * N <= 8, "");
  __m256i dot[P][N] = {vectors...};
  uint32_t negative[P] = {};
  if (count >= 8 * N) {
    finish_registers<false>(out, dot, pixel, Whole{channel}, 0, negative);
  } else {
    for (int i = 0; 8 * i < count; ++i) {
      __m256i one[P][1];
      SBN_UNROLL
      for (int p = 0; p < P; ++p) one[p][0] = dot[p][i];
      const int64_t first = channel + 8 * i, left = count - 8 * i;
      if (left < 8) {
        finish_registers<false>(out, one, pixel, Part(first, left), 8 * i, negative);
      } else {
        finish_registers<false>(out, one, pixel, Whole{first}, 8 * i, negative);
      }
    }
  }
  if (!out.epilogue.signs) return;
  SBN_UNROLL
  for (int p = 0; p < P; ++p) Signs::store(out, pixel + p, channel, negative[p]);
}

struct BlockSigns {
  static SBN_INLINE void store(const Output& out, int64_t pixel, int64_t channel, uint32_t bits) {
    store_bits(out, pixel, channel, bits);
  }
};

// The dot products of a block's channels.
struct Dots {
  __m256i dot[1][4];

  SBN_TARGET_AVX2 SBN_INLINE Dots(const Counts& counts, const void* offsets, int64_t channel) {
    const auto* products = static_cast<const int32_t*>(offsets) + channel;
    // Channels 0..7 and 16..23, then 8..15 and 24..31.
    const __m256i low = _mm256_unpacklo_epi16(counts.even, counts.odd);
    const __m256i high = _mm256_unpackhi_epi16(counts.even, counts.odd);
    const __m128i eights[] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                              _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
    SBN_UNROLL
    for (int i = 0; i < 4; ++i) {
      const __m256i twice = _mm256_slli_epi32(_mm256_cvtepu16_epi32(eights[i]), 1);
      dot[0][i] = _mm256_sub_epi32(load256(products + 8 * i), twice);
    }
  }
};

struct Float : FloatOffsets {
  static constexpr bool kTakesPairs = true;

  SBN_TARGET_AVX2 SBN_INLINE void operator()(const Counts& counts, const void* offsets, int64_t,
                                             int64_t pixel, int64_t channel,
                                             int64_t count) const {
    const Dots d(counts, offsets, channel);
    finish<BlockSigns, 1, 4>(out, pixel, channel, count, d.dot[0][0], d.dot[0][1], d.dot[0][2],
                             d.dot[0][3]);
  }
  // Pixels [pixel, pixel + 2).
  SBN_TARGET_AVX2 SBN_INLINE void pair(const Counts (&counts)[2], const char* const (&offsets)[2],
                                       int64_t pixel, int64_t channel, int64_t count) const {
    const Dots a(counts[0], offsets[0], channel), b(counts[1], offsets[1], channel);
    finish<BlockSigns, 2, 4>(out, pixel, channel, count, a.dot[0][0], a.dot[0][1], a.dot[0][2],
                             a.dot[0][3], b.dot[0][0], b.dot[0][1], b.dot[0][2], b.dot[0][3]);
  }
};

// For epilogues that are straight, of whole blocks.
struct StraightFloat : FloatOffsets {
  static constexpr bool kTakesPairs = false;

  SBN_TARGET_AVX2 SBN_INLINE void operator()(const Counts& counts, const void* offsets, int64_t,
                                             int64_t pixel, int64_t channel, int64_t) const {
    Dots d(counts, offsets, channel);
    uint32_t negative[1] = {};
    finish_registers<true>(out, d.dot, pixel, Whole{channel}, 0, negative);
    if (out.epilogue.signs) store_bits(out, pixel, channel, negative[0]);
  }
};

}  // namespace sbn::avx2
