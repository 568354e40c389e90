// Runs every kernel of the table that this machine has on random problems and
// compares it bit for bit with the definition of its op. Inputs end at a page that
// cannot be read, or are unaligned.
//
//   kernel_test [problems per kernel] [seed] [part of the kernels' names]
#include <stdio.h>
#include <stdlib.h>

#include "product_tests.h"
#include "sign_tests.h"
#include "window_tests.h"
#if SBN_SME2
#include "stream_test.h"
#endif

namespace sbn::test {
namespace {

// Inner sizes 1 to 1025: all of them where `problems` is large enough.
void test_row(const KernelRow& row, int64_t problems, uint64_t seed) {
  Random random(seed);
  for (int64_t i = 0; i < problems; ++i) {
    const int64_t inner = problems >= 1025 ? i % 1025 + 1 : uniform(random, 1, 1025);
    if (is_conv(row.op)) {
      test_conv(row, random, random_conv(random));
      test_conv(row, random, pointwise(inner, uniform(random, 1, 40)));
      test_conv(row, random, pointwise(uniform(random, 1, 70), inner));
      if (i % 32 == 0) test_conv(row, random, large_conv(random));
    } else if (is_dense(row.op)) {
      test_dense(row, random, dense_shape(uniform(random, 1, 9), inner, uniform(random, 1, 40)));
      test_dense(row, random, dense_shape(1, uniform(random, 1, 200), inner));
      if (i % 8 == 0) test_dense(row, random, dense_shape(uniform(random, 10, 40), inner, inner / 4 + 1));
    } else if (is_pixel_conv(row.op)) {
      test_pixel_conv(row, random, inner % 200 + 1);
    } else if (row.op == Op::max_pool || row.op == Op::quantized_max_pool) {
      test_max_pool(row, random, inner);
    } else if (row.op == Op::float_max_pool || row.op == Op::float_depthwise_conv) {
      test_window(row, random, inner % 150 + 1);
    } else if (row.op == Op::float_product) {
      test_float_product(row, random, inner % 600 + 1);
      test_single_rounding(row, random);
    } else if (row.op == Op::quantize) {
      test_quantize(row, random, uniform(random, 1, 5), inner);
    } else if (row.op == Op::quantize_linear) {
      test_quantize_linear(row, random, inner);
    } else if (row.op == Op::stochastic_sign) {
      // 100 problems meet all of 130 channel counts.
      test_stochastic_sign(row, random, i % 130 + 1);
      test_stochastic_sign(row, random, (i + 65) % 130 + 1);
    } else {
      test_pack(row, random, uniform(random, 1, 5), inner);
    }
  }
}

}  // namespace
}  // namespace sbn::test

int main(int argc, char** argv) {
  using namespace sbn;
  const int64_t problems = argc > 1 ? atoll(argv[1]) : 100;
  const uint64_t seed = argc > 2 ? strtoull(argv[2], nullptr, 10) : 0;
  const char* wanted = argc > 3 ? argv[3] : "";
  for (size_t i = 0; i < kKernelCount; ++i) {
    const KernelRow& row = kKernelTable[i];
    if (!strstr(row.name, wanted)) continue;
    if (!kernel_available(row)) {
      printf("skipped %s: not on this machine\n", row.name);
      continue;
    }
    test::test_row(row, problems, seed);
    printf("tested %s\n", row.name);
  }
#if SBN_SME2
  if (isa_available(Isa::sme2)) test::test_stream();
#endif
  printf("fastest kernel set: %s\n", isa_name(current_isa()));
  printf("%d failures\n", test::g_failures);
  return test::g_failures ? 1 : 0;
}
