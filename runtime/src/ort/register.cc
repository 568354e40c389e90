// The functions that the library exports.
#include "base/cycle_chain.h"
#include "kernels/cpu.h"
#include "ort/custom_op.h"
#include "ort/max_pool_op.h"
#include "ort/pack_ops.h"
#include "ort/pixel_conv_op.h"
#include "ort/product_ops.h"
#include "ort/stochastic_sign_op.h"
#include "ort/window_ops.h"
#include "sbn.h"

#define SBN_EXPORT extern "C" __attribute__((visibility("default")))

namespace sbn::ort {

Api g_api;

namespace {

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

Status* register_ops(const Api& api, SessionOptions* options) {
  CustomOpDomain* domain = nullptr;
  SBN_TRY(api.CreateCustomOpDomain(kDomain, &domain));
  Status* failure = nullptr;
  for (const RegisteredOp& op : kOps) {
    if (!failure) failure = api.CustomOpDomain_Add(domain, static_cast<const CustomOp*>(&op));
  }
  if (!failure) failure = api.AddCustomOpDomain(options, domain);
  if (failure) api.ReleaseCustomOpDomain(domain);
  return failure;
}

}  // namespace
}  // namespace sbn::ort

// The domain belongs to the process: sessions use it for as long as the library is loaded.
SBN_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* ort) {
  using namespace sbn::ort;
  const auto* base = reinterpret_cast<const ApiBase*>(ort);
  Status* failure = nullptr;
  if (const void* table = base->get_api(kApiVersion)) {
    g_api = Api(table);
    failure = register_ops(g_api, reinterpret_cast<SessionOptions*>(options));
  } else {
    // Version 1 of the API can at least say so.
    const Api oldest(base->get_api(1));
    sbn::Message text;
    text << "libsbn needs onnxruntime 1.17 or newer, this is " << base->version()
         << "; upgrade onnxruntime";
    failure = oldest.CreateStatus(ErrorCode::kNotImplemented, text.text());
  }
  return reinterpret_cast<OrtStatus*>(failure);
}

SBN_EXPORT const char* sbn_version() { return SBN_VERSION; }

SBN_EXPORT const char* sbn_isa() { return sbn::isa_name(sbn::current_isa()); }

SBN_EXPORT int sbn_isa_available(const char* name) {
  sbn::Isa isa;
  return sbn::isa_of_name(name, &isa) && sbn::isa_available(isa);
}

SBN_EXPORT int sbn_set_isa(const char* name) {
  if (!*name) {
    sbn::set_best_isa();
    return 0;
  }
  sbn::Isa isa;
  if (!sbn::isa_of_name(name, &isa)) return 1;
  if (!sbn::isa_available(isa)) return 2;
  sbn::set_isa(isa);
  return 0;
}

SBN_EXPORT int64_t sbn_run_cycles(int64_t cycles) {
  const int64_t rounds = cycles / sbn::kChainCycles;
  sbn::run_cycle_chain(rounds);
  return rounds * sbn::kChainCycles;
}
