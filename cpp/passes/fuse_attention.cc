// Before: MatMul(Softmax(MatMul(Q, Transpose(K)) · scale + mask), V), the scale at the product, at Q or at K, the mask
//         or the scale left out; Q, K, V and the result each in [batch, heads, length, width], or a Transpose away from
//         [batch, length, heads, width].
// After:  Q, K, V, mask → internal Attention → result; those Transposes are left to whoever else reads them.

#include <optional>
#include <utility>
#include <vector>

#include "onnxforge/ir/patch.h"
#include "onnxforge/kernels/fused.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

/// A tensor by head, in the layout that its maker has.
struct Heads {
  ir::ValueId value;
  bool swapped = false;  // [batch, length, heads, width]
};

class AttentionMatcher {
 public:
  explicit AttentionMatcher(const ir::Graph& graph) : graph_(graph) {}

  struct Match {
    Heads q, k, v, y;
    ir::ValueId mask;
    double alpha = 1.0;
  };

  /// `product`: the MatMul of weights and values.
  std::optional<Match> Find(const ir::Node& product) const {
    Match match;
    const ir::Node* softmax = OnlyMaker(product.inputs[0], "Softmax");
    if (softmax == nullptr || !IsOverLast(*softmax)) return std::nullopt;
    if (!Scores(softmax->inputs[0], match)) return std::nullopt;
    match.v = HeadsOf(product.inputs[1]);
    match.y = {product.outputs[0]};
    const ir::NodeId reader = OnlyReader(graph_, product.outputs[0]);
    if (reader.valid() && SwapsMiddle(graph_.node(reader))) match.y = {graph_.node(reader).outputs[0], true};
    for (const ir::ValueId id : {match.q.value, match.k.value, match.v.value}) {
      if (!IsFloat32(graph_, id) || Rank(id) != 4) return std::nullopt;
    }
    // A product over no elements at all is left to MatMul.
    if (WidthOf(match.q.value) <= 0 && WidthOf(match.k.value) <= 0) return std::nullopt;
    return match;
  }

 private:
  /// The same of a value that goes when its reader goes.
  const ir::Node* OnlyMaker(ir::ValueId id, std::string_view op_type) const {
    return OnlyReader(graph_, id).valid() ? Maker(graph_, id, op_type) : nullptr;
  }

  size_t Rank(ir::ValueId id) const {
    const Type& type = graph_.value(id).type;
    return type.shape ? type.shape->size() : 0;
  }
  int64_t WidthOf(ir::ValueId id) const { return graph_.value(id).type.shape->back().value.value_or(-1); }

  bool IsOverLast(const ir::Node& softmax) const {
    const int64_t axis = softmax.attributes.Int("axis", softmax.since_version < 13 ? 1 : -1);
    return Rank(softmax.inputs[0]) == 4 && (axis == 3 || axis == -1);
  }

  static bool Permutes(const ir::Node& node, const std::vector<int64_t>& perm) {
    return Is(node, "Transpose") && node.attributes.Ints("perm") == perm;
  }
  static bool SwapsMiddle(const ir::Node& node) { return Permutes(node, {0, 2, 1, 3}); }

  Heads HeadsOf(ir::ValueId id) const {
    const ir::Node* transpose = Maker(graph_, id, "Transpose");
    return transpose != nullptr && SwapsMiddle(*transpose) ? Heads{transpose->inputs[0], true} : Heads{id};
  }

  /// Steps over products with numbers, and divisions by them.
  ir::ValueId Unscaled(ir::ValueId id, double& alpha) const {
    for (bool more = true; more;) {
      more = false;
      const ir::Node* mul = OnlyMaker(id, "Mul");
      const ir::Node* div = OnlyMaker(id, "Div");
      for (size_t i = 0; mul != nullptr && i < 2 && !more; ++i) {
        if (const auto number = ConstantNumber(graph_, *mul, i)) {
          alpha *= *number;
          id = mul->inputs[1 - i];
          more = true;
        }
      }
      const auto divisor = div == nullptr ? std::nullopt : ConstantNumber(graph_, *div, 1);
      if (divisor && *divisor != 0) {
        alpha /= *divisor;
        id = div->inputs[0];
        more = true;
      }
    }
    return id;
  }

  bool Scores(ir::ValueId id, Match& match) const {
    if (Products(id, match)) return true;
    const ir::Node* add = OnlyMaker(id, "Add");
    if (add == nullptr || add->inputs.size() != 2) return false;
    for (size_t i = 0; i < 2; ++i) {
      const size_t mask_rank = Rank(add->inputs[1 - i]);
      const bool has_rank = graph_.value(add->inputs[1 - i]).type.shape.has_value() && mask_rank <= 4;
      if (!has_rank || !IsFloat32(graph_, add->inputs[1 - i]) || !Products(add->inputs[i], match)) continue;
      match.mask = add->inputs[1 - i];
      return true;
    }
    return false;
  }

  /// The scaled product of queries and keys.
  bool Products(ir::ValueId id, Match& match) const {
    double alpha = 1.0;
    const ir::Node* product = OnlyMaker(Unscaled(id, alpha), "MatMul");
    if (product == nullptr) return false;
    match.q = HeadsOf(Unscaled(product->inputs[0], alpha));
    const ir::Node* turned = Maker(graph_, Unscaled(product->inputs[1], alpha), "Transpose");
    if (turned == nullptr) return false;
    if (Permutes(*turned, {0, 2, 3, 1})) {
      match.k = {turned->inputs[0], true};
    } else if (Permutes(*turned, {0, 1, 3, 2})) {
      match.k = HeadsOf(Unscaled(turned->inputs[0], alpha));
    } else {
      return false;
    }
    match.alpha = alpha;
    return true;
  }

  const ir::Graph& graph_;
};

}  // namespace

bool FuseAttention(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  const AttentionMatcher matcher(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& product = graph.node(id);
    if (!Is(product, "MatMul")) continue;
    const auto match = matcher.Find(product);
    if (!match) continue;
    const ir::ValueInfo& result = graph.value(match->y.value);
    ir::Node node;
    node.name = product.name;
    node.domain = kInternalDomain;
    node.op_type = "Attention";
    node.since_version = 1;
    node.attributes.Set("alpha", static_cast<float>(match->alpha));
    const std::pair<const char*, const Heads*> layouts[] = {
        {"Q_swapped", &match->q}, {"K_swapped", &match->k}, {"V_swapped", &match->v}, {"Y_swapped", &match->y}};
    for (const auto& [name, heads] : layouts) node.attributes.Set(name, int64_t{heads->swapped});
    node.inputs = {match->q.value, match->k.value, match->v.value};
    if (match->mask.valid()) node.inputs.push_back(match->mask);
    node.outputs = {patch.AddValue(result.name, result.type)};
    patch.ReplaceUses(match->y.value, node.outputs[0]);
    patch.RemoveNode(graph.producer(match->y.value));
    patch.AddNode(std::move(node));
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
