// Before: x → Pow(·, c) → y, with c = 1/2, 2 or 3 in float32.
// After:  x → Sqrt, or x · x, or x · x · x → y. The root of -∞ is NaN, where C's pow has ∞; NumPy and PyTorch take the
// same short cut.

#include <utility>

#include "onnxforge/ir/patch.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

ir::Node Like(const ir::Node& pow, const char* op_type, std::vector<ir::ValueId> inputs, ir::ValueId output) {
  ir::Node node;
  node.name = pow.name;
  node.op_type = op_type;
  node.since_version = 13;
  node.inputs = std::move(inputs);
  node.outputs = {output};
  return node;
}

}  // namespace

bool SimplifyPow(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& pow = graph.node(id);
    if (!Is(pow, "Pow") || pow.since_version < 7 || !IsFloat32(graph, pow.inputs[0])) continue;
    const auto exponent = ConstantNumber(graph, pow, 1);
    const Type& type = graph.value(pow.inputs[0]).type;
    // An exponent with more axes than x would give the result more.
    if (!exponent || !type.shape || ConstantInput(graph, pow, 1).rank() > type.shape->size()) continue;
    const ir::ValueId x = pow.inputs[0];
    const ir::ValueInfo& result = graph.value(pow.outputs[0]);
    if (*exponent != 0.5 && *exponent != 2.0 && *exponent != 3.0) continue;
    const ir::ValueId y = patch.AddValue(result.name, result.type);
    if (*exponent == 0.5) {
      patch.AddNode(Like(pow, "Sqrt", {x}, y));
    } else if (*exponent == 2.0) {
      patch.AddNode(Like(pow, "Mul", {x, x}, y));
    } else {
      const ir::ValueId square = patch.AddValue(result.name + ".square", result.type);
      patch.AddNode(Like(pow, "Mul", {x, x}, square));
      patch.AddNode(Like(pow, "Mul", {square, x}, y));
    }
    patch.ReplaceUses(pow.outputs[0], y);
    patch.RemoveNode(id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
