// Before: x → Conv(W, b) → y, in one or two spatial dimensions of float32 with constant W; or QLinearConv of bytes.
// After:  x → Transpose → the same of the internal domain, which has the channels last → Transpose → y. Convolution,
//         pooling and whatever works channel by channel then reads and writes whole vectors, whatever the image's size;
//         sink_transposes makes the Transposes in between meet and cancel.

#include <utility>

#include "onnxforge/kernels/fused.h"

#include "layout.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

/// Whether images and filters have one or two spatial dimensions, as far as is known.
bool HaveRank(const Type& x, const Tensor& weights) {
  const size_t rank = weights.rank();
  return (rank == 3 || rank == 4) && weights.elements() != 0 && (RankOf(x) == rank || RankOf(x) == 0);
}

/// Scales and zero points that are known, one for each image and one or one per filter for the weights.
bool HasConstantGrids(const ir::Graph& graph, const ir::Node& node, int64_t filters) {
  for (const size_t i : {1, 2, 4, 5, 6, 7}) {
    const Tensor parameter = ConstantInput(graph, node, i);
    if (!parameter.defined() || parameter.rank() > 1) return false;
    if (parameter.elements() != 1 && (i != 4 && i != 5)) return false;
    if (parameter.elements() != 1 && parameter.elements() != filters) return false;
  }
  return IsByte(graph.value(node.inputs[7]).constant.dtype());
}

/// The filters of a convolution that is covered; undefined for anything else.
Tensor FiltersOf(const ir::Graph& graph, const ir::Node& node) {
  const bool bytes = Is(node, "QLinearConv");
  if ((!bytes && !Is(node, "Conv")) || node.outputs.size() != 1 || node.inputs.size() < (bytes ? 8 : 2)) return {};
  const Type& x = graph.value(node.inputs[0]).type;
  const Tensor weights = ConstantInput(graph, node, bytes ? 3 : 1);
  if (!weights.defined() || !HaveRank(x, weights)) return {};
  if (!bytes) return weights.dtype() == DType::kFloat32 && x.dtype == DType::kFloat32 ? weights : Tensor();
  const bool covered = IsByte(weights.dtype()) && IsByte(x.dtype) && HasConstantGrids(graph, node, weights.dim(0));
  return covered ? weights : Tensor();
}

}  // namespace

bool UseChannelsLast(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& conv = graph.node(id);
    const Tensor filters = FiltersOf(graph, conv);
    if (!filters.defined()) continue;
    const size_t rank = filters.rank();
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
