#include "onnxforge/ir/graph.h"

#include <algorithm>
#include <functional>
#include <ostream>
#include <queue>
#include <set>
#include <utility>

#include "index.h"

namespace onnxforge::ir {
namespace {

/// Calls `f` for every value a node reads, captures of its bodies included; omitted inputs are skipped.
template <typename F>
void ForEachRead(const Node& node, F&& f) {
  for (ValueId id : node.inputs) {
    if (id.valid()) f(id);
  }
  for (const Body& body : node.bodies) {
    if (body.graph == nullptr) continue;  // Verify() reports it
    for (const Capture& capture : body.graph->captures) f(capture.outer);
  }
}

}  // namespace

std::string Node::Describe() const {
  const std::string type = domain.empty() ? op_type : StrCat(domain, ".", op_type);
  return name.empty() ? StrCat("a nameless node (", type, ")") : StrCat("node '", name, "' (", type, ")");
}

ValueId Graph::AddValue(std::string value_name, Type type) {
  const ValueId id{static_cast<int32_t>(values_.size())};
  values_.push_back({std::move(value_name), std::move(type), {}, {}});
  producers_.emplace_back();
  consumers_.emplace_back();
  return id;
}

ValueId Graph::AddConstant(std::string value_name, Tensor tensor) {
  Require(tensor.defined(), ErrorCode::kInternal, "constant '", value_name, "' has no data");
  const ValueId id = AddValue(std::move(value_name), Type::Tensor(tensor.dtype(), tensor.shape()));
  values_.back().constant = std::move(tensor);
  return id;
}

NodeId Graph::AddNode(Node node) {
  const NodeId id{static_cast<int32_t>(nodes_.size())};
  nodes_.push_back(std::move(node));
  alive_.push_back(true);
  order_.push_back(id);
  Link(id);
  return id;
}

void Graph::RemoveNode(NodeId id) {
  Require(alive(id), ErrorCode::kInternal, "RemoveNode: graph '", name, "' has no node ", id.index);
  Unlink(id);
  alive_[Index(id)] = false;
  nodes_[Index(id)] = Node();
  order_.erase(std::find(order_.begin(), order_.end(), id));
}

bool Graph::alive(NodeId id) const { return id.valid() && Index(id) < alive_.size() && alive_[Index(id)]; }

void Graph::Link(NodeId id) {
  const Node& n = nodes_[Index(id)];
  for (ValueId output : n.outputs) {
    if (output.valid() && Index(output) < producers_.size()) producers_[Index(output)] = id;
  }
  ForEachRead(n, [&](ValueId read) {
    if (Index(read) >= consumers_.size()) return;
    std::vector<NodeId>& readers = consumers_[Index(read)];
    if (readers.empty() || readers.back() != id) readers.push_back(id);
  });
}

void Graph::Unlink(NodeId id) {
  const Node& n = nodes_[Index(id)];
  for (ValueId output : n.outputs) {
    if (output.valid() && producers_[Index(output)] == id) producers_[Index(output)] = NodeId();
  }
  ForEachRead(n, [&](ValueId read) {
    std::vector<NodeId>& readers = consumers_[Index(read)];
    readers.erase(std::remove(readers.begin(), readers.end(), id), readers.end());
  });
}

const Node& Graph::node(NodeId id) const {
  Require(alive(id), ErrorCode::kInternal, "graph '", name, "' has no node ", id.index);
  return nodes_[Index(id)];
}

Node& Graph::node(NodeId id) { return const_cast<Node&>(std::as_const(*this).node(id)); }

const ValueInfo& Graph::value(ValueId id) const {
  Require(id.valid() && Index(id) < values_.size(), ErrorCode::kInternal, "graph '", name, "' has no value ", id.index);
  return values_[Index(id)];
}

ValueInfo& Graph::value(ValueId id) { return const_cast<ValueInfo&>(std::as_const(*this).value(id)); }

NodeId Graph::producer(ValueId id) const {
  value(id);
  return producers_[Index(id)];
}

const std::vector<NodeId>& Graph::consumers(ValueId id) const {
  value(id);
  return consumers_[Index(id)];
}

void Graph::Sort() {
  producers_.assign(values_.size(), NodeId());
  consumers_.assign(values_.size(), {});
  for (NodeId id : order_) Link(id);

  // Positions in the present order serve as node numbers, so that the smallest ready one keeps the order stable.
  std::vector<size_t> position(nodes_.size());
  for (size_t i = 0; i < order_.size(); ++i) position[Index(order_[i])] = i;
  std::vector<size_t> missing(nodes_.size());  // distinct values a node waits for
  for (size_t v = 0; v < values_.size(); ++v) {
    if (!producers_[v].valid()) continue;
    for (NodeId reader : consumers_[v]) ++missing[Index(reader)];
  }
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < order_.size(); ++i) {
    if (missing[Index(order_[i])] == 0) ready.push(i);
  }
  std::vector<NodeId> sorted;
  sorted.reserve(order_.size());
  while (!ready.empty()) {
    const NodeId id = order_[ready.top()];
    ready.pop();
    sorted.push_back(id);
    for (ValueId output : nodes_[Index(id)].outputs) {
      if (!output.valid() || producers_[Index(output)] != id) continue;
      for (NodeId reader : consumers_[Index(output)]) {
        if (--missing[Index(reader)] == 0) ready.push(position[Index(reader)]);
      }
    }
  }
  if (sorted.size() != order_.size()) FailCycle(missing);
  order_ = std::move(sorted);
}

void Graph::FailCycle(const std::vector<size_t>& missing) const {
  // Every node left waits for another one left, so walking from reader to producer must come back to where it has been.
  NodeId at;
  for (NodeId id : order_) {
    if (missing[Index(id)] != 0) at = id;
  }
  std::vector<NodeId> path;
  while (std::find(path.begin(), path.end(), at) == path.end()) {
    path.push_back(at);
    NodeId next;
    ForEachRead(nodes_[Index(at)], [&](ValueId read) {
      const NodeId maker = producers_[Index(read)];
      if (maker.valid() && missing[Index(maker)] != 0) next = maker;
    });
    at = next;
  }
  path.erase(path.begin(), std::find(path.begin(), path.end(), at));
  constexpr size_t kShown = 8;
  std::string nodes;
  for (size_t i = 0; i < path.size() && i < kShown; ++i) {
    nodes += (i == 0 ? "" : ", which needs ") + nodes_[Index(path[i])].Describe();
  }
  if (path.size() > kShown) nodes += StrCat(", … (", path.size() - kShown, " more)");
  Fail(ErrorCode::kInvalidModel, "the graph '", name, "' has a cycle: ", nodes,
       path.size() == 1 ? " needs its own output" : ", which needs the first again");
}

namespace {

/// A node that is described only where a message is made of it: verifying is done after every change.
struct Named {
  const Node& node;
  friend std::ostream& operator<<(std::ostream& out, const Named& named) { return out << named.node.Describe(); }
};

/// The checks of Graph::Verify, one walk over the graph.
class Verifier {
 public:
  Verifier(const Graph& graph, ErrorCode code) : graph_(graph), code_(code), defined_(graph.value_count()) {}

  void Run() {
    std::vector<bool> is_input(graph_.value_count());
    for (ValueId id : graph_.inputs) {
      Define(id, "an input");
      is_input[Index(id)] = true;
    }
    for (const Capture& capture : graph_.captures) Define(capture.inner, "a capture");
    for (size_t i = 0; i < graph_.value_count(); ++i) {
      const ValueId id{static_cast<int32_t>(i)};
      if (graph_.IsConstant(id)) Define(id, "a constant");
      Check(!graph_.value(id).default_value.defined() || is_input[i], "value '", graph_.value(id).name,
            "' has a default but is no input");
    }
    for (NodeId id : graph_.order()) VisitNode(graph_.node(id));
    for (ValueId id : graph_.outputs) {
      CheckId(id, "the list of outputs");
      Check(defined_[Index(id)], "nothing makes the output '", graph_.value(id).name, "'");
    }
    size_t living = 0;
    for (size_t i = 0; i < graph_.node_count(); ++i) living += graph_.alive(NodeId{static_cast<int32_t>(i)}) ? 1 : 0;
    Check(living == graph_.order().size(), "order() has ", graph_.order().size(), " of ", living, " nodes");
  }

 private:
  template <typename... Args>
  void Check(bool condition, const Args&... args) const {
    if (!condition) Fail(code_, "graph '", graph_.name, "': ", args...);
  }

  template <typename Where>
  void CheckId(ValueId id, const Where& where) const {
    Check(id.valid() && Index(id) < graph_.value_count(), where, " names value ", id.index, ", but there are ",
          graph_.value_count());
  }

  void Define(ValueId id, const char* as) {
    CheckId(id, "the list of inputs or captures");
    Check(!defined_[Index(id)], "value '", graph_.value(id).name, "' is defined twice, the second time as ", as);
    defined_[Index(id)] = true;
  }

  void VisitNode(const Node& node) {
    for (ValueId id : node.inputs) {
      if (id.valid()) Read(id, node);
    }
    std::set<std::string_view> attributes;
    for (const Body& body : node.bodies) {
      Check(body.graph != nullptr, Named{node}, " has no graph in '", body.attribute, "'");
      Check(attributes.insert(body.attribute).second, Named{node}, " has two bodies '", body.attribute, "'");
      for (const Capture& capture : body.graph->captures) Read(capture.outer, node);
      try {
        body.graph->Verify(code_);
      } catch (Error& error) {
        error.AddContext(StrCat("in '", body.attribute, "' of ", Named{node}));
        throw;
      }
    }
    for (ValueId id : node.outputs) {
      if (!id.valid()) continue;
      CheckId(id, Named{node});
      Check(!defined_[Index(id)], "value '", graph_.value(id).name, "' has more than one source; one is ", Named{node});
      defined_[Index(id)] = true;
    }
  }

  void Read(ValueId id, const Node& node) const {
    CheckId(id, Named{node});
    Check(defined_[Index(id)], Named{node}, " reads '", graph_.value(id).name,
          "', which nothing makes before it: no input, initialiser or earlier node has that name");
  }

  const Graph& graph_;
  const ErrorCode code_;
  std::vector<bool> defined_;
};

}  // namespace

void Graph::Verify(ErrorCode code) const { Verifier(*this, code).Run(); }

}  // namespace onnxforge::ir
