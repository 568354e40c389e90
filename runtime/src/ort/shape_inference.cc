#include "ort/shape_inference.h"

namespace sbn::ort {
namespace {

// Numbers the names of unknown dimensions: two dimensions of one name would be taken
// to be equal, and one without a name to be of size -1.
int64_t g_unknown_dimensions = 0;

}  // namespace

Status* Inference::input(size_t index, KnownShape* shape) const {
  // The context owns what it hands out here.
  TensorInfo* info = nullptr;
  SBN_TRY(api.ShapeInferContext_GetInputTypeShape(context, index, &info));
  size_t rank = 0;
  SBN_TRY(api.GetDimensionsCount(info, &rank));
  if (rank > kMaxRank) return nullptr;
  SBN_TRY(api.GetDimensions(info, shape->dims, rank));
  SBN_TRY(api.GetSymbolicDimensions(info, shape->names, rank));
  shape->rank = rank;
  return nullptr;
}

bool Inference::attributes(int64_t* values) const {
  for (size_t i = 0; i < spec.attribute_count; ++i) {
    const AttributeSpec& attribute = spec.attributes[i];
    const Attribute* found = nullptr;
    Status* failure = api.ShapeInferContext_GetAttribute(context, attribute.name, &found);
    if (!failure) {
      const size_t bytes = static_cast<size_t>(attribute.values()) * sizeof(int64_t);
      const AttributeType type = attribute.length ? AttributeType::kInts : AttributeType::kInt;
      size_t read = 0;
      failure = api.ReadOpAttr(found, type, static_cast<void*>(values), bytes, &read);
      if (!failure && read != bytes) return false;
    }
    if (failure) {
      api.ReleaseStatus(failure);
      return false;
    }
    for (int64_t j = 0; j < attribute.values(); ++j, ++values) {
      if (!attribute.limits[j].hold(*values)) return false;
    }
  }
  return true;
}

Status* Inference::output(size_t index, const KnownShape& shape) const {
  TensorInfo* info = nullptr;
  SBN_TRY(api.CreateTensorTypeAndShapeInfo(&info));
  const char* names[kMaxRank];
  Message made_up[kMaxRank];
  for (size_t i = 0; i < shape.rank; ++i) {
    names[i] = shape.names[i];
    if (shape.known(i) || names[i][0]) continue;
    made_up[i] << "sbn_unknown_" << __atomic_fetch_add(&g_unknown_dimensions, 1, __ATOMIC_RELAXED);
    names[i] = made_up[i].text();
  }
  Status* failure = api.SetTensorElementType(info, spec.outputs[index].type);
  if (!failure) failure = api.SetDimensions(info, shape.dims, shape.rank);
  if (!failure) failure = api.SetSymbolicDimensions(info, names, shape.rank);
  if (!failure) failure = api.ShapeInferContext_SetOutputTypeShape(context, index, info);
  api.ReleaseTensorTypeAndShapeInfo(info);
  return failure;
}

}  // namespace sbn::ort
