// The AVX2 product: popcounts by table look-up ("LUT2").
//
// A byte shuffle looks up 32 nibbles at once. Its 32 lanes are output channels, its
// index their weight nibbles w, and its table one that holds for a pair of pixels
// with activation nibbles a1, a2 and every w
//   T[w] = popcount(a1 ^ w) + 16 * popcount(a2 ^ w),
// so that one shuffle counts 32 channels x 4 bits x 2 pixels. A table of all 256
// tables is 4 KB; an index of the activations holds offsets into it.
//
// Three look-ups fit a byte: s = v1 + v2 + v3. Then A += s, B += s >> 4 (as 16-bit
// lanes, for want of a byte shift); what the shift carries across bytes, and what
// the sums overflow, is undone exactly by `flush`, every 63 nibbles or sooner.
// Eight instructions do 768 MAC, and three ports take them on Intel: 288 a cycle.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "base/attributes.h"
#include "base/avx2.h"
#include "base/bits.h"

namespace sbn::avx2 {

constexpr int64_t kChannels = 32;  // of a register
constexpr int64_t kRegisters = 4;  // of a block
constexpr int64_t kBlock = kChannels * kRegisters;
constexpr int64_t kNibblesPerFlush = 63;

// Counters are compared as signed 16-bit integers.
constexpr int64_t kMaxProducts = 32767;

// The table of tables, indexed by a1 | a2 << 4.
struct PairTables {
  alignas(64) uint8_t entries[256][16];

  constexpr PairTables() : entries() {
    for (unsigned pair = 0; pair < 256; ++pair) {
      for (unsigned w = 0; w < 16; ++w) {
        entries[pair][w] = static_cast<uint8_t>(__builtin_popcount((pair & 15) ^ w) +
                                                16 * __builtin_popcount((pair >> 4) ^ w));
      }
    }
  }
};
inline constexpr PairTables kPairTables;

template <int Registers>
struct Sums {
  __m256i a[Registers];
  __m256i b[Registers];
};

template <int Registers>
SBN_TARGET_AVX2 SBN_INLINE void clear(Sums<Registers>& sums) {
  SBN_UNROLL
  for (int r = 0; r < Registers; ++r) sums.a[r] = sums.b[r] = _mm256_setzero_si256();
}

// Adds `Count` <= 3 nibbles. `index` holds the offsets of their tables, and `w`
// Registers * 32 weight nibbles for each.
template <int Count, int Registers>
SBN_TARGET_AVX2 SBN_INLINE void add_nibbles(Sums<Registers>& sums, const uint16_t* index,
                                            const uint8_t* w) {
  const auto* tables = reinterpret_cast<const uint8_t*>(kPairTables.entries);
  __m256i s[Registers];
  SBN_UNROLL
  for (int i = 0; i < Count; ++i) {
    const __m256i table = broadcast128(tables + index[i]);
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) {
      const __m256i found =
          _mm256_shuffle_epi8(table, load256(w + (i * Registers + r) * kChannels));
      s[r] = i ? _mm256_add_epi8(s[r], found) : found;
    }
  }
  SBN_UNROLL
  for (int r = 0; r < Registers; ++r) {
    sums.a[r] = _mm256_add_epi8(sums.a[r], s[r]);
    sums.b[r] = _mm256_add_epi8(sums.b[r], _mm256_srli_epi16(s[r], 4));
  }
}

// Adds 3 * `triples` nibbles for four registers. In assembly, since gcc 12 spills
// the tile: 8 sums, 4 partial sums, 1 table and 3 look-ups are all 16 registers.
SBN_TARGET_AVX2 SBN_INLINE void add_triples(Sums<4>& sums, const uint16_t* index, const uint8_t* w,
                                            int64_t triples) {
  uint64_t offset;
  __asm__(
      "1:\n\t"
      "movzwl (%[index]), %k[offset]\n\t"
      "vbroadcasti128 (%[tables],%[offset]), %%ymm12\n\t"
      "vpshufb (%[w]), %%ymm12, %%ymm8\n\t"
      "vpshufb 32(%[w]), %%ymm12, %%ymm9\n\t"
      "vpshufb 64(%[w]), %%ymm12, %%ymm10\n\t"
      "vpshufb 96(%[w]), %%ymm12, %%ymm11\n\t"
      "movzwl 2(%[index]), %k[offset]\n\t"
      "vbroadcasti128 (%[tables],%[offset]), %%ymm12\n\t"
      "vpshufb 128(%[w]), %%ymm12, %%ymm13\n\t"
      "vpaddb %%ymm13, %%ymm8, %%ymm8\n\t"
      "vpshufb 160(%[w]), %%ymm12, %%ymm14\n\t"
      "vpaddb %%ymm14, %%ymm9, %%ymm9\n\t"
      "vpshufb 192(%[w]), %%ymm12, %%ymm15\n\t"
      "vpaddb %%ymm15, %%ymm10, %%ymm10\n\t"
      "vpshufb 224(%[w]), %%ymm12, %%ymm13\n\t"
      "vpaddb %%ymm13, %%ymm11, %%ymm11\n\t"
      "movzwl 4(%[index]), %k[offset]\n\t"
      "vbroadcasti128 (%[tables],%[offset]), %%ymm12\n\t"
      "vpshufb 256(%[w]), %%ymm12, %%ymm13\n\t"
      "vpaddb %%ymm13, %%ymm8, %%ymm8\n\t"
      "vpshufb 288(%[w]), %%ymm12, %%ymm14\n\t"
      "vpaddb %%ymm14, %%ymm9, %%ymm9\n\t"
      "vpshufb 320(%[w]), %%ymm12, %%ymm15\n\t"
      "vpaddb %%ymm15, %%ymm10, %%ymm10\n\t"
      "vpshufb 352(%[w]), %%ymm12, %%ymm13\n\t"
      "vpaddb %%ymm13, %%ymm11, %%ymm11\n\t"
      "add $6, %[index]\n\t"
      "add $384, %[w]\n\t"
      "vpaddb %%ymm8, %[a0], %[a0]\n\t"
      "vpsrlw $4, %%ymm8, %%ymm8\n\t"
      "vpaddb %%ymm8, %[b0], %[b0]\n\t"
      "vpaddb %%ymm9, %[a1], %[a1]\n\t"
      "vpsrlw $4, %%ymm9, %%ymm9\n\t"
      "vpaddb %%ymm9, %[b1], %[b1]\n\t"
      "vpaddb %%ymm10, %[a2], %[a2]\n\t"
      "vpsrlw $4, %%ymm10, %%ymm10\n\t"
      "vpaddb %%ymm10, %[b2], %[b2]\n\t"
      "vpaddb %%ymm11, %[a3], %[a3]\n\t"
      "vpsrlw $4, %%ymm11, %%ymm11\n\t"
      "vpaddb %%ymm11, %[b3], %[b3]\n\t"
      "dec %[triples]\n\t"
      "jnz 1b\n\t"
      : [a0] "+x"(sums.a[0]), [a1] "+x"(sums.a[1]), [a2] "+x"(sums.a[2]), [a3] "+x"(sums.a[3]),
        [b0] "+x"(sums.b[0]), [b1] "+x"(sums.b[1]), [b2] "+x"(sums.b[2]), [b3] "+x"(sums.b[3]),
        [offset] "=&r"(offset), [w] "+r"(w), [index] "+r"(index), [triples] "+r"(triples)
      : [tables] "r"(kPairTables.entries)
      : "memory", "cc", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

template <int Registers>
SBN_TARGET_AVX2 SBN_INLINE void add_triples(Sums<Registers>& sums, const uint16_t* index,
                                            const uint8_t* w, int64_t triples) {
  for (; triples; --triples, index += 3, w += 3 * Registers * kChannels) {
    add_nibbles<3>(sums, index, w);
  }
}

// Adds a run of `nibbles`.
template <int Registers>
SBN_TARGET_AVX2 SBN_INLINE void add_run(Sums<Registers>& sums, const uint16_t* index,
                                        const uint8_t* w, int64_t nibbles) {
  const int64_t triples = nibbles / 3;
  const int64_t done = 3 * triples;
  if (triples) add_triples(sums, index, w, triples);
  const uint8_t* rest = w + done * Registers * kChannels;
  if (nibbles - done == 1) add_nibbles<1>(sums, index + done, rest);
  if (nibbles - done == 2) add_nibbles<2>(sums, index + done, rest);
}

// Mismatches of 32 output channels of one pixel, in 16-bit lanes.
struct Counts {
  __m256i even;  // channels 0, 2, ..., 30
  __m256i odd;
};

// The true sums of a pair of pixels. Of the low and high byte of each 16-bit lane
// (channels 2i, 2i + 1), A holds e1 + 16 e2 and o1 + 16 o2 modulo 256, and B holds
// e2 + 16 o1 modulo 256 and o2.
SBN_TARGET_AVX2 SBN_INLINE void flush(__m256i a, __m256i b, Counts& first, Counts& second) {
  const __m256i byte = _mm256_set1_epi16(255);
  const __m256i o2 = _mm256_srli_epi16(b, 8);
  const __m256i o1 = _mm256_and_si256(
      _mm256_sub_epi16(_mm256_srli_epi16(a, 8), _mm256_slli_epi16(o2, 4)), byte);
  const __m256i e2 = _mm256_and_si256(_mm256_sub_epi16(b, _mm256_slli_epi16(o1, 4)), byte);
  const __m256i e1 = _mm256_and_si256(_mm256_sub_epi16(a, _mm256_slli_epi16(e2, 4)), byte);
  first = {e1, o1};
  second = {e2, o2};
}

// Epilogues: what becomes of the counts of output channels [channel, channel +
// count) of a pixel. `slot` counts registers of channels from the first channel on.
struct Threshold {
  uint64_t* y;
  int64_t pixel_words;
  bool merge;

  // Offsets: for each slot 16 int16 of the even channels, then the odd ones.
  static int64_t offset_bytes(int64_t groups, int64_t group_outputs) {
    return groups * div_up(group_outputs, kChannels) * kChannels * 2;
  }

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
    uint64_t* to = y + pixel * pixel_words;
    if (merge) return merge_bits(to, channel, bits);
    store(reinterpret_cast<char*>(to) + channel / 8, bits);
  }
};

struct Scale {
  float* y;
  int64_t outputs;
  const float* scale;
  const float* bias;

  // Offsets: one int32 for each channel, readable in whole slots.
  static int64_t offset_bytes(int64_t groups, int64_t group_outputs) {
    return (groups * group_outputs + kChannels) * 4;
  }

  static void pack_offsets(int64_t groups, int64_t group_outputs, const int32_t* offsets,
                           void* packed) {
    auto* to = static_cast<int32_t*>(packed);
    const int64_t outputs = groups * group_outputs;
    for (int64_t o = 0; o < outputs + kChannels; ++o) to[o] = o < outputs ? offsets[o] : 0;
  }

  SBN_TARGET_AVX2 SBN_INLINE void operator()(const Counts& counts, const void* offsets, int64_t,
                                             int64_t pixel, int64_t channel,
                                             int64_t count) const {
    const auto* products = static_cast<const int32_t*>(offsets) + channel;
    float* to = y + pixel * outputs + channel;
    // Channels 0..7 and 16..23, then 8..15 and 24..31.
    const __m256i low = _mm256_unpacklo_epi16(counts.even, counts.odd);
    const __m256i high = _mm256_unpackhi_epi16(counts.even, counts.odd);
    const __m128i eights[] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                              _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
    SBN_UNROLL
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t first = 8 * i;
      if (first >= count) return;
      const __m256i twice = _mm256_slli_epi32(_mm256_cvtepu16_epi32(eights[i]), 1);
      const __m256i dot = _mm256_sub_epi32(load256(products + first), twice);
      const __m256 value = _mm256_cvtepi32_ps(dot);
      if (count - first >= 8) {
        const __m256 factor = _mm256_loadu_ps(scale + channel + first);
        const __m256 addend = _mm256_loadu_ps(bias + channel + first);
        _mm256_storeu_ps(to + first, _mm256_fmadd_ps(value, factor, addend));
      } else {
        const __m256i numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i left = _mm256_set1_epi32(static_cast<int>(count - first));
        const __m256i lanes = _mm256_cmpgt_epi32(left, numbers);
        const __m256 factor = _mm256_maskload_ps(scale + channel + first, lanes);
        const __m256 addend = _mm256_maskload_ps(bias + channel + first, lanes);
        _mm256_maskstore_ps(to + first, lanes, _mm256_fmadd_ps(value, factor, addend));
      }
    }
  }
};

}  // namespace sbn::avx2
