#include "batch_norm.h"

#include <cmath>

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

template <typename T>
void ScaleRows(const Tensor& weights, const std::vector<double>& scale, Tensor& out) {
  const int64_t row = weights.elements() / weights.dim(0);
  const T* from = weights.data<T>();
  T* to = out.data<T>();
  for (const double s : scale) {
    for (int64_t i = 0; i < row; ++i) to[i] = static_cast<T>(static_cast<double>(from[i]) * s);
    from += row;
    to += row;
  }
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

Tensor ScaledRows(const Tensor& weights, const std::vector<double>& scale) {
  Tensor out = Tensor::Allocate(weights.dtype(), weights.shape());
  weights.dtype() == DType::kFloat64 ? ScaleRows<double>(weights, scale, out) : ScaleRows<float>(weights, scale, out);
  return out;
}

}  // namespace onnxforge::passes
