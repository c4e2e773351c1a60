#include "match.h"

#include <algorithm>

#include "onnxforge/kernels/fused.h"

#include "layout.h"

namespace onnxforge::passes {

bool Is(const ir::Node& node, std::string_view op_type) { return node.domain.empty() && node.op_type == op_type; }

bool IsInternal(const ir::Node& node, std::string_view op_type) {
  return node.domain == kInternalDomain && node.op_type == op_type;
}

const ir::Node* Maker(const ir::Graph& graph, ir::ValueId id, std::string_view op_type) {
  const ir::NodeId producer = graph.producer(id);
  if (!producer.valid() || !Is(graph.node(producer), op_type)) return nullptr;
  return &graph.node(producer);
}

bool IsFloat32(const ir::Graph& graph, ir::ValueId value) {
  if (!value.valid()) return false;
  const Type& type = graph.value(value).type;
  return type.kind == Type::Kind::kTensor && type.dtype == DType::kFloat32;
}

bool IsByte(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUInt8; }

bool IsSame(const Dim& a, const Dim& b) {
  return a.value ? b.value && *a.value == *b.value : !b.value && !a.symbol.empty() && a.symbol == b.symbol;
}

bool HaveSameShape(const ir::Graph& graph, ir::ValueId a, ir::ValueId b) {
  const Type& p = graph.value(a).type;
  const Type& q = graph.value(b).type;
  if (!p.shape || !q.shape || p.shape->size() != q.shape->size()) return false;
  for (size_t i = 0; i < p.shape->size(); ++i) {
    if (!IsSame((*p.shape)[i], (*q.shape)[i])) return false;
  }
  return true;
}

ir::ValueId Input(const ir::Node& node, size_t i) { return i < node.inputs.size() ? node.inputs[i] : ir::ValueId{}; }

Tensor ConstantInput(const ir::Graph& graph, const ir::Node& node, size_t i) {
  const ir::ValueId id = Input(node, i);
  return graph.IsConstant(id) ? graph.value(id).constant : Tensor();
}

std::optional<double> ConstantNumber(const ir::Graph& graph, const ir::Node& node, size_t i) {
  const Tensor constant = ConstantInput(graph, node, i);
  if (!constant.defined() || constant.elements() != 1) return std::nullopt;
  // More axes than one must not be what the other operand is broadcast to.
  const ir::ValueId other = node.inputs.size() == 2 ? node.inputs[1 - i] : ir::ValueId{};
  const size_t rank = other.valid() ? RankOf(graph.value(other).type) : 0;
  if (constant.rank() > std::max<size_t>(rank, 1)) return std::nullopt;
  if (!IsFloating(constant.dtype())) return std::nullopt;
  return constant.To<double>()[0];
}

bool IsOutput(const ir::Graph& graph, ir::ValueId value) {
  return std::find(graph.outputs.begin(), graph.outputs.end(), value) != graph.outputs.end();
}

bool IsUsed(const ir::Graph& graph, ir::ValueId value) {
  return value.valid() && (!graph.consumers(value).empty() || IsOutput(graph, value));
}

ir::NodeId OnlyReader(const ir::Graph& graph, ir::ValueId value) {
  if (IsOutput(graph, value) || graph.consumers(value).size() != 1) return {};
  return graph.consumers(value).front();
}

bool CanReplace(const ir::Graph& graph, ir::ValueId from, ir::ValueId to) {
  return !IsOutput(graph, from) || (graph.producer(to).valid() && !IsOutput(graph, to));
}

bool IsRandom(const ir::Node& node) {
  constexpr std::string_view kRandom[] = {"Bernoulli",        "Dropout",       "Multinomial",      "RandomNormal",
                                          "RandomNormalLike", "RandomUniform", "RandomUniformLike"};
  return std::any_of(std::begin(kRandom), std::end(kRandom), [&](std::string_view op) { return Is(node, op); });
}

}  // namespace onnxforge::passes
