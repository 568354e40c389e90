// What onnxruntime calls.
#include "ort/ops.h"
#include "sbn.h"

namespace sbn::ort {
namespace {

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
extern "C" SBN_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                                   const OrtApiBase* ort) {
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
