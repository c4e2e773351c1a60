#include "transform.h"

#include <algorithm>

#include "onnxforge/base/error.h"

#include "check.h"
#include "import_model.h"
#include "import_tensor.h"
#include "save.h"
#include "schemas.h"
#include "upstream.h"
#include "walk.h"

namespace onnxforge::io {
namespace {

/// Shapes and axes that inference must read are small; weights stay where they are.
constexpr size_t kEmbedded = 4096;

void EmbedSmallTensors(onnx::ModelProto& model, const ExternalData& external) {
  ForEachTensor(model, [&](onnx::TensorProto& tensor, bool) {
    if (IsExternal(tensor) && RawSize(tensor) <= kEmbedded) Embed(tensor, external);
  });
}

/// Upstream follows a list of known length element by element, one message each. Lists that long are data, not shapes.
constexpr int64_t kMaxFollowedByUpstream = int64_t{1} << 16;

bool IsLongList(const onnx::TypeProto& type) {
  if (!type.has_tensor_type() || type.tensor_type().shape().dim_size() != 1) return false;
  return type.tensor_type().shape().dim(0).dim_value() > kMaxFollowedByUpstream;
}

bool HasLongList(const onnx::GraphProto& graph) {
  const auto any = [](const auto& infos) {
    return std::any_of(infos.begin(), infos.end(), [](const auto& info) { return IsLongList(info.type()); });
  };
  return any(graph.input()) || any(graph.value_info()) || any(graph.output());
}

}  // namespace

std::shared_ptr<const onnx::ModelProto> InferModelShapes(const onnx::ModelProto& model, const ExternalData& external,
                                                         bool strict, bool data_propagation) {
  auto inferred = std::make_shared<onnx::ModelProto>(model);
  EmbedSmallTensors(*inferred, external);
  const auto infer = [&](onnx::ModelProto& proto, bool follow) {
    CallUpstream(ErrorCode::kInvalidModel, "ONNX's shape inference", [&] {
      onnx::shape_inference::DataValueMap values;
      onnx::shape_inference::InferShapes(proto, onnx::OpSchemaRegistry::Instance(),
                                         onnx::ShapeInferenceOptions(strict, strict ? 1 : 0, follow), &values);
    });
  };
  if (data_propagation) {
    auto first = std::make_shared<onnx::ModelProto>(*inferred);
    infer(*first, false);
    if (HasLongList(first->graph())) return first;
  }
  infer(*inferred, data_propagation);
  return inferred;
}

std::shared_ptr<const onnx::ModelProto> ConvertModelVersion(const std::shared_ptr<const onnx::ModelProto>& model,
                                                            const ExternalData& external, int64_t target_opset) {
  const int newest = onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  Require(target_opset >= 1 && target_opset <= newest, ErrorCode::kInvalidArgument, "cannot convert to version ",
          target_opset, " of the operator set 'ai.onnx': there are versions 1 to ", newest);
  // The converter trusts its input.
  CheckModel(model, external, false);
  auto converted = std::make_shared<onnx::ModelProto>();
  CallUpstream(ErrorCode::kUnsupported, "ONNX's version converter", [&] {
    onnx::ModelProto source = *model;
    ForEachTensor(source, [&](onnx::TensorProto& tensor, bool) {
      if (IsExternal(tensor) && (BytesInOwnFile(tensor) || RawSize(tensor) <= kEmbedded)) Embed(tensor, external);
    });
    *converted = onnx::version_conversion::ConvertVersion(source, static_cast<int>(target_opset));
  });
  Require(converted->has_graph(), ErrorCode::kUnsupported,
          "ONNX's version converter cannot read a model of IR version ", model->ir_version());
  // It leaves out what it does not look at.
  if (converted->functions_size() == 0) *converted->mutable_functions() = model->functions();
  if (converted->metadata_props_size() == 0) *converted->mutable_metadata_props() = model->metadata_props();
  return converted;
}

}  // namespace onnxforge::io
