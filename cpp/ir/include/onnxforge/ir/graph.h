#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnxforge/base/attribute.h"
#include "onnxforge/base/error.h"
#include "onnxforge/base/tensor.h"
#include "onnxforge/base/type.h"

namespace onnxforge::ir {

/// Names a value (an edge) of one graph.
struct ValueId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  friend bool operator==(ValueId a, ValueId b) { return a.index == b.index; }
  friend bool operator!=(ValueId a, ValueId b) { return a.index != b.index; }
  friend bool operator<(ValueId a, ValueId b) { return a.index < b.index; }
};

/// Names a node of one graph.
struct NodeId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  friend bool operator==(NodeId a, NodeId b) { return a.index == b.index; }
  friend bool operator!=(NodeId a, NodeId b) { return a.index != b.index; }
  friend bool operator<(NodeId a, NodeId b) { return a.index < b.index; }
};

class Graph;

/// A graph-valued attribute: If's then_branch, Loop's and Scan's body.
struct Body {
  std::string attribute;
  std::shared_ptr<Graph> graph;
};

struct Node {
  std::string name;    // import gives a nameless node the name of its first output
  std::string domain;  // "" is ai.onnx
  std::string op_type;
  int since_version = 0;         // of the schema that the model's opset selects
  std::vector<ValueId> inputs;   // an invalid id where an optional input is left out
  std::vector<ValueId> outputs;  // an invalid id where an optional output is left out
  Attributes attributes;
  std::vector<Body> bodies;

  /// "node 'conv1' (Conv)": for error messages.
  std::string Describe() const;
};

/// A value that a body takes from the graph around it.
struct Capture {
  ValueId inner;
  ValueId
      outer;  // of the graph that holds the node with the body; itself a capture there when it comes from further out
};

struct ValueInfo {
  std::string name;
  Type type;
  Tensor constant;       // defined for values that are the same in every run
  Tensor default_value;  // defined for graph inputs that a caller may leave out (initialisers that are inputs too)
};

/// A single-assignment data-flow graph. Ids stay valid while nodes and values are added; removing leaves a hole.
/// Changes other than building go through ir::Patch. An output of a graph may be one of its inputs, constants or
/// captures, and the same value may be several outputs.
class Graph {
 public:
  ValueId AddValue(std::string name, Type type = {});
  ValueId AddConstant(std::string name, Tensor tensor);
  NodeId AddNode(Node node);
  void RemoveNode(NodeId id);
  bool alive(NodeId id) const;

  const Node& node(NodeId id) const;
  Node& node(NodeId id);
  const ValueInfo& value(ValueId id) const;
  ValueInfo& value(ValueId id);
  bool IsConstant(ValueId id) const { return id.valid() && value(id).constant.defined(); }

  size_t value_count() const { return values_.size(); }
  /// One more than the largest index of a node, dead ones included.
  size_t node_count() const { return nodes_.size(); }
  /// The living nodes, in a topological order (after building: once Sort() has been called).
  const std::vector<NodeId>& order() const { return order_; }
  /// Recomputes order() (Kahn's algorithm, stable), and what producer() and consumers() answer, which nodes changed in
  /// place leave stale. Fails with kInvalidModel, naming the nodes of it, when there is a cycle.
  void Sort();

  /// The node that makes a value; invalid for inputs, constants and captures.
  NodeId producer(ValueId id) const;
  /// The nodes that read a value, also those whose bodies capture it; a node that reads it twice is there once.
  const std::vector<NodeId>& consumers(ValueId id) const;

  /// Checks the invariants, in bodies too: ids in range, single assignment, every value read has a source, order()
  /// topological, captures of bodies resolved. Fails with kInternal, or kInvalidModel from import, naming the place.
  void Verify(ErrorCode code = ErrorCode::kInternal) const;

  std::string name;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<Capture> captures;  // non-empty only in bodies

 private:
  friend class Patch;

  void Link(NodeId id);
  void Unlink(NodeId id);
  [[noreturn]] void FailCycle(const std::vector<size_t>& missing) const;

  std::vector<ValueInfo> values_;
  std::vector<Node> nodes_;
  std::vector<bool> alive_;
  std::vector<NodeId> order_;
  std::vector<NodeId> producers_;               // by value
  std::vector<std::vector<NodeId>> consumers_;  // by value
};

/// A graph with what a session needs to know of the file around it.
struct Model {
  Graph graph;
  std::map<std::string, int> opsets;  // domain → version
};

}  // namespace onnxforge::ir
