#include "kernels/conv/nibble_index.h"
#include "kernels/product/avx2.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = avx2;
using pairs::build_index;

#define SBN_PAIRS_TARGET SBN_TARGET_AVX2
#include "kernels/conv/pairs.inc"
#undef SBN_PAIRS_TARGET

}  // namespace

const ConvKernel conv_threshold_avx2 =
    kernel<product::Threshold>(run_blocks<product::Threshold>);
const ConvKernel conv_float_avx2 =
    kernel<product::Float>(run_either<product::StraightFloat, product::Float>);

}  // namespace sbn
