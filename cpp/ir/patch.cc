#include "onnxforge/ir/patch.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "index.h"

namespace onnxforge::ir {

Patch::Patch(const Graph& graph) : first_new_value_(graph.value_count()) {}

ValueId Patch::AddValue(std::string name, Type type) {
  new_values_.push_back({std::move(name), std::move(type), {}, {}});
  return ValueId{static_cast<int32_t>(first_new_value_ + new_values_.size() - 1)};
}

ValueId Patch::AddConstant(std::string name, Tensor tensor) {
  Require(tensor.defined(), ErrorCode::kInternal, "constant '", name, "' has no data");
  const ValueId id = AddValue(std::move(name), Type::Tensor(tensor.dtype(), tensor.shape()));
  new_values_.back().constant = std::move(tensor);
  return id;
}

void Patch::AddNode(Node node) { new_nodes_.push_back(std::move(node)); }

void Patch::RemoveNode(NodeId id) { removed_.push_back(id); }

void Patch::ReplaceUses(ValueId from, ValueId to) { replaced_.emplace_back(from, to); }

void Patch::SetAttribute(NodeId id, std::string name, AttributeValue value) {
  edits_.push_back({id, std::move(name), std::move(value)});
}

bool Patch::empty() const {
  return new_values_.empty() && new_nodes_.empty() && removed_.empty() && replaced_.empty() && edits_.empty();
}

/// One Apply(): the steps, and what is needed to take them back.
class Patch::Application {
 public:
  Application(const Patch& patch, Graph& graph)
      : patch_(patch),
        graph_(graph),
        old_nodes_size_(graph.nodes_.size()),
        old_alive_(graph.alive_),
        old_order_(graph.order_),
        old_outputs_(graph.outputs),
        old_captures_(graph.captures) {}

  void Run() {
    Require(graph_.values_.size() == patch_.first_new_value_, ErrorCode::kInternal,
            "the patch was made for a graph with ", patch_.first_new_value_, " values, '", graph_.name, "' has ",
            graph_.values_.size());
    try {
      AddNew();
      SetAttributes();
      ReplaceReaders();
      RemoveAsked();
      graph_.Sort();
      RemoveUnread();
      graph_.Verify();
    } catch (...) {
      TakeBack();
      throw;
    }
  }

 private:
  void AddNew() {
    for (const ValueInfo& info : patch_.new_values_) {
      const ValueId id = graph_.AddValue(info.name, info.type);
      graph_.value(id).constant = info.constant;
    }
    for (const Node& node : patch_.new_nodes_) {
      for (ValueId id : node.inputs) CheckId(id, true);
      for (ValueId id : node.outputs) CheckId(id, true);
      graph_.AddNode(node);
    }
  }

  void SetAttributes() {
    for (const AttributeEdit& edit : patch_.edits_) Touch(edit.node).attributes.Set(edit.name, edit.value);
  }

  void ReplaceReaders() {
    if (patch_.replaced_.empty()) return;
    for (const auto& [from, to] : patch_.replaced_) {
      CheckId(from, false);
      CheckId(to, false);
      const ValueId target = Target(to);
      Require(target != from, ErrorCode::kInternal, "value '", graph_.value(from).name, "' is to replace itself");
      replacement_[from] = target;
    }
    for (NodeId id : graph_.order_) RedirectNode(id);
    for (size_t i = 0; i < graph_.outputs.size(); ++i) RedirectOutput(graph_.outputs[i]);
  }

  /// What stands for `id` once all replacements so far are made.
  ValueId Target(ValueId id) const {
    for (auto it = replacement_.find(id); it != replacement_.end(); it = replacement_.find(id)) id = it->second;
    return id;
  }

  void RedirectNode(NodeId id) {
    const auto redirected = [&](ValueId read) { return read.valid() ? TargetFor(id, read) : read; };
    const auto stale = [&](ValueId read) { return redirected(read) != read; };
    const Node& before = graph_.nodes_[Index(id)];
    if (std::any_of(before.inputs.begin(), before.inputs.end(), stale)) {
      for (ValueId& input : Touch(id).inputs) input = redirected(input);
    }
    for (size_t b = 0; b < before.bodies.size(); ++b) {
      const std::vector<Capture>& captures = before.bodies[b].graph->captures;
      if (std::none_of(captures.begin(), captures.end(), [&](const Capture& c) { return stale(c.outer); })) continue;
      std::shared_ptr<Graph>& body = Touch(id).bodies[b].graph;
      body = std::make_shared<Graph>(*body);
      for (Capture& capture : body->captures) capture.outer = redirected(capture.outer);
    }
  }

  /// Target(read), except for a node of the patch that the target itself is computed from (a node put behind a value).
  ValueId TargetFor(NodeId reader, ValueId read) const {
    const ValueId target = Target(read);
    const bool own = target != read && Index(reader) >= old_nodes_size_ && DependsOn(target, reader);
    return own ? read : target;
  }

  /// Whether `value` is computed from the outputs of `node` through nodes of the patch alone.
  bool DependsOn(ValueId value, NodeId node) const {
    std::set<NodeId> seen;
    std::vector<ValueId> open{value};
    while (!open.empty()) {
      const NodeId maker = graph_.producers_[Index(open.back())];
      open.pop_back();
      if (maker == node) return true;
      if (!maker.valid() || Index(maker) < old_nodes_size_ || !seen.insert(maker).second) continue;
      for (ValueId id : graph_.nodes_[Index(maker)].inputs) {
        if (id.valid()) open.push_back(id);
      }
    }
    return false;
  }

  void RedirectOutput(ValueId from) {
    const ValueId to = Target(from);
    if (to == from) return;
    ValueInfo& old_info = TouchValue(from);
    ValueInfo& new_info = TouchValue(to);
    auto& outputs = graph_.outputs;
    if (old_info.name != new_info.name) {
      const bool taken = std::find(outputs.begin(), outputs.end(), to) != outputs.end();
      if (taken || !IsMadeByNode(to)) {
        output_kept_ = true;
        return;
      }
      std::swap(old_info.name, new_info.name);
    }
    std::replace(outputs.begin(), outputs.end(), from, to);
  }

  bool IsMadeByNode(ValueId id) const { return graph_.producers_[Index(id)].valid(); }

  void RemoveAsked() {
    if (output_kept_) return;  // what it needs must stay; RemoveUnread() finds the rest
    for (NodeId id : patch_.removed_) Kill(id);
    DropDeadFromOrder();
  }

  /// Removes what no output depends on, in one walk against the order.
  void RemoveUnread() {
    std::vector<bool> read(graph_.values_.size());
    for (ValueId id : graph_.outputs) read[Index(id)] = true;
    bool any = false;
    for (auto it = graph_.order_.rbegin(); it != graph_.order_.rend(); ++it) {
      const Node& node = graph_.nodes_[Index(*it)];
      const bool needed = std::any_of(node.outputs.begin(), node.outputs.end(),
                                      [&](ValueId output) { return output.valid() && read[Index(output)]; });
      if (!needed) {
        Kill(*it);
        any = true;
        continue;
      }
      for (ValueId id : node.inputs) {
        if (id.valid()) read[Index(id)] = true;
      }
      for (const Body& body : node.bodies) {
        for (const Capture& capture : body.graph->captures) read[Index(capture.outer)] = true;
      }
    }
    if (any) {
      DropDeadFromOrder();
      graph_.Sort();
    }
    graph_.captures.erase(std::remove_if(graph_.captures.begin(), graph_.captures.end(),
                                         [&](const Capture& capture) { return !read[Index(capture.inner)]; }),
                          graph_.captures.end());
    for (size_t v = 0; v < read.size(); ++v) {
      const ValueId id{static_cast<int32_t>(v)};
      if (!read[v] && graph_.IsConstant(id)) TouchValue(id).constant = Tensor();  // let go of the memory
    }
  }

  void Kill(NodeId id) {
    Touch(id);
    graph_.alive_[Index(id)] = false;
    graph_.nodes_[Index(id)] = Node();
  }

  void DropDeadFromOrder() {
    auto& order = graph_.order_;
    order.erase(std::remove_if(order.begin(), order.end(), [&](NodeId id) { return !graph_.alive(id); }), order.end());
  }

  void CheckId(ValueId id, bool may_be_omitted) const {
    if (may_be_omitted && !id.valid()) return;
    Require(id.valid() && Index(id) < graph_.values_.size(), ErrorCode::kInternal, "the patch names value ", id.index,
            ", but there are ", graph_.values_.size());
  }

  /// A node about to change; nodes of the patch itself need no copy, they go as a whole.
  Node& Touch(NodeId id) {
    Node& node = graph_.node(id);
    if (Index(id) < old_nodes_size_) old_nodes_.emplace(id, node);
    return node;
  }

  ValueInfo& TouchValue(ValueId id) {
    ValueInfo& info = graph_.value(id);
    if (Index(id) < patch_.first_new_value_) old_values_.emplace(id, info);
    return info;
  }

  void TakeBack() {
    graph_.nodes_.resize(old_nodes_size_);
    graph_.values_.resize(patch_.first_new_value_);
    graph_.alive_ = std::move(old_alive_);
    graph_.order_ = std::move(old_order_);
    graph_.outputs = std::move(old_outputs_);
    graph_.captures = std::move(old_captures_);
    for (auto& [id, node] : old_nodes_) graph_.nodes_[Index(id)] = std::move(node);
    for (auto& [id, info] : old_values_) graph_.values_[Index(id)] = std::move(info);
    graph_.producers_.assign(graph_.values_.size(), NodeId());
    graph_.consumers_.assign(graph_.values_.size(), {});
    for (NodeId id : graph_.order_) graph_.Link(id);
  }

  const Patch& patch_;
  Graph& graph_;
  const size_t old_nodes_size_;
  std::vector<bool> old_alive_;
  std::vector<NodeId> old_order_;
  std::vector<ValueId> old_outputs_;
  std::vector<Capture> old_captures_;
  std::map<NodeId, Node> old_nodes_;
  std::map<ValueId, ValueInfo> old_values_;
  std::map<ValueId, ValueId> replacement_;
  bool output_kept_ = false;
};

void Patch::Apply(Graph& graph) const { Application(*this, graph).Run(); }

}  // namespace onnxforge::ir
