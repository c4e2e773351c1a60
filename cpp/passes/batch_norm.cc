#include "batch_norm.h"

#include <cmath>
#include <optional>

#include "evaluate.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

bool IsInferenceBatchNorm(const ir::Graph& graph, const ir::Node& node) {
  if (!Is(node, "BatchNormalization") || node.inputs.size() != 5 || node.outputs.empty()) return false;
  // Before version 7 the attribute is_test says what version 14's training_mode says; spatial is 7's and 8's last
  // trace.
  if (node.since_version < 7 && node.attributes.Int("is_test", 0) == 0) return false;
  if (node.attributes.Int("training_mode", 0) != 0 || node.attributes.Int("spatial", 1) != 1) return false;
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    if (IsUsed(graph, node.outputs[i])) return false;
  }
  return true;
}

}  // namespace

std::vector<double> ChannelNumbers(const Tensor& tensor, int64_t channels) {
  if (!tensor.defined() || tensor.rank() != 1 || tensor.dim(0) != channels || !IsFloating(tensor.dtype())) return {};
  return tensor.To<double>();
}

std::optional<ChannelAffine> AffineOf(const ir::Graph& graph, const ir::Node& node) {
  if (!IsInferenceBatchNorm(graph, node)) return std::nullopt;
  const Tensor first = ConstantInput(graph, node, 1);
  if (!first.defined() || first.rank() != 1) return std::nullopt;
  std::vector<double> parameters[4];
  for (size_t i = 0; i < 4; ++i) {
    parameters[i] = ChannelNumbers(ConstantInput(graph, node, i + 1), first.dim(0));
    if (parameters[i].empty()) return std::nullopt;
  }
  const auto& [scale, bias, mean, variance] = parameters;
  const double epsilon = static_cast<double>(node.attributes.Float("epsilon", 1e-5f));
  ChannelAffine affine;
  for (size_t c = 0; c < scale.size(); ++c) {
    const double factor = scale[c] / std::sqrt(variance[c] + epsilon);
    if (!std::isfinite(factor)) return std::nullopt;
    affine.scale.push_back(factor);
    affine.shift.push_back(bias[c] - mean[c] * factor);
  }
  return affine;
}

Tensor FromDoubles(DType dtype, const std::vector<double>& numbers) {
  if (dtype == DType::kFloat64) return Tensor::FromVector(numbers);
  return Tensor::FromVector(std::vector<float>(numbers.begin(), numbers.end()));
}

Tensor ScaledWeights(const PassContext& context, const ir::Graph& graph, const ir::Node& node,
                     const std::vector<double>& scale) {
  const ir::ValueId id = node.inputs[1];
  const Tensor& weights = graph.value(id).constant;
  Shape rows = weights.shape();
  for (size_t axis = 1; axis < rows.rank(); ++axis) rows[axis] = 1;
  std::optional<size_t> spent;
  if (OnlyReader(graph, id).valid() && weights.IsHeldBy(1)) spent = 0;
  return Evaluate(context, "Mul", 14, {}, {weights, FromDoubles(weights.dtype(), scale).Reshaped(rows)}, spent);
}

}  // namespace onnxforge::passes
