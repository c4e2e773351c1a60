// Before: d = x - ReduceMean(x); y = d / Sqrt(ReduceMean(d · d) + epsilon) · scale + bias, the means over the last
// axis;
//         or, without a mean, y = x / Sqrt(ReduceMean(x · x) + epsilon) · scale.
// After:  x → LayerNormalization or RMSNormalization → y.

#include <optional>
#include <utility>

#include "onnxforge/ir/patch.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

class LayerNormMatcher {
 public:
  explicit LayerNormMatcher(const ir::Graph& graph) : graph_(graph) {}

  struct Match {
    ir::ValueId x;
    bool centred = false;
    float epsilon = 0.0f;
    Tensor scale;
    Tensor bias;
  };

  /// `id`: the Add of the bias, or, for the form without a mean, the Mul with the scale.
  std::optional<Match> Find(const ir::Node& last) const {
    Match match;
    const ir::Node* scaled = &last;
    if (Is(last, "Add")) {
      const size_t side = RowSide(last);
      if (side > 1) return std::nullopt;
      match.bias = ConstantInput(graph_, last, side);
      scaled = Maker(graph_, last.inputs[1 - side], "Mul");
    }
    if (scaled == nullptr || !Is(*scaled, "Mul")) return std::nullopt;
    const size_t side = RowSide(*scaled);
    if (side > 1) return std::nullopt;
    match.scale = ConstantInput(graph_, *scaled, side);
    if (!Normalised(scaled->inputs[1 - side], match)) return std::nullopt;
    const bool complete =
        match.centred ? match.bias.defined() && match.bias.shape() == match.scale.shape() : !match.bias.defined();
    return complete ? std::optional(match) : std::nullopt;
  }

 private:
  /// Which input is a constant row; 2 where none is.
  size_t RowSide(const ir::Node& node) const {
    for (size_t i = 0; i < 2 && node.inputs.size() == 2; ++i) {
      const Tensor row = ConstantInput(graph_, node, i);
      if (row.defined() && row.dtype() == DType::kFloat32 && row.rank() == 1) return i;
    }
    return 2;
  }

  /// ReduceMean over the last axis alone, which is kept.
  bool IsMeanOfLast(const ir::Node& node) const {
    std::vector<int64_t> axes = node.attributes.Ints("axes");
    if (Input(node, 1).valid()) {
      const Tensor given = ConstantInput(graph_, node, 1);
      if (given.defined()) axes = given.To<int64_t>();
    }
    const Type& type = graph_.value(node.inputs[0]).type;
    if (axes.size() != 1 || node.attributes.Int("keepdims", 1) == 0) return false;
    return axes[0] == -1 || (type.shape && axes[0] + 1 == static_cast<int64_t>(type.shape->size()));
  }

  /// d / Sqrt(…), or d · Reciprocal(Sqrt(…)) and d · (1 / Sqrt(…)).
  bool Normalised(ir::ValueId id, Match& match) const {
    if (const ir::Node* div = Maker(graph_, id, "Div")) return Deviates(div->inputs[0], div->inputs[1], match);
    const ir::Node* mul = Maker(graph_, id, "Mul");
    if (mul == nullptr) return false;
    for (size_t i = 0; i < 2; ++i) {
      const ir::Node* reciprocal = Maker(graph_, mul->inputs[i], "Reciprocal");
      const ir::Node* division = Maker(graph_, mul->inputs[i], "Div");
      if (reciprocal != nullptr && Deviates(mul->inputs[1 - i], reciprocal->inputs[0], match)) return true;
      if (division != nullptr && ConstantNumber(graph_, *division, 0) == 1.0 &&
          Deviates(mul->inputs[1 - i], division->inputs[1], match)) {
        return true;
      }
    }
    return false;
  }

  bool Deviates(ir::ValueId d, ir::ValueId deviation, Match& match) const {
    const ir::Node* sqrt = Maker(graph_, deviation, "Sqrt");
    const ir::Node* add = sqrt == nullptr ? nullptr : Maker(graph_, sqrt->inputs[0], "Add");
    if (add == nullptr) return false;
    for (size_t i = 0; i < 2; ++i) {
      const auto epsilon = ConstantNumber(graph_, *add, i);
      const ir::Node* mean = Maker(graph_, add->inputs[1 - i], "ReduceMean");
      if (!epsilon || mean == nullptr || !IsMeanOfLast(*mean)) continue;
      const ir::Node* square = Maker(graph_, mean->inputs[0], "Mul");
      if (square == nullptr || square->inputs[0] != d || square->inputs[1] != d) continue;
      match.epsilon = static_cast<float>(*epsilon);
      return Centre(d, match);
    }
    return false;
  }

  bool Centre(ir::ValueId d, Match& match) const {
    match.x = d;
    const ir::Node* sub = Maker(graph_, d, "Sub");
    const ir::Node* mean = sub == nullptr ? nullptr : Maker(graph_, sub->inputs[1], "ReduceMean");
    match.centred = mean != nullptr && mean->inputs[0] == sub->inputs[0] && IsMeanOfLast(*mean);
    if (match.centred) match.x = sub->inputs[0];
    return true;
  }

  const ir::Graph& graph_;
};

}  // namespace

bool FuseLayerNorm(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  const LayerNormMatcher matcher(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& last = graph.node(id);
    if ((!Is(last, "Add") && !Is(last, "Mul")) || !IsFloat32(graph, last.outputs[0])) continue;
    const auto match = matcher.Find(last);
    if (!match || !HaveSameShape(graph, match->x, last.outputs[0])) continue;
    const ir::ValueInfo& result = graph.value(last.outputs[0]);
    ir::Node node;
    node.name = last.name;
    node.op_type = match->centred ? "LayerNormalization" : "RMSNormalization";
    node.since_version = match->centred ? 17 : 23;
    node.attributes.Set("axis", int64_t{-1});
    node.attributes.Set("epsilon", match->epsilon);
    node.inputs = {match->x, patch.AddConstant(last.name + ".scale", match->scale)};
    if (match->centred) node.inputs.push_back(patch.AddConstant(last.name + ".bias", match->bias));
    node.outputs = {patch.AddValue(result.name, result.type)};
    patch.ReplaceUses(last.outputs[0], node.outputs[0]);
    patch.AddNode(std::move(node));
    patch.RemoveNode(id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
