// Before: two nodes with the same operator, inputs and attributes.
// After:  the readers of the second read the first; exporters write the same Shape, Cast or Unsqueeze again and again.

#include <map>
#include <tuple>
#include <type_traits>
#include <vector>

#include "onnxforge/ir/patch.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

using Key = std::tuple<std::string, std::string, int, std::vector<ir::ValueId>, size_t>;

template <typename T>
constexpr bool kComparable = std::is_same_v<T, int64_t> || std::is_same_v<T, float> || std::is_same_v<T, std::string> ||
                             std::is_same_v<T, std::vector<int64_t>> || std::is_same_v<T, std::vector<float>> ||
                             std::is_same_v<T, std::vector<std::string>>;

bool Same(const AttributeValue& a, const AttributeValue& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (kComparable<T>) {
          return value == std::get<T>(b);
        } else {
          return false;
        }
      },
      a);
}

bool Same(const Attributes& a, const Attributes& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, value] : a) {
    const AttributeValue* other = b.Find(name);
    if (other == nullptr || !Same(value, *other)) return false;
  }
  return true;
}

/// The second node's outputs are not the graph's, and those read are also made by the first.
bool CanStandIn(const ir::Graph& graph, const ir::Node& first, const ir::Node& second) {
  for (size_t i = 0; i < second.outputs.size(); ++i) {
    if (!second.outputs[i].valid()) continue;
    if (!first.outputs[i].valid() || IsOutput(graph, second.outputs[i])) return false;
  }
  return true;
}

}  // namespace

bool MergeDuplicates(ir::Graph& graph, const PassContext&) {
  ir::Patch patch(graph);
  std::map<Key, std::vector<ir::NodeId>> seen;
  for (ir::NodeId id : graph.order()) {
    const ir::Node& node = graph.node(id);
    if (!node.bodies.empty() || IsRandom(node)) continue;
    auto& candidates = seen[{node.domain, node.op_type, node.since_version, node.inputs, node.outputs.size()}];
    bool merged = false;
    for (ir::NodeId candidate : candidates) {
      const ir::Node& first = graph.node(candidate);
      if (!Same(first.attributes, node.attributes) || !CanStandIn(graph, first, node)) continue;
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        if (node.outputs[i].valid()) patch.ReplaceUses(node.outputs[i], first.outputs[i]);
      }
      patch.RemoveNode(id);
      merged = true;
      break;
    }
    if (!merged) candidates.push_back(id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
