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

const ConvKernel conv_threshold_avx2 = kernel<product::Threshold>();
const ConvKernel conv_scale_avx2 = kernel<product::Float<Finish::kScale>>();
const ConvKernel conv_scale_clamp_avx2 = kernel<product::Float<Finish::kClamp>>();
const ConvKernel conv_scale_prelu_avx2 = kernel<product::Float<Finish::kPRelu>>();
const ConvKernel conv_quantize_avx2 = kernel<product::Float<Finish::kQuantize>>();
const ConvKernel conv_residual_avx2 = kernel<product::Float<Finish::kResidual>>();
const ConvKernel conv_activate_avx2 = kernel<product::Float<Finish::kActivate>>();

}  // namespace sbn
