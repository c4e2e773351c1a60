// Before: x [N, C, H, W] → Reshape [N, g, C/g, H, W] → Transpose of axes 1 and 2 → Reshape [N, C, H, W] → y.
// After:  x → Transpose to channels last → Reshape [N, H, W, g, C/g] → Transpose of the last two → Reshape → Transpose
//         back → y: the outer Transposes cancel against those of the convolutions around.

#include <array>
#include <utility>
#include <vector>

#include "onnxforge/ir/patch.h"

#include "layout.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

/// The nodes of a shuffle, from its first Reshape on.
struct Shuffle {
  ir::ValueId x;
  ir::ValueId y;
  Shape split;  // [N, g, C/g, H, W]
};

bool Find(const ir::Graph& graph, const ir::Node& last, Shuffle& shuffle) {
  if (!Is(last, "Reshape")) return false;
  const ir::NodeId transpose_id = graph.producer(last.inputs[0]);
  if (!transpose_id.valid()) return false;
  const ir::Node& transpose = graph.node(transpose_id);
  if (!Is(transpose, "Transpose") || transpose.attributes.Ints("perm") != std::vector<int64_t>{0, 2, 1, 3, 4}) {
    return false;
  }
  const ir::NodeId first_id = graph.producer(transpose.inputs[0]);
  if (!first_id.valid() || !Is(graph.node(first_id), "Reshape")) return false;
  const ir::Node& first = graph.node(first_id);
  if (OnlyReader(graph, first.outputs[0]) != transpose_id || IsOutput(graph, last.outputs[0])) return false;
  const auto x = graph.value(first.inputs[0]).type.StaticShape();
  const auto split = graph.value(first.outputs[0]).type.StaticShape();
  const auto y = graph.value(last.outputs[0]).type.StaticShape();
  if (!x || !split || !y || x->rank() != 4 || split->rank() != 5 || *y != *x) return false;
  if ((*split)[0] != (*x)[0] || (*split)[3] != (*x)[2] || (*split)[4] != (*x)[3]) return false;
  shuffle = {first.inputs[0], last.outputs[0], *split};
  return true;
}

/// The batch is left open: the one that a model declares within may be older than that of its inputs.
ir::ValueId AddReshape(ir::Patch& patch, ir::ValueId x, const std::string& name, DType dtype, const Shape& shape) {
  std::vector<int64_t> open(shape.begin(), shape.end());
  open[0] = 0;  // as many as x has
  ir::Node node;
  node.name = name + ".reshape";
  node.op_type = "Reshape";
  node.since_version = 13;
  node.inputs = {x, patch.AddConstant(name + ".shape", Tensor::FromVector(open))};
  node.outputs = {patch.AddValue(name, Type::Tensor(dtype, shape))};
  const ir::ValueId y = node.outputs[0];
  patch.AddNode(std::move(node));
  return y;
}

}  // namespace

bool UseChannelShuffle(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    Shuffle s;
    if (!Find(graph, graph.node(id), s)) continue;
    const ir::ValueInfo& x = graph.value(s.x);
    const ir::ValueInfo& y = graph.value(s.y);
    const auto& [n, g, per, h, w] = std::array<int64_t, 5>{s.split[0], s.split[1], s.split[2], s.split[3], s.split[4]};
    const DType dtype = x.type.dtype;
    ir::ValueId v = AddTranspose(patch, s.x, x.name, x.type, ToLast(4));
    v = AddReshape(patch, v, y.name, dtype, {n, h, w, g, per});
    v = AddTranspose(patch, v, y.name, Type::Tensor(dtype, Shape{n, h, w, g, per}), {0, 1, 2, 4, 3});
    v = AddReshape(patch, v, y.name, dtype, {n, h, w, g * per});
    v = AddTranspose(patch, v, y.name, Type::Tensor(dtype, Shape{n, h, w, g * per}), ToFirst(4));
    patch.ReplaceUses(s.y, v);
    patch.RemoveNode(id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
