#include "ort/ops.h"

#include "ort/max_pool_op.h"
#include "ort/pack_ops.h"
#include "ort/pixel_conv_op.h"
#include "ort/product_ops.h"
#include "ort/stochastic_sign_op.h"
#include "ort/window_ops.h"

namespace sbn::ort {

Api g_api;

constexpr RegisteredOp kOps[] = {
    Adapter<PackOp>::op(kPack),
    Adapter<PackThresholdOp>::op(kPackThreshold),
    Adapter<UnpackOp>::op(kUnpack),
    Adapter<MaxPoolOp<Op::max_pool>>::op(kMaxPool),
    Adapter<ConvOp<Finish::kThreshold>>::op(kConvThreshold),
    Adapter<ConvOp<Finish::kScale>>::op(kConvScale),
    Adapter<ConvOp<Finish::kClamp>>::op(kConvScaleClamp),
    Adapter<ConvOp<Finish::kPRelu>>::op(kConvScalePRelu),
    Adapter<ConvOp<Finish::kIntegers>>::op(kConvQuantize),
    Adapter<ConvOp<Finish::kResidual>>::op(kConvResidual),
    Adapter<ConvOp<Finish::kActivate>>::op(kConvActivate),
    Adapter<DenseOp<Finish::kThreshold>>::op(kDenseThreshold),
    Adapter<DenseOp<Finish::kScale>>::op(kDenseScale),
    Adapter<DenseOp<Finish::kClamp>>::op(kDenseScaleClamp),
    Adapter<DenseOp<Finish::kPRelu>>::op(kDenseScalePRelu),
    Adapter<DenseOp<Finish::kIntegers>>::op(kDenseQuantize),
    Adapter<DenseOp<Finish::kResidual>>::op(kDenseResidual),
    Adapter<DenseOp<Finish::kActivate>>::op(kDenseActivate),
    Adapter<PixelConvOp<Finish::kThreshold>>::op(kPixelConvThreshold),
    Adapter<PixelConvOp<Finish::kScale>>::op(kPixelConvScale),
    Adapter<PixelConvOp<Finish::kClamp>>::op(kPixelConvScaleClamp),
    Adapter<FloatMaxPoolOp>::op(kFloatMaxPool),
    Adapter<FloatDepthwiseConvOp>::op(kFloatDepthwiseConv),
    Adapter<PixelConvOp<Finish::kIntegers>>::op(kPixelConvQuantize),
    Adapter<QuantizeOp>::op(kQuantize),
    Adapter<MaxPoolOp<Op::quantized_max_pool>>::op(kQuantizedMaxPool),
    Adapter<StochasticSignOp>::op(kStochasticSign),
};
static_assert(sizeof kOps / sizeof *kOps == kOpCount, "every specified operator is registered");

}  // namespace sbn::ort
