// Before: x → Conv(W, b) → y, in one or two spatial dimensions of float32 with constant W.
// After:  x → Transpose → Conv of the internal domain, which has the channels last → Transpose → y. Convolution,
//         pooling and whatever works channel by channel then reads and writes whole vectors, whatever the image's size;
//         sink_transposes makes the Transposes in between meet and cancel.

#include <utility>

#include "onnxforge/kernels/fused.h"

#include "layout.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

bool Covers(const ir::Graph& graph, const ir::Node& node) {
  if (!Is(node, "Conv") || node.outputs.size() != 1 || node.inputs.size() < 2) return false;
  const Type& x = graph.value(node.inputs[0]).type;
  const Tensor weights = ConstantInput(graph, node, 1);
  if (!weights.defined() || weights.dtype() != DType::kFloat32 || x.dtype != DType::kFloat32) return false;
  const size_t rank = weights.rank();
  return (rank == 3 || rank == 4) && weights.elements() != 0 && (RankOf(x) == rank || RankOf(x) == 0);
}

}  // namespace

bool UseChannelsLast(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& conv = graph.node(id);
    if (!Covers(graph, conv)) continue;
    const size_t rank = ConstantInput(graph, conv, 1).rank();
    const ir::ValueInfo& x = graph.value(conv.inputs[0]);
    const ir::ValueInfo& y = graph.value(conv.outputs[0]);
    ir::Node replacement = conv;
    replacement.domain = kInternalDomain;
    replacement.since_version = 1;
    replacement.inputs[0] = AddTranspose(patch, conv.inputs[0], x.name, x.type, ToLast(rank));
    const Type type = Permuted(y.type, ToLast(rank));
    replacement.outputs = {patch.AddValue(y.name, type)};
    patch.ReplaceUses(conv.outputs[0], AddTranspose(patch, replacement.outputs[0], y.name, type, ToFirst(rank)));
    patch.AddNode(std::move(replacement));
    patch.RemoveNode(id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
