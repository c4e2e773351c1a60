// Before: x → QuantizeLinear → DequantizeLinear → y, both with the same scale and zero point, one each, in eight bits.
// After:  x → FakeQuantize of the internal domain → y: the same numbers without a stop in memory, and an activation for
//         the multiplication before.

#include <utility>

#include "onnxforge/ir/patch.h"
#include "onnxforge/kernels/fused.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

struct Grid {
  DType dtype = DType::kUndefined;
  float scale = 0.0f;
  float zero = 0.0f;

  bool usable() const { return (dtype == DType::kInt8 || dtype == DType::kUInt8) && scale > 0.0f; }
  friend bool operator==(const Grid& a, const Grid& b) {
    return a.dtype == b.dtype && a.scale == b.scale && a.zero == b.zero;
  }
};

/// The grid that a QuantizeLinear or DequantizeLinear works with; not usable where it is not one constant pair.
Grid GridOf(const ir::Graph& graph, const ir::Node& node, DType dtype) {
  const Tensor scale = ConstantInput(graph, node, 1);
  if (!scale.defined() || scale.dtype() != DType::kFloat32 || scale.elements() != 1) return {};
  if (node.attributes.Int("block_size", 0) != 0 || node.attributes.Int("precision", 0) > 1) return {};
  Grid grid{dtype, *scale.data<float>(), 0.0f};
  if (Input(node, 2).valid()) {
    const Tensor zero = ConstantInput(graph, node, 2);
    if (!zero.defined() || zero.elements() != 1 || !IsInteger(zero.dtype())) return {};
    grid.dtype = zero.dtype();
    grid.zero = static_cast<float>(zero.To<int64_t>()[0]);
  }
  return grid;
}

}  // namespace

bool FuseQuantizePair(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& back = graph.node(id);
    if (!Is(back, "DequantizeLinear") || back.inputs.size() < 2) continue;
    const ir::NodeId producer = graph.producer(back.inputs[0]);
    if (!producer.valid() || !Is(graph.node(producer), "QuantizeLinear")) continue;
    const ir::Node& there = graph.node(producer);
    const Grid grid = GridOf(graph, there, DType::kUInt8);
    if (!grid.usable() || !(GridOf(graph, back, grid.dtype) == grid) || !IsFloat32(graph, there.inputs[0])) continue;
    if (there.attributes.Has("output_dtype") || back.attributes.Int("output_dtype", 1) > 1) continue;
    const ir::ValueInfo& result = graph.value(back.outputs[0]);
    ir::Node node;
    node.name = back.name;
    node.domain = kInternalDomain;
    node.op_type = "FakeQuantize";
    node.since_version = 1;
    node.inputs = {there.inputs[0]};
    node.attributes.Set("activation",
                        std::string(grid.dtype == DType::kInt8 ? "FakeQuantizeInt8" : "FakeQuantizeUInt8"));
    node.attributes.Set("activation_alpha", grid.scale);
    node.attributes.Set("activation_beta", grid.zero);
    node.outputs = {patch.AddValue(result.name, result.type)};
    patch.ReplaceUses(back.outputs[0], node.outputs[0]);
    patch.AddNode(std::move(node));
    patch.RemoveNode(id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
