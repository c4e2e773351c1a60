#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "onnxforge/ir/graph.h"

#include "inference.h"
#include "schemas.h"

namespace onnxforge::io {

/// A graph while it is imported. Function calls are expanded into the graph that holds them; a body has a builder of
/// its own.
class GraphBuilder {
 public:
  explicit GraphBuilder(GraphBuilder* outer) : outer_(outer) {}

  ir::Graph graph;

  ir::ValueId AddValue(std::string name);
  void SetConstant(ir::ValueId id, Tensor tensor, const onnx::TensorProto* data);
  void SetType(ir::ValueId id, onnx::TypeProto type);
  Known& known(ir::ValueId id) { return known_[static_cast<size_t>(id.index)]; }

  /// Takes a name that nothing else in this graph may be given.
  void Reserve(const std::string& name) { names_.insert(name); }
  /// `wanted`, with a number behind it where that is taken; reserves it.
  std::string Unique(const std::string& wanted);

  /// Value `id` of `owner`, which is this graph or one around it, as a value of this one: a capture, or a constant of
  /// its own where it is one.
  ir::ValueId Capture(GraphBuilder& owner, ir::ValueId id);

 private:
  GraphBuilder* outer_;
  std::deque<Known> known_;  // by value; a deque, because captures are added while inference holds pointers
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, int> next_number_;
  std::map<ir::ValueId, ir::ValueId> captured_;  // value of the outer graph → ours
};

/// What names mean in one graph or one call of a function.
class Scope {
 public:
  enum class Kind { kGraph, kFunction };

  /// `around`: the scope around a body, or that of the call of a function; null for the main graph.
  Scope(Kind kind, GraphBuilder& graph_builder, Scope* around);

  /// A name that a node further down defines; nodes need not be in order.
  void Declare(const std::string& name);
  /// The value that `name` stands for from now on. Fails with kInvalidModel when it has one already.
  ir::ValueId Define(const std::string& name);
  /// A parameter of a function: the argument, or an invalid id where it was left out.
  void Bind(const std::string& name, ir::ValueId argument) { values_[name] = argument; }
  /// Says that output `name` of this function is `result` in the scope of the call, before the function is expanded.
  void BindResult(const std::string& name, Scope& call, const std::string& result);
  /// Makes `result` of a call, in this scope, the value `made` by the function. Where nodes have read `result` already
  /// as another value, that one is returned, to be copied from `made`.
  std::optional<ir::ValueId> TakeResult(const std::string& result, ir::ValueId made);

  /// The value of a name as a value of builder(): invalid where it is an argument left out, nullopt where there is
  /// none.
  std::optional<ir::ValueId> Find(const std::string& name);

  GraphBuilder& builder() { return builder_; }
  const onnx::TypeProto& DeclaredType(const std::string& name) const;

  Opsets opsets;
  std::shared_ptr<const void> owner;  // of the messages read here
  std::string prefix;                 // of the names of values and nodes; empty in graphs
  int depth = 0;
  std::vector<const void*> active;  // functions being expanded
  std::unordered_map<std::string, const onnx::TypeProto*> declared_types;

 private:
  struct Located {
    Scope* scope;
    ir::ValueId id;
  };
  std::optional<Located> Locate(const std::string& name);
  Scope* Next(Scope* scope);
  std::string DisplayName(const std::string& name);

  const Kind kind_;
  GraphBuilder& builder_;
  Scope* const around_;
  std::unordered_map<std::string, ir::ValueId> values_;
  std::unordered_set<std::string> declared_;
  std::unordered_set<std::string> pending_;  // read already, not made yet
  std::unordered_map<std::string, std::string> result_names_;
};

}  // namespace onnxforge::io
