// For clang 19 and newer; other compilers take what clang made of it, sme2_streaming.s. SME2 without
// SVE: with it, clang may use SVE outside streaming mode, which processors that have it in that mode
// only refuse (Apple's).
#include <arm_sme.h>

#include "base/attributes.h"

#define SBN_STREAMING __arm_streaming __arm_inout("za")
#include "kernels/product/sme2_streaming.h"

#pragma clang attribute push(__attribute__((target("sme2"), no_sanitize("all"))), \
                             apply_to = function)

namespace sbn::sme2 {
namespace {

// What a step does to the four tiles. The inverted weights give XOR for the XNOR of BMOPS.
struct Signs {
  template <int Tile>
  static SBN_INLINE void tile(svuint32_t x, svuint32_t w) SBN_STREAMING {
    svbmops_za32_u32_m(Tile, svptrue_b32(), svptrue_b32(), x, w);
  }
};
struct Bytes {
  template <int Tile>
  static SBN_INLINE void tile(svuint32_t x, svuint32_t w) SBN_STREAMING {
    svusmopa_za32_u8_m(Tile, svptrue_b8(), svptrue_b8(), svreinterpret_u8(x),
                       svreinterpret_s8(w));
  }
};
struct Floats {
  template <int Tile>
  static SBN_INLINE void tile(svuint32_t x, svuint32_t w) SBN_STREAMING {
    svmopa_za32_f32_m(Tile, svptrue_b32(), svptrue_b32(), svreinterpret_f32(x),
                      svreinterpret_f32(w));
  }
};

template <class Step>
SBN_INLINE void step(svuint32_t x, svuint32x4_t w) SBN_STREAMING {
  Step::template tile<0>(x, svget4(w, 0));
  Step::template tile<1>(x, svget4(w, 1));
  Step::template tile<2>(x, svget4(w, 2));
  Step::template tile<3>(x, svget4(w, 3));
}

// All steps of the positions from `at` on.
template <class Step>
SBN_INLINE void multiply(const Product& p, int64_t at, const uint32_t* w) SBN_STREAMING {
  const svbool_t some = svwhilelt_b32(at, p.positions);
  const svcount_t four = svptrue_c32();
  const uint32_t* x = p.x + at;
  const int64_t* end = p.steps + p.count;
  if (p.step_words == 2) {
    const uint32_t* next_x = x + p.plane;
    for (const int64_t* i = p.steps; i != end; ++i, w += 2 * kChannels) {
      const svuint32_t first = svld1(some, x + *i), second = svld1(some, next_x + *i);
      step<Step>(first, svld1_x4(four, w));
      step<Step>(second, svld1_x4(four, w + kChannels));
    }
  } else {
    for (const int64_t* i = p.steps; i != end; ++i, w += kChannels) {
      step<Step>(svld1(some, x + *i), svld1_x4(four, w));
    }
  }
}

// The offsets of positions from `first` of their tile on, and of channels from `channel` on.
SBN_INLINE void add_offsets(const Offsets& offsets, int64_t first, int64_t channel) SBN_STREAMING {
  const svbool_t all = svptrue_b32();
  const svuint32_t row = svld1ub_u32(all, offsets.row + first);
  for (int64_t i = 0; i < offsets.count; ++i) {
    const svbool_t mine = svcmpeq(all, row, static_cast<uint32_t>(i));
    const svint32x4_t values = svld1_x4(svptrue_c32(), offsets.rows[i] + channel);
    svaddha_za32_m(0, mine, all, svget4(values, 0));
    svaddha_za32_m(1, mine, all, svget4(values, 1));
    svaddha_za32_m(2, mine, all, svget4(values, 2));
    svaddha_za32_m(3, mine, all, svget4(values, 3));
  }
}

SBN_INLINE void store_signs(svint8_t row, char* to) SBN_STREAMING {
  *reinterpret_cast<svbool_t*>(to) = svcmplt(svptrue_b8(), row, int8_t{0});
}

// Which are negative, of four rows of each tile: 8 bytes from a row to the next one. A quarter of a
// vector has so many bytes.
template <int Quarter>
SBN_INLINE void store_bits(uint32_t row, char* to) SBN_STREAMING {
  const svint8_t t0 = svqcvt_s8(svread_hor_za32_s32_vg4(0, row));
  const svint8_t t1 = svqcvt_s8(svread_hor_za32_s32_vg4(1, row));
  const svint8_t t2 = svqcvt_s8(svread_hor_za32_s32_vg4(2, row));
  const svint8_t t3 = svqcvt_s8(svread_hor_za32_s32_vg4(3, row));
  // From the rows of a tile to the tiles of a row.
  svint8x4_t rows = svcreate4(t0, t1, t2, t3);
  switch (Quarter) {
    case 16: rows = svzipq(rows); break;
    case 8: rows = svreinterpret_s8_s64_x4(svzip(svreinterpret_s64_s8_x4(rows))); break;
    default: rows = svreinterpret_s8_s32_x4(svzip(svreinterpret_s32_s8_x4(rows))); break;
  }
  store_signs(svget4(rows, 0), to);
  store_signs(svget4(rows, 1), to + 8);
  store_signs(svget4(rows, 2), to + 16);
  store_signs(svget4(rows, 3), to + 24);
}

template <int Lanes>
SBN_INLINE void store_all_bits(char* to) SBN_STREAMING {
  SBN_UNROLL
  for (uint32_t row = 0; row < Lanes; row += 4) store_bits<Lanes>(row, to + 8 * row);
}

// Four rows of a tile.
SBN_INLINE void store_rows(svint32x4_t rows, int64_t lanes, int32_t* to) SBN_STREAMING {
  if (lanes == kGroup) return svst1(svptrue_c32(), to, rows);
  const svbool_t all = svptrue_b32();
  svst1(all, to, svget4(rows, 0));
  svst1(all, to + kGroup, svget4(rows, 1));
  svst1(all, to + 2 * kGroup, svget4(rows, 2));
  svst1(all, to + 3 * kGroup, svget4(rows, 3));
}

SBN_INLINE void store_sums(const Product& p, int64_t lanes, int64_t position,
                           int64_t channel) SBN_STREAMING {
  const auto place = [&](int64_t tile) {
    const int64_t first = channel + tile * lanes;
    return static_cast<int32_t*>(p.result) + (first / kGroup * p.room + position) * kGroup +
           first % kGroup;
  };
  int32_t* const to[] = {place(0), place(1), place(2), place(3)};
  SBN_ROLL
  for (uint32_t row = 0; row < lanes; row += 4) {
    const int64_t at = row * kGroup;
    store_rows(svread_hor_za32_s32_vg4(0, row), lanes, to[0] + at);
    store_rows(svread_hor_za32_s32_vg4(1, row), lanes, to[1] + at);
    store_rows(svread_hor_za32_s32_vg4(2, row), lanes, to[2] + at);
    store_rows(svread_hor_za32_s32_vg4(3, row), lanes, to[3] + at);
  }
}

}  // namespace

void sbn_sme2_product(const Product* product) SBN_STREAMING {
  const Product p = *product;  // which no result overwrites
  const int64_t lanes = static_cast<int64_t>(svcntw());
  for (int64_t channel = 0; channel < p.channels; channel += 4 * lanes) {
    const uint32_t* w = p.w + channel / kChannels * p.block + channel % kChannels;
    for (int64_t at = 0; at < p.positions; at += lanes) {
      svzero_za();
      if (p.offsets) add_offsets(p.offsets[at / kPositions], at % kPositions, p.channel + channel);
      switch (p.words) {
        case Words::signs: multiply<Signs>(p, at, w); break;
        case Words::bytes: multiply<Bytes>(p, at, w); break;
        case Words::floats: multiply<Floats>(p, at, w); break;
      }
      if (!p.offsets) {
        store_sums(p, lanes, at, channel);
        continue;
      }
      char* to = static_cast<char*>(p.result) + (channel / kChannels * p.room + at) * 8 +
                 channel % kChannels / 8;
      switch (lanes) {
        case 16: store_all_bits<16>(to); break;
        case 8: store_all_bits<8>(to); break;
        default: store_all_bits<4>(to); break;
      }
    }
  }
}

}  // namespace sbn::sme2

#pragma clang attribute pop
