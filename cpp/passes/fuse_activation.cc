// Before: x → Op → Activation → y, with Op a Conv, MatMul, Gemm or Affine of the internal domain (or a Gemm or MatMul
//         that becomes one), the activation a function of one number, and nobody else reading between them.
// After:  x → Op with the activation as an attribute → y: it is applied while the result is in a register or in the
//         first-level cache.

#include <limits>
#include <utility>

#include "onnxforge/ir/patch.h"
#include "onnxforge/kernels/fused.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

bool CanCarry(const ir::Graph& graph, const ir::Node& node) {
  if (node.attributes.Has("activation") || node.attributes.Has("post_scale")) return false;
  if (node.attributes.Int("residual_last", 0) != 0) return false;
  if (IsInternal(node, "Conv") || IsInternal(node, "MatMul") || IsInternal(node, "Affine")) return true;
  const bool product = Is(node, "MatMul") || Is(node, "Gemm");
  return product && node.inputs.size() >= 2 && IsFloat32(graph, node.inputs[0]) && IsFloat32(graph, node.inputs[1]);
}

std::optional<Activation> ActivationOf(const ir::Graph& graph, const ir::Node& node) {
  if (IsInternal(node, "FakeQuantize")) {
    return Activation{node.attributes.String("activation", ""), node.attributes.Float("activation_alpha", 0.0f),
                      node.attributes.Float("activation_beta", 0.0f)};
  }
  if (!node.domain.empty() || node.outputs.size() != 1) return std::nullopt;
  std::vector<Tensor> constants;
  for (size_t i = 0; i < node.inputs.size(); ++i) constants.push_back(ConstantInput(graph, node, i));
  size_t count = node.inputs.size();
  while (count > 0 && !node.inputs[count - 1].valid()) --count;
  // Clip without a lower bound leaves its input out between two others.
  if (Is(node, "Clip") && count == 3 && !node.inputs[1].valid()) {
    constants[1] = Tensor::Scalar(-std::numeric_limits<float>::infinity());
  }
  return onnxforge::ActivationOf(node.op_type, node.since_version, node.attributes, count, constants);
}

/// Bounds are applied before a function: they cannot follow one, and follow each other only where there is need.
bool SetActivation(ir::Node& node, const Activation& activation) {
  const bool bounds = activation.name == "Relu" || activation.name == "Clip";
  if (!bounds) {
    node.attributes.Set("activation", activation.name);
    node.attributes.Set("activation_alpha", activation.alpha);
    node.attributes.Set("activation_beta", activation.beta);
    return true;
  }
  if (node.attributes.Has("lo")) return false;
  const bool relu = activation.name == "Relu";
  node.attributes.Set("lo", relu ? 0.0f : activation.alpha);
  node.attributes.Set("hi", relu ? std::numeric_limits<float>::infinity() : activation.beta);
  return true;
}

}  // namespace

bool FuseActivation(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& producer = graph.node(id);
    if (producer.outputs.size() != 1 || !CanCarry(graph, producer)) continue;
    const ir::NodeId reader = OnlyReader(graph, producer.outputs[0]);
    if (!reader.valid()) continue;
    const ir::Node& node = graph.node(reader);
    const auto activation = ActivationOf(graph, node);
    if (!activation || node.inputs[0] != producer.outputs[0]) continue;
    ir::Node fused = producer;
    if (!SetActivation(fused, *activation)) continue;
    const ir::ValueInfo& result = graph.value(node.outputs[0]);
    if (fused.domain.empty()) {
      fused.domain = kInternalDomain;
      fused.since_version = 1;
    }
    fused.outputs = {patch.AddValue(result.name, result.type)};
    patch.ReplaceUses(node.outputs[0], fused.outputs[0]);
    patch.AddNode(std::move(fused));
    patch.RemoveNode(id);
    patch.RemoveNode(reader);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
