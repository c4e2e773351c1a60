#include "match.h"

#include <algorithm>

namespace onnxforge::passes {

bool Is(const ir::Node& node, std::string_view op_type) { return node.domain.empty() && node.op_type == op_type; }

ir::ValueId Input(const ir::Node& node, size_t i) { return i < node.inputs.size() ? node.inputs[i] : ir::ValueId{}; }

Tensor ConstantInput(const ir::Graph& graph, const ir::Node& node, size_t i) {
  const ir::ValueId id = Input(node, i);
  return graph.IsConstant(id) ? graph.value(id).constant : Tensor();
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
