#include "kernels/conv/nibble_index.h"
#include "kernels/product/avx512bw.h"
#include "kernels/registry.h"

namespace sbn {
namespace {

namespace product = avx512bw;
using pairs::build_index;

#define SBN_PAIRS_TARGET SBN_TARGET_AVX512BW
#include "kernels/conv/pairs.inc"
#undef SBN_PAIRS_TARGET

}  // namespace

const ConvKernel conv_threshold_avx512bw =
    kernel<product::Threshold>(run_blocks<product::Threshold>);
const ConvKernel conv_float_avx512bw = kernel<product::Float>(run_blocks<product::Float>);

}  // namespace sbn
