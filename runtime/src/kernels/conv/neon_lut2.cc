#include "kernels/product/neon_lut2.h"

#include "kernels/conv/pairs.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = neon_lut2;

// For each of 16 lanes of the index: the bytes of a word that its digit lies in, and how
// far to shift them. Lanes past the digits of a word are overwritten by the next one.
struct DigitLanes {
  uint8_t bytes[16][2];
  int16_t first_shift[16], second_shift[16];

  constexpr DigitLanes() : bytes(), first_shift(), second_shift() {
    for (int i = 0; i < product::Digits::kPerWord; ++i) {
      const int bit = i * product::Digits::kBits;
      bytes[i][0] = static_cast<uint8_t>(bit / 8), bytes[i][1] = static_cast<uint8_t>(bit / 8 + 1);
      first_shift[i] = static_cast<int16_t>(5 - bit % 8);
      second_shift[i] = static_cast<int16_t>(10 - bit % 8);
    }
  }
};
constexpr DigitLanes kLanes;

// Entry c of a row: offsets of the tables for the digits of the pixels c and c + stride_w,
// which the same tap sees for two neighbouring outputs.
void build_index(const ConvShape& s, const uint64_t* padded_row, int64_t row, void* index) {
  using product::Digits;
  auto* to = reinterpret_cast<uint16_t*>(static_cast<char*>(index) +
                                         row * pairs::index_bytes<Digits>(s));
  const int64_t words = s.groups * s.group_words;
  const int64_t left = s.group_channels % 64;
  const int64_t in_last_word = left ? div_up(left, Digits::kBits) : Digits::kPerWord;
  const auto lanes = [](const uint64_t* word, int half, const int16_t* shifts) {
    const uint8x16_t bytes = vcombine_u8(load<uint8x8_t>(word), vdup_n_u8(0));
    const auto from = load<uint8x16_t>(kLanes.bytes[8 * half]);
    const uint16x8_t some = vreinterpretq_u16_u8(vqtbl1q_u8(bytes, from));
    return vshlq_u16(some, load<int16x8_t>(shifts + 8 * half));
  };
  for (int64_t column = 0; column < s.padded_w; ++column) {
    const uint64_t* first = padded_row + column * words;
    const uint64_t* second = padded_row + min(column + s.stride_w, s.padded_w - 1) * words;
    for (int64_t group = 0; group < s.groups; ++group) {
      for (int64_t word = 0; word < s.group_words; ++word, ++first, ++second) {
        SBN_UNROLL
        for (int half = 0; half < 2; ++half) {
          const uint16x8_t a = vandq_u16(lanes(first, half, kLanes.first_shift),
                                         vdupq_n_u16(0x1f << 5));
          const uint16x8_t b = vandq_u16(lanes(second, half, kLanes.second_shift),
                                         vdupq_n_u16(0x1f << 10));
          store(to + 8 * half, vorrq_u16(a, b));
        }
        to += word + 1 < s.group_words ? Digits::kPerWord : in_last_word;
      }
    }
  }
}

#define SBN_PAIRS_TARGET
#include "kernels/conv/pairs.inc"
#undef SBN_PAIRS_TARGET

}  // namespace

const ConvKernel conv_threshold_neon_lut2 =
    kernel<product::Threshold>(run_blocks<product::Threshold>);
const ConvKernel conv_float_neon_lut2 =
    kernel<product::Float<false>>(run_either<product::Float<true>, product::Float<false>>);

}  // namespace sbn
