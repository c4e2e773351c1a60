#include "check.h"

#include <limits>
#include <string>

#include "onnxforge/base/error.h"

#include "function_body.h"
#include "import_model.h"
#include "import_tensor.h"
#include "import_type.h"
#include "save.h"
#include "schemas.h"
#include "transform.h"
#include "upstream.h"
#include "walk.h"

namespace onnxforge::io {
namespace {

/// A declared type is only a hint to us, but one that no tensor can have is a fault of the model.
template <typename TensorType>
void CheckTensorType(const std::string& name, const TensorType& type) {
  int64_t elements = 1;
  for (int i = 0; i < type.shape().dim_size(); ++i) {
    const auto& dim = type.shape().dim(i);
    if (!dim.has_dim_value()) continue;
    const int64_t extent = dim.dim_value();
    Require(extent >= 0, ErrorCode::kInvalidModel, "the declared shape of '", Utf8(name), "' has the extent ", extent,
            " in axis ", i, "; leave an unknown extent out, or give it a name");
    Require(extent == 0 || elements <= std::numeric_limits<int64_t>::max() / 16 / extent, ErrorCode::kInvalidModel,
            "the declared shape of '", Utf8(name), "' has more elements than can be counted");
    if (extent != 0) elements *= extent;
  }
}

void CheckDeclaredType(const std::string& name, const onnx::TypeProto& type) {
  if (type.has_tensor_type()) CheckTensorType(name, type.tensor_type());
  if (type.has_sparse_tensor_type()) CheckTensorType(name, type.sparse_tensor_type());
  if (type.has_sequence_type()) CheckDeclaredType(name, type.sequence_type().elem_type());
  if (type.has_optional_type()) CheckDeclaredType(name, type.optional_type().elem_type());
  if (type.has_map_type()) CheckDeclaredType(name, type.map_type().value_type());
}

void CheckDeclaredTypes(const onnx::GraphProto& graph) {
  for (const auto& info : graph.input()) CheckDeclaredType(info.name(), info.type());
  for (const auto& info : graph.output()) CheckDeclaredType(info.name(), info.type());
  for (const auto& info : graph.value_info()) CheckDeclaredType(info.name(), info.type());
  for (const auto& node : graph.node()) {
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) CheckDeclaredTypes(attribute.g());
    }
  }
}

/// Imports the model as if every operator had a kernel: names, order, tensors and their data are what is looked at.
void CheckStructure(const std::shared_ptr<const onnx::ModelProto>& model, const ExternalData& external) {
  const LocalFunctions functions(model);
  onnx::NodeProto call;
  ImportModel(model, external, [&](std::string_view domain, std::string_view op_type, int) {
    call.set_domain(std::string(domain));
    call.set_op_type(std::string(op_type));
    return functions.Find(call) == nullptr;
  });
}

/// Upstream's checker looks for external files by rules of its own (no link at all); ours have been checked by then, so
/// that it gets to see empty tensors in their place.
std::shared_ptr<const onnx::ModelProto> WithoutExternalData(const std::shared_ptr<const onnx::ModelProto>& model) {
  if (!HasExternalData(*model)) return model;
  auto copy = std::make_shared<onnx::ModelProto>(*model);
  ForEachTensor(*copy, [](onnx::TensorProto& tensor, bool) {
    if (!IsExternal(tensor)) return;
    tensor.clear_external_data();
    tensor.clear_data_location();
    tensor.clear_dims();
    tensor.add_dims(0);
  });
  return copy;
}

}  // namespace

void CheckModel(const std::shared_ptr<const onnx::ModelProto>& model, const ExternalData& external, bool full) {
  CheckDeclaredTypes(model->graph());
  CheckStructure(model, external);
  CallUpstream(ErrorCode::kInvalidModel, "ONNX's checker",
               [&] { onnx::checker::check_model(*WithoutExternalData(model)); });
  if (full) InferModelShapes(*model, external, true, false);
}

}  // namespace onnxforge::io
