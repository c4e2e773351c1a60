#pragma once

#include <string>
#include <utility>
#include <vector>

#include "onnxforge/ir/graph.h"

namespace onnxforge::ir {

/// A change to a graph, collected first and applied as a whole. Apply() keeps a copy of what it touches, sorts, removes
/// what nobody reads (nodes, captures), verifies the result, and leaves the graph as it was when that fails. Its cost
/// is that of one walk over the graph, so a pass puts all it finds in one walk into one patch.
class Patch {
 public:
  explicit Patch(const Graph& graph);

  /// A value that exists once the patch is applied.
  ValueId AddValue(std::string name, Type type = {});
  ValueId AddConstant(std::string name, Tensor tensor);
  void AddNode(Node node);
  /// Nodes whose outputs nobody reads any more go without being asked for.
  void RemoveNode(NodeId id);
  /// Every reader of `from` (nodes, bodies' captures, graph outputs) reads `to` instead; replacements made earlier in
  /// the same patch are followed. A graph output keeps its name: `to` takes it over. Where it cannot, being an input, a
  /// constant, a capture or an output itself, that output and the node that makes it stay, also when told to go.
  void ReplaceUses(ValueId from, ValueId to);
  void SetAttribute(NodeId id, std::string name, AttributeValue value);

  bool empty() const;
  void Apply(Graph& graph) const;

 private:
  struct AttributeEdit {
    NodeId node;
    std::string name;
    AttributeValue value;
  };
  class Application;

  size_t first_new_value_;
  std::vector<ValueInfo> new_values_;
  std::vector<Node> new_nodes_;
  std::vector<NodeId> removed_;
  std::vector<std::pair<ValueId, ValueId>> replaced_;
  std::vector<AttributeEdit> edits_;
};

}  // namespace onnxforge::ir
