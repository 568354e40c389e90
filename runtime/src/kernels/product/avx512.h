// The AVX-512 product: kPixels pixels by 8 * Registers output channels.
//
// The 64-bit lanes of a register are output channels; a word of a pixel is
// broadcast to all of them. Per 512 bits: vpxorq (p05), vpopcntq (p5), vpaddq
// (p05) on Intel since Ice Lake, so 1.5 cycles, 341 MAC a cycle; the same on Zen 4.
// The tile of 4 x 4 registers needs 8 loads for 48 of these instructions.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "base/arithmetic.h"
#include "base/attributes.h"
#include "base/avx512.h"
#include "base/bits.h"
#include "kernels/product/avx512_float.h"

namespace sbn::avx512 {

constexpr int64_t kPixels = 4;
constexpr int64_t kBlock = 32;
constexpr int64_t kHalfBlock = 16;

// Of each pair of registers the first computes the even channels of 16 and the
// second the odd ones, so that both are joined by a shift into 32-bit lanes in order.
struct Layout {
  static constexpr int64_t kLanes = kBlock;
  static constexpr int64_t lanes(int64_t left) { return left > kHalfBlock ? kBlock : kHalfBlock; }
  static constexpr int64_t channel(int64_t lane) {
    return lane / 16 * 16 + lane % 8 * 2 + lane / 8 % 2;
  }
};

template <int Pixels, int Registers>
using Tile = __m512i[Pixels][Registers];

template <int Pixels, int Registers>
SBN_TARGET_AVX512 SBN_INLINE void clear(Tile<Pixels, Registers>& tile) {
  SBN_UNROLL
  for (int p = 0; p < Pixels; ++p) {
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) tile[p][r] = _mm512_setzero_si512();
  }
}

// Adds the mismatches of `length` words from x[p] + at on; returns the weights that
// come next. The broadcast is written as an instruction: gcc 12 would load each word
// once for two steps and move registers around instead.
template <int Pixels, int Registers>
SBN_TARGET_AVX512 SBN_INLINE const uint64_t* accumulate(Tile<Pixels, Registers>& tile,
                                                        const uint64_t* const (&x)[Pixels],
                                                        int64_t at, const uint64_t* w,
                                                        int64_t length) {
  for (const int64_t end = at + length; at < end; ++at, w += 8 * Registers) {
    __m512i weights[Registers];
    SBN_UNROLL
    for (int r = 0; r < Registers; ++r) weights[r] = _mm512_loadu_si512(w + 8 * r);
    SBN_UNROLL
    for (int p = 0; p < Pixels; ++p) {
      __m512i word;
      __asm__("vpbroadcastq %1, %0" : "=v"(word) : "m"(x[p][at]));
      SBN_UNROLL
      for (int r = 0; r < Registers; ++r) {
        const __m512i different = _mm512_popcnt_epi64(_mm512_xor_si512(weights[r], word));
        tile[p][r] = _mm512_add_epi64(tile[p][r], different);
      }
    }
  }
  return w;
}

// The mismatches of 16 channels in order, from a pair of registers: the second one's lower halves
// go to the upper halves of the first.
SBN_TARGET_AVX512 SBN_INLINE __m512i join(const __m512i* pair) {
  return _mm512_mask_shuffle_epi32(pair[0], 0xaaaa, pair[1], _MM_PERM_CCAA);
}

// Epilogues: what becomes of the mismatches of output channels
// [channel, channel + count) of pixels [pixel, pixel + Pixels). `offsets` are rows of offsets, from
// this channel on.
template <int Registers>
SBN_INLINE void store_bits(const Output& out, int64_t pixel, int64_t channel, uint32_t bits) {
  uint64_t* to = out.bits(pixel);
  if (out.merge) return merge_bits(to, channel, bits);
  char* bytes = reinterpret_cast<char*>(to) + channel / 8;
  if (Registers == 4) {
    store(bytes, bits);
  } else {
    store(bytes, static_cast<uint16_t>(bits));
  }
}

struct Threshold {
  Output out;

  template <int Pixels, int Registers>
  SBN_TARGET_AVX512 SBN_INLINE void operator()(const Tile<Pixels, Registers>& mismatches,
                                               const int32_t* const (&offsets)[Pixels],
                                               int64_t pixel, int64_t channel,
                                               int64_t count) const {
    SBN_UNROLL
    for (int p = 0; p < Pixels; ++p) {
      uint32_t bits = 0;
      SBN_UNROLL
      for (int r = 0; r < Registers; r += 2) {
        const __m512i limit = _mm512_loadu_si512(offsets[p] + 8 * r);
        bits |= bits_of(_mm512_cmpgt_epi32_mask(join(mismatches[p] + r), limit)) << (8 * r);
      }
      store_bits<Registers>(out, pixel + p, channel,
                            bits & static_cast<uint32_t>(low_bits(count)));
    }
  }
};

template <int Registers>
struct BlockSigns {
  static SBN_INLINE void store(const Output& out, int64_t pixel, int64_t channel, uint64_t bits) {
    store_bits<Registers>(out, pixel, channel, static_cast<uint32_t>(bits));
  }
};

struct Float {
  Output out;

  template <int Pixels, int Registers>
  SBN_TARGET_AVX512 SBN_INLINE void operator()(const Tile<Pixels, Registers>& mismatches,
                                               const int32_t* const (&offsets)[Pixels],
                                               int64_t pixel, int64_t channel,
                                               int64_t count) const {
    const auto dot = [&](int p, int i) SBN_TARGET_AVX512 {
      const __m512i twice = _mm512_slli_epi32(join(mismatches[p] + 2 * i), 1);
      return _mm512_sub_epi32(_mm512_loadu_si512(offsets[p] + 16 * i), twice);
    };
    using Signs = BlockSigns<Registers>;
    if constexpr (Pixels == 4 && Registers == 4) {
      finish_few<Signs, 4, 2>(out, pixel, channel, count, dot(0, 0), dot(0, 1), dot(1, 0), dot(1, 1),
                          dot(2, 0), dot(2, 1), dot(3, 0), dot(3, 1));
    } else if constexpr (Pixels == 4) {
      finish_few<Signs, 4, 1>(out, pixel, channel, count, dot(0, 0), dot(1, 0), dot(2, 0), dot(3, 0));
    } else if constexpr (Registers == 4) {
      finish_few<Signs, 1, 2>(out, pixel, channel, count, dot(0, 0), dot(0, 1));
    } else {
      finish_few<Signs, 1, 1>(out, pixel, channel, count, dot(0, 0));
    }
  }
};

// An int32 is exact in a float up to here.
constexpr int64_t kMaxProducts = int64_t{1} << 24;

// Rows of offsets are read in whole blocks, from any channel on.
SBN_INLINE int64_t offset_bytes(int64_t outputs) { return (outputs + kBlock) * 4; }

inline void pack_offsets(int64_t outputs, const int32_t* offsets, void* packed) {
  auto* to = static_cast<int32_t*>(packed);
  for (int64_t o = 0; o < outputs + kBlock; ++o) to[o] = o < outputs ? offsets[o] : 0;
}

}  // namespace sbn::avx512
