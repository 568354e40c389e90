#include "kernels/product/wasm.h"

#include "kernels/conv/pairs.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = wasm;

// The index entries of 16 nibbles of two pixels: tables for even nibbles and odd ones, each in
// the low or high half of a byte.
SBN_INLINE void store_entries(v128_t nibbles, uint16_t* to) {
  store(to, wasm_i16x8_shl(wasm_u16x8_extend_low_u8x16(nibbles), 4));
  store(to + 8, wasm_i16x8_shl(wasm_u16x8_extend_high_u8x16(nibbles), 4));
}

// Entry c of a row: offsets of the tables for the nibbles of the pixels c and c + stride_w, which
// the same tap sees for two neighbouring outputs.
void build_index(const ConvShape& s, const uint64_t* padded_row, int64_t row, void* index) {
  using product::Digits;
  auto* to = reinterpret_cast<uint16_t*>(static_cast<char*>(index) +
                                         row * pairs::index_bytes<Digits>(s));
  const int64_t words = s.groups * s.group_words;
  const int64_t per_tap = pairs::digits_per_tap<Digits>(s);
  const v128_t low = wasm_i8x16_const_splat(15);
  for (int64_t column = 0; column < s.padded_w; ++column) {
    const uint64_t* first = padded_row + column * words;
    const uint64_t* second = padded_row + min(column + s.stride_w, s.padded_w - 1) * words;
    for (int64_t group = 0; group < s.groups; ++group, to += per_tap) {
      for (int64_t word = 0; word < s.group_words; ++word) {
        const v128_t a = wasm_v128_load64_zero(first++);
        const v128_t b = wasm_v128_load64_zero(second++);
        const v128_t even = wasm_v128_bitselect(a, wasm_i16x8_shl(b, 4), low);
        const v128_t odd = wasm_v128_bitselect(wasm_u16x8_shr(a, 4), b, low);
        store_entries(wasm_i8x16_shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
                                         22, 7, 23),
                      to + 16 * word);
      }
    }
  }
}

#define SBN_PAIRS_TARGET
#include "kernels/conv/pairs.inc"
#undef SBN_PAIRS_TARGET

}  // namespace

const ConvKernel conv_threshold_wasm =
    kernel<product::Threshold>(run_blocks<product::Threshold>);
const ConvKernel conv_float_wasm = kernel<product::Float>(run_blocks<product::Float>);

}  // namespace sbn
