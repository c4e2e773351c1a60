#include "scope.h"

#include <utility>

#include "onnxforge/base/error.h"

#include "import_type.h"

namespace onnxforge::io {

ir::ValueId GraphBuilder::AddValue(std::string name) {
  known_.emplace_back();
  return graph.AddValue(std::move(name));
}

void GraphBuilder::SetConstant(ir::ValueId id, Tensor tensor, const onnx::TensorProto* data) {
  Known& about = known(id);
  about.type = TypeOf(tensor);
  about.data = data;
  ir::ValueInfo& info = graph.value(id);
  info.type = Type::Tensor(tensor.dtype(), tensor.shape());
  info.constant = std::move(tensor);
}

void GraphBuilder::SetType(ir::ValueId id, onnx::TypeProto type) {
  graph.value(id).type = ImportType(type);
  known(id).type = std::move(type);
}

std::string GraphBuilder::Unique(const std::string& wanted) {
  if (names_.insert(wanted).second) return wanted;
  int& number = next_number_[wanted];
  std::string name;
  do {
    name = StrCat(wanted, "_", ++number);
  } while (!names_.insert(name).second);
  return name;
}

ir::ValueId GraphBuilder::Capture(GraphBuilder& owner, ir::ValueId id) {
  if (this == &owner || !id.valid()) return id;
  if (outer_ == nullptr) Fail(ErrorCode::kInternal, "a capture from a graph that is not around");
  const ir::ValueId outer_id = outer_->Capture(owner, id);
  const auto [it, is_new] = captured_.emplace(outer_id, ir::ValueId());
  if (!is_new) return it->second;
  const ir::ValueInfo& info = outer_->graph.value(outer_id);
  const ir::ValueId inner = AddValue(Unique(info.name));
  it->second = inner;
  known(inner) = outer_->known(outer_id);
  ir::ValueInfo& mine = graph.value(inner);
  mine.type = info.type;
  mine.constant = info.constant;
  if (!info.constant.defined()) graph.captures.push_back({inner, outer_id});
  return inner;
}

Scope::Scope(Kind kind, GraphBuilder& graph_builder, Scope* around)
    : kind_(kind), builder_(graph_builder), around_(around) {
  if (around == nullptr) return;
  opsets = around->opsets;
  owner = around->owner;
  depth = around->depth + 1;
  active = around->active;
}

void Scope::Declare(const std::string& name) {
  declared_.insert(name);
  if (prefix.empty()) builder_.Reserve(Utf8(name));
}

ir::ValueId Scope::Define(const std::string& name) {
  declared_.erase(name);
  if (const auto it = values_.find(name); it != values_.end()) {
    Require(pending_.erase(name) != 0, ErrorCode::kInvalidModel, "the value '", Utf8(name),
            "' is defined twice; every name may be made by one input, initialiser or node only");
    return it->second;
  }
  const ir::ValueId id = builder_.AddValue(DisplayName(name));
  values_[name] = id;
  return id;
}

void Scope::BindResult(const std::string& name, Scope& call, const std::string& result) {
  if (values_.count(name) != 0) return;  // a parameter handed through
  if (call.pending_.count(result) != 0) {
    values_[name] = call.values_[result];
    pending_.insert(name);
  } else {
    result_names_.emplace(name, call.DisplayName(result));
  }
}

std::optional<ir::ValueId> Scope::TakeResult(const std::string& result, ir::ValueId made) {
  declared_.erase(result);
  const auto [it, is_new] = values_.emplace(result, made);
  if (is_new) return std::nullopt;
  Require(pending_.erase(result) != 0, ErrorCode::kInvalidModel, "the value '", Utf8(result),
          "' is defined twice; every name may be made by one input, initialiser or node only");
  return it->second == made ? std::nullopt : std::optional<ir::ValueId>(it->second);
}

std::optional<ir::ValueId> Scope::Find(const std::string& name) {
  const std::optional<Located> located = Locate(name);
  if (!located) return std::nullopt;
  return builder_.Capture(located->scope->builder_, located->id);
}

std::optional<Scope::Located> Scope::Locate(const std::string& name) {
  for (Scope* scope = this; scope != nullptr; scope = Next(scope)) {
    if (const auto it = scope->values_.find(name); it != scope->values_.end()) return Located{scope, it->second};
  }
  for (Scope* scope = this; scope != nullptr; scope = Next(scope)) {
    if (scope->declared_.count(name) == 0) continue;
    const ir::ValueId id = scope->Define(name);
    scope->pending_.insert(name);
    return Located{scope, id};
  }
  return std::nullopt;
}

Scope* Scope::Next(Scope* scope) {
  // A function sees its parameters only. A body that a call handed to it as an attribute sees what is around that call.
  return scope->kind_ == Kind::kGraph || scope != this ? scope->around_ : nullptr;
}

std::string Scope::DisplayName(const std::string& name) {
  if (const auto it = result_names_.find(name); it != result_names_.end()) return it->second;
  return prefix.empty() ? Utf8(name) : builder_.Unique(prefix + Utf8(name));
}

const onnx::TypeProto& Scope::DeclaredType(const std::string& name) const {
  static const onnx::TypeProto kNone;
  const auto it = declared_types.find(name);
  return it == declared_types.end() ? kNone : *it->second;
}

}  // namespace onnxforge::io
