// Before: y = x · g(x) written out, in whatever order the factors come: x · Sigmoid(x); x · (1 + Erf(x / √2)) / 2;
//         x · (1 + Tanh(√(2/π) · (x + 0.044715 · x³))) / 2; x · Clip(x + 3, 0, 6) / 6; x · HardSigmoid(x) with 1/6,
//         1/2.
// After:  x → Swish, Gelu or HardSwish → y.

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/ir/patch.h"

#include "layout.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

bool IsClose(double a, double b) { return std::fabs(a - b) <= 1e-4 * std::fabs(b); }

/// A product: a number and the values it is multiplied with.
struct Product {
  double number = 1.0;
  std::vector<ir::ValueId> values;
};

/// What takes the place of a product: an operator of one input.
struct Gated {
  const char* op_type;
  int since_version;
  bool tanh = false;
};

class GateMatcher {
 public:
  explicit GateMatcher(const ir::Graph& graph) : graph_(graph) {}

  /// y = x · g, both found.
  struct Match {
    ir::ValueId x;
    Gated gated;
  };

  std::optional<Match> Find(ir::ValueId y) const {
    // The gate is a factor; what it is a gate of is not taken apart itself.
    for (ir::ValueId gate : Factors(y, {}).values) {
      const auto [x, whole] = GateOf(gate);
      if (!x.valid()) continue;
      const Product product = Factors(y, x);
      if (product.values.size() != 2) continue;
      const bool found = (product.values[0] == x && product.values[1] == gate) ||
                         (product.values[1] == x && product.values[0] == gate);
      if (found && IsClose(product.number, whole.number)) return Match{x, whole.gated};
    }
    return std::nullopt;
  }

 private:
  static constexpr int kDepth = 4;

  /// `id` as a product, down to `stop` and to what no Mul or Div by a number makes.
  Product Factors(ir::ValueId id, ir::ValueId stop, int depth = kDepth) const {
    Product product;
    Collect(id, stop, depth, product);
    return product;
  }

  void Collect(ir::ValueId id, ir::ValueId stop, int depth, Product& product) const {
    const ir::Node* mul = id == stop || depth == 0 ? nullptr : Maker(graph_, id, "Mul");
    const ir::Node* div = id == stop || depth == 0 ? nullptr : Maker(graph_, id, "Div");
    if (mul != nullptr) {
      for (size_t i = 0; i < 2; ++i) {
        const auto number = ConstantNumber(graph_, *mul, i);
        if (number) {
          product.number *= *number;
        } else {
          Collect(mul->inputs[i], stop, depth - 1, product);
        }
      }
    } else if (div != nullptr && ConstantNumber(graph_, *div, 1)) {
      product.number /= *ConstantNumber(graph_, *div, 1);
      Collect(div->inputs[0], stop, depth - 1, product);
    } else {
      product.values.push_back(id);
    }
  }

  /// The value besides a number that is added to it; invalid where it is not such a sum.
  ir::ValueId Summand(const ir::Node& add, double number) const {
    for (size_t i = 0; i < 2; ++i) {
      const auto constant = ConstantNumber(graph_, add, i);
      if (constant && IsClose(*constant, number)) return add.inputs[1 - i];
    }
    return {};
  }

  struct Whole {
    double number;  // what x · gate is multiplied with
    Gated gated;
  };

  /// What `gate` is a gate of, and of which kind.
  std::pair<ir::ValueId, Whole> GateOf(ir::ValueId gate) const {
    const ir::NodeId producer = graph_.producer(gate);
    if (!producer.valid()) return {};
    const ir::Node& node = graph_.node(producer);
    if (Is(node, "Sigmoid")) return {node.inputs[0], {1.0, {"Swish", 24}}};
    if (Is(node, "HardSigmoid") && IsClose(node.attributes.Float("alpha", 0.2f), 1.0 / 6) &&
        IsClose(node.attributes.Float("beta", 0.5f), 0.5)) {
      return {node.inputs[0], {1.0, {"HardSwish", 14}}};
    }
    if (Is(node, "Clip")) return {HardSwishArgument(node), {1.0 / 6, {"HardSwish", 14}}};
    if (Is(node, "Add")) return GeluGate(node);
    return {};
  }

  ir::ValueId HardSwishArgument(const ir::Node& clip) const {
    const bool by_input = clip.since_version >= 11;
    const double low = by_input ? ConstantNumber(graph_, clip, 1).value_or(-1.0)
                                : static_cast<double>(clip.attributes.Float("min", -1.0f));
    const double high = by_input ? ConstantNumber(graph_, clip, 2).value_or(-1.0)
                                 : static_cast<double>(clip.attributes.Float("max", -1.0f));
    const ir::Node* add = Maker(graph_, clip.inputs[0], "Add");
    if (add == nullptr || low != 0.0 || high != 6.0) return {};
    return Summand(*add, 3.0);
  }

  std::pair<ir::ValueId, Whole> GeluGate(const ir::Node& add) const {
    const ir::ValueId inner = Summand(add, 1.0);
    if (!inner.valid()) return {};
    if (const ir::Node* erf = Maker(graph_, inner, "Erf")) {
      const ir::ValueId x = ScaledArgument(erf->inputs[0], std::sqrt(0.5));
      return {x, {0.5, {"Gelu", 20}}};
    }
    if (const ir::Node* tanh = Maker(graph_, inner, "Tanh")) return {TanhArgument(*tanh), {0.5, {"Gelu", 20, true}}};
    return {};
  }

  /// x where `id` is x · number.
  ir::ValueId ScaledArgument(ir::ValueId id, double number) const {
    const Product product = Factors(id, {}, 1);
    if (product.values.size() != 1 || !IsClose(product.number, number)) return {};
    return product.values[0];
  }

  /// x where the argument is √(2/π) · (x + 0.044715 · x³).
  ir::ValueId TanhArgument(const ir::Node& tanh) const {
    const Product outer = Factors(tanh.inputs[0], {}, 1);
    if (outer.values.size() != 1 || !IsClose(outer.number, std::sqrt(2 / 3.14159265358979323846))) return {};
    const ir::Node* sum = Maker(graph_, outer.values[0], "Add");
    if (sum == nullptr) return {};
    for (size_t i = 0; i < 2; ++i) {
      const ir::ValueId x = sum->inputs[i];
      const Product cube = Factors(sum->inputs[1 - i], x);
      const bool threefold =
          cube.values.size() == 3 && cube.values[0] == x && cube.values[1] == x && cube.values[2] == x;
      if (threefold && IsClose(cube.number, 0.044715)) return x;
    }
    return {};
  }

  const ir::Graph& graph_;
};

}  // namespace

bool FuseGatedActivation(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  const GateMatcher matcher(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& last = graph.node(id);
    if ((!Is(last, "Mul") && !Is(last, "Div")) || !IsFloat32(graph, last.outputs[0])) continue;
    const auto match = matcher.Find(last.outputs[0]);
    if (!match || RankOf(graph.value(match->x).type) == 0) continue;  // the numbers must not add an axis
    const ir::ValueInfo& result = graph.value(last.outputs[0]);
    ir::Node node;
    node.name = last.name;
    node.op_type = match->gated.op_type;
    node.since_version = match->gated.since_version;
    if (match->gated.tanh) node.attributes.Set("approximate", std::string("tanh"));
    node.inputs = {match->x};
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
