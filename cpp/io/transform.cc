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

/// Some exporters write -1 for an extent that they do not know, which upstream takes for a number.
bool IsOpenExtent(const onnx::TensorShapeProto::Dimension& dim) { return dim.has_dim_value() && dim.dim_value() == -1; }

bool HasOpenExtents(const onnx::GraphProto& graph) {
  const auto any = [](const auto& infos) {
    return std::any_of(infos.begin(), infos.end(), [](const auto& info) {
      const auto& dims = info.type().tensor_type().shape().dim();
      return std::any_of(dims.begin(), dims.end(), IsOpenExtent);
    });
  };
  return any(graph.input()) || any(graph.value_info()) || any(graph.output());
}

/// Leaves them out, as the standard has it.
void LeaveOutOpenExtents(onnx::GraphProto& graph) {
  for (auto* infos : {graph.mutable_input(), graph.mutable_value_info(), graph.mutable_output()}) {
    for (auto& info : *infos) {
      if (!info.type().has_tensor_type() || !info.type().tensor_type().has_shape()) continue;
      for (auto& dim : *info.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim()) {
        if (IsOpenExtent(dim)) dim.clear_dim_value();
      }
    }
  }
}

std::shared_ptr<const onnx::ModelProto> WithoutOpenExtents(const std::shared_ptr<const onnx::ModelProto>& model) {
  if (!HasOpenExtents(model->graph())) return model;
  auto out = std::make_shared<onnx::ModelProto>(*model);
  LeaveOutOpenExtents(*out->mutable_graph());
  return out;
}

}  // namespace

std::shared_ptr<const onnx::ModelProto> InferModelShapes(const onnx::ModelProto& model, const ExternalData& external,
                                                         bool strict, bool data_propagation) {
  auto inferred = std::make_shared<onnx::ModelProto>(model);
  LeaveOutOpenExtents(*inferred->mutable_graph());
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

std::shared_ptr<const onnx::ModelProto> ConvertModelVersion(const std::shared_ptr<const onnx::ModelProto>& given,
                                                            const ExternalData& external, int64_t target_opset) {
  const int newest = onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  Require(target_opset >= 1 && target_opset <= newest, ErrorCode::kInvalidArgument, "cannot convert to version ",
          target_opset, " of the operator set 'ai.onnx': there are versions 1 to ", newest);
  const std::shared_ptr<const onnx::ModelProto> model = WithoutOpenExtents(given);
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
