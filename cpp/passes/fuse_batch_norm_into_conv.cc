// Before: x → Conv(W, b) → BatchNormalization(scale, bias, mean, variance) → y, all but x constant, nobody else reads
//         Conv's output, and the normalisation uses the given statistics (it is not training).
// After:  x → Conv(W · s, (b - mean) · s + bias) → y with s = scale / sqrt(variance + epsilon), per output channel.

#include <vector>

#include "onnxforge/ir/patch.h"

#include "batch_norm.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

/// What replaces Conv's weights and bias; undefined tensors when the pattern does not hold.
struct Fused {
  Tensor weights;
  Tensor bias;
};

Fused Fuse(const PassContext& context, const ir::Graph& graph, const ir::Node& conv, const ir::Node& norm) {
  if (!graph.IsConstant(Input(conv, 1))) return {};
  const Tensor& weights = graph.value(conv.inputs[1]).constant;
  if (weights.dtype() != DType::kFloat32 && weights.dtype() != DType::kFloat64) return {};
  if (weights.rank() < 3 || weights.elements() == 0) return {};
  const int64_t channels = weights.dim(0);
  const auto affine = AffineOf(graph, norm);
  if (!affine || affine->scale.size() != static_cast<size_t>(channels)) return {};
  std::vector<double> bias(static_cast<size_t>(channels), 0.0);
  if (Input(conv, 2).valid()) bias = ChannelNumbers(ConstantInput(graph, conv, 2), channels);
  if (bias.empty()) return {};
  for (size_t c = 0; c < bias.size(); ++c) bias[c] = bias[c] * affine->scale[c] + affine->shift[c];
  return {ScaledWeights(context, graph, conv, affine->scale), FromDoubles(weights.dtype(), bias)};
}

}  // namespace

bool FuseBatchNormIntoConv(ir::Graph& graph, const PassContext& context) {
  ir::Patch patch(graph);
  for (ir::NodeId conv_id : graph.order()) {
    const ir::Node& conv = graph.node(conv_id);
    if (!Is(conv, "Conv") || conv.outputs.size() != 1) continue;
    const ir::NodeId norm_id = OnlyReader(graph, conv.outputs[0]);
    if (!norm_id.valid()) continue;
    const ir::Node& norm = graph.node(norm_id);
    if (norm.inputs[0] != conv.outputs[0]) continue;
    const Fused fused = Fuse(context, graph, conv, norm);
    if (!fused.weights.defined()) continue;

    const ir::ValueInfo& result = graph.value(norm.outputs[0]);
    ir::Node replacement = conv;
    replacement.inputs.resize(3);
    replacement.inputs[1] = patch.AddConstant(graph.value(conv.inputs[1]).name, fused.weights);
    replacement.inputs[2] = patch.AddConstant(conv.name + ".bias", fused.bias);
    replacement.outputs = {patch.AddValue(result.name, result.type)};
    patch.ReplaceUses(norm.outputs[0], replacement.outputs[0]);
    patch.AddNode(std::move(replacement));
    patch.RemoveNode(conv_id);
    patch.RemoveNode(norm_id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
