// Before: x → Op → y, where Op returns x as it is: Identity, Dropout outside training, Cast to the type that x has,
// Transpose
//         that keeps the order, Reshape to the shape that x has, Concat and other variadic operators of one input.
// After:  the readers of y read x.

#include <algorithm>
#include <string_view>

#include "onnxforge/ir/patch.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

bool IsInferenceDropout(const ir::Graph& graph, const ir::Node& node) {
  // Before version 7 the attribute is_test, absent by default, decides; from 12 on an input does.
  if (node.since_version < 7 || (node.outputs.size() > 1 && IsUsed(graph, node.outputs[1]))) return false;
  if (!Input(node, 2).valid()) return true;
  const Tensor training = ConstantInput(graph, node, 2);
  return training.defined() && training.dtype() == DType::kBool && training.elements() == 1 && !*training.data<bool>();
}

bool IsCastToSame(const ir::Graph& graph, const ir::Node& node) {
  const Type& type = graph.value(node.inputs[0]).type;
  const auto* to = node.attributes.Find("to");  // a name, not a number, before version 6
  const auto* number = to == nullptr ? nullptr : std::get_if<int64_t>(to);
  return number != nullptr && type.kind == Type::Kind::kTensor && type.dtype != DType::kUndefined &&
         *number == static_cast<int64_t>(type.dtype);
}

bool IsTransposeInOrder(const ir::Node& node) {
  const std::vector<int64_t> perm = node.attributes.Ints("perm");
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return !perm.empty();
}

/// The extents a Reshape asks for, with 0 and -1 replaced by what they mean for `input`; empty when they do not fit.
std::vector<int64_t> Resolve(std::vector<int64_t> wanted, const Shape& input, bool zero_means_zero) {
  if (wanted.size() != input.rank()) return {};
  int64_t known = 1;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == 0 && !zero_means_zero) wanted[i] = input[i];
    if (wanted[i] > 0) known *= wanted[i];
  }
  for (int64_t& extent : wanted) {
    if (extent == -1 && known > 0) extent = input.elements() / known;
  }
  return wanted;
}

bool IsReshapeToSame(const ir::Graph& graph, const ir::Node& node) {
  const auto shape = graph.value(node.inputs[0]).type.StaticShape();
  if (!shape || shape->rank() == 0 || std::find(shape->begin(), shape->end(), 0) != shape->end()) return false;
  const Tensor wanted = ConstantInput(graph, node, 1);
  if (!wanted.defined() || wanted.dtype() != DType::kInt64 || node.since_version < 5) return false;
  const std::vector<int64_t> extents = Resolve(wanted.To<int64_t>(), *shape, node.attributes.Int("allowzero", 0) != 0);
  return extents.size() == shape->rank() && std::equal(extents.begin(), extents.end(), shape->begin());
}

bool IsVariadicOfOne(const ir::Node& node) {
  constexpr std::string_view kVariadic[] = {"Concat", "Sum", "Max", "Min", "Mean"};
  return node.inputs.size() == 1 &&
         std::any_of(std::begin(kVariadic), std::end(kVariadic), [&](std::string_view op) { return Is(node, op); });
}

bool ReturnsItsInput(const ir::Graph& graph, const ir::Node& node) {
  if (Is(node, "Identity") || IsVariadicOfOne(node)) return true;
  if (Is(node, "Dropout")) return IsInferenceDropout(graph, node);
  if (Is(node, "Cast")) return IsCastToSame(graph, node);
  if (Is(node, "Transpose")) return IsTransposeInOrder(node);
  return Is(node, "Reshape") && IsReshapeToSame(graph, node);
}

}  // namespace

bool EliminateIdentity(ir::Graph& graph, const PassContext&) {
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    if (node.inputs.empty() || node.outputs.empty() || !node.inputs[0].valid() || !node.outputs[0].valid()) continue;
    if (!ReturnsItsInput(graph, node) || !CanReplace(graph, node.outputs[0], node.inputs[0])) continue;
    patch.ReplaceUses(node.outputs[0], node.inputs[0]);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
