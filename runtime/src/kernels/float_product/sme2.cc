// By FMOPA: rows of X are the positions, terms the words. NEON adds slices to the bias.
#include "kernels/product/sme2.h"

#include "kernels/registry.h"

namespace sbn::sme2 {
namespace {

// Of one stay in streaming mode: their planes lie on the stack.
constexpr int64_t kRows = 3 * kPositions;

// One row of 64 terms by 32 columns takes more instructions than with NEON alone (2,700 against
// 2,000), of 512 by 10 as many (10,700 against 10,500); 48 rows of 16 by 16 take half of them.
bool gains(const FloatProductShape& s) {
  return s.columns >= kGroup && s.terms * s.columns >= 1024;
}

// The terms [0, count) of `rows` rows.
void transpose(const float* x, int64_t x_step, int64_t rows, int64_t count, uint32_t* planes) {
  const auto* words = reinterpret_cast<const uint32_t*>(x);
  const int64_t whole = count / 4 * 4;
  to_planes(words, x_step, rows, whole, planes, kRows);
  for (int64_t k = whole; k < count; ++k) {
    const uint32_t* from = words + k;
    for (int64_t r = 0; r < rows; ++r) planes[k * kRows + r] = load<uint32_t>(from + r * x_step);
  }
}

// Adds the first `count` of 16 sums to as many of `from`.
SBN_INLINE void add_group(const float* from, const float* sums, int64_t count, float* to) {
  SBN_UNROLL
  for (int64_t i = 0; i < kGroup; i += 4) {
    if (i >= count) return;
    const float32x4_t before = neon::load_first<float32x4_t>(from + i, count - i);
    neon::store_first(to + i, vaddq_f32(before, load<float32x4_t>(sums + i)), count - i);
  }
}

// Adds the sums of `rows` rows and `columns` columns to the bias, or to what is there.
void add(const Results& results, int64_t room, int64_t rows, int64_t columns, const float* bias,
         float* y, int64_t y_step) {
  const auto* sums = reinterpret_cast<const float*>(results.data);
  for (int64_t c = 0; c < columns; c += kGroup, sums += room * kGroup) {
    for (int64_t r = 0; r < rows; ++r) {
      float* to = y + r * y_step + c;
      const float* from = bias ? bias + c : to;
      const int64_t count = columns - c;
      if (count >= kGroup) {
        add_group(from, sums + r * kGroup, kGroup, to);
      } else {
        add_group(from, sums + r * kGroup, count, to);
      }
    }
  }
}

void run(const FloatProductShape& s, const float* x, int64_t x_step, const void* weights,
         const float* bias, float* y, int64_t y_step, int64_t rows) {
  Results results;
  alignas(64) uint32_t planes[kSliceTerms * kRows];
  int64_t steps[kSliceTerms];
  for (int64_t k = 0; k < kSliceTerms; ++k) steps[k] = k * kRows;
  Product product = {};
  product.words = Words::floats;
  product.step_words = 1;
  product.x = planes;
  product.steps = steps;
  product.block = s.terms * kChannels;
  product.result = results.data;
  for (int64_t row = 0; row < rows; row += kRows) {
    product.positions = min(rows - row, kRows);
    product.room = div_up(product.positions, kPositions) * kPositions;
    const int64_t most = kSums / product.room * kChannels;
    for (int64_t first = 0; first < s.terms; first += kSliceTerms) {
      product.count = min(s.terms - first, kSliceTerms);
      transpose(x + row * x_step + first, x_step, product.positions, product.count, planes);
      for (int64_t c = 0; c < s.columns; c += most) {
        const int64_t columns = min(s.columns - c, most);
        product.channels = div_up(columns, kChannels) * kChannels;
        product.w = static_cast<const uint32_t*>(weights) + c * s.terms + first * kChannels;
        stream(product);
        add(results, product.room, product.positions, columns, first ? nullptr : bias + c,
            y + row * y_step + c, y_step);
      }
    }
  }
}

}  // namespace
}  // namespace sbn::sme2

namespace sbn {

const FloatProductKernel float_product_sme2 = {sme2::kChannels, sme2::run, sme2::gains};

}  // namespace sbn
