#include "gradient_reverse.h"

#include <algorithm>

#include "onnxforge/base/error.h"

#include "import_type.h"
#include "schemas.h"

namespace onnxforge::io {
namespace {

/// Calls `visit` with every name that a graph takes from around it.
template <typename Graph, typename F>
void ForEachCapture(Graph& graph, ValueNames defined, const F& visit);

template <typename Node, typename F>
void ForEachUse(Node& node, const ValueNames& defined, const F& visit) {
  for (int i = 0; i < node.input_size(); ++i) {
    if (!node.input(i).empty() && defined.count(node.input(i)) == 0) visit(node, i);
  }
  for (int i = 0; i < node.attribute_size(); ++i) {
    if constexpr (std::is_const_v<Node>) {
      if (node.attribute(i).has_g()) ForEachCapture(node.attribute(i).g(), defined, visit);
    } else {
      if (node.attribute(i).has_g()) ForEachCapture(*node.mutable_attribute(i)->mutable_g(), defined, visit);
    }
  }
}

template <typename Graph, typename F>
void ForEachCapture(Graph& graph, ValueNames defined, const F& visit) {
  for (const auto& input : graph.input()) defined.insert(input.name());
  for (const auto& tensor : graph.initializer()) defined.insert(tensor.name());
  for (const auto& tensor : graph.sparse_initializer()) defined.insert(tensor.values().name());
  for (const auto& node : graph.node()) defined.insert(node.output().begin(), node.output().end());
  for (int i = 0; i < graph.node_size(); ++i) {
    if constexpr (std::is_const_v<Graph>) {
      ForEachUse(graph.node(i), defined, visit);
    } else {
      ForEachUse(*graph.mutable_node(i), defined, visit);
    }
  }
}

std::vector<std::string> GradientsOf(const onnx::NodeProto& node, const Gradients& gradients) {
  std::vector<std::string> names;
  for (const std::string& output : node.output()) {
    const auto found = gradients.find(output);
    names.push_back(output.empty() || found == gradients.end() ? "" : found->second);
  }
  return names;
}

bool IsStandard(const onnx::NodeProto& node) { return node.domain().empty() || node.domain() == "ai.onnx"; }

/// Under a name by which people know it, but with values of its own.
void WriteNode(Pullback& p, onnx::NodeProto node, int opset, Renaming& names) {
  node.set_name(NameOf(node));
  RenameUses(node, names);
  for (std::string& output : *node.mutable_output()) {
    if (!output.empty()) output = names[output] = p.pen().Fresh();
  }
  p.pen().nodes.push_back({std::move(node), opset});
}

/// The nodes of a function in place of the call; the values that stand for the call's outputs.
std::vector<std::string> WriteFunction(Pullback& p, const onnx::FunctionProto& function) {
  int opset = p.opset();
  for (const auto& import : function.opset_import()) {
    if (NormalizeDomain(import.domain()).empty()) opset = static_cast<int>(import.version());
  }
  if (p.pen().in_body && opset != p.pen().opset)
    FailForm(p, StrCat("in a body of opset ", p.pen().opset, ", as a function of opset ", opset, " defines it"));
  Renaming names;
  for (int i = 0; i < function.input_size(); ++i) {
    const auto input = static_cast<size_t>(i);
    names[function.input(i)] = input < p.inputs() ? p.Input(input) : "";
  }
  for (const auto& node : function.node()) WriteNode(p, node, opset, names);
  std::vector<std::string> outputs;
  for (int i = 0; i < function.output_size() && i < p.node().output_size(); ++i)
    outputs.push_back(names[function.output(i)]);
  return outputs;
}

/// An operator without a rule may be a function of others.
void PullFunction(Pullback& p) {
  const FunctionBody body = p.pen().find_body(p.node(), p.opset());
  Require(body.function != nullptr, ErrorCode::kUnsupported, "a gradient is asked for through ",
          Utf8(OperatorName(p.node().domain(), p.node().op_type())), " (node '", Utf8(NameOf(p.node())),
          "'), which has no rule for derivatives, and no function that defines it here");
  PullThrough(p, [&](Pullback& written) { return WriteFunction(written, *body.function); });
}

onnx::NodeProto ConstantNode(const onnx::TensorProto& tensor) {
  onnx::NodeProto node;
  node.set_op_type("Constant");
  *node.add_attribute() = onnx::MakeAttribute("value", tensor);
  return node;
}

void Pull(const PlacedNode& placed, const ValueNames& dependent, const Pen& pen, Gradients& gradients) {
  const onnx::NodeProto& node = placed.node;
  const bool reached = std::any_of(node.output().begin(), node.output().end(), [&](const std::string& output) {
    return dependent.count(output) != 0 && gradients.count(output) != 0;
  });
  if (!reached) return;
  const GradientRule rule = IsStandard(node) ? FindGradientRule(node.op_type()) : nullptr;
  Pullback pullback(placed, pen);
  pullback.SetDependent(dependent);
  pullback.SetGradients(GradientsOf(node, gradients));
  if (rule != nullptr) {
    rule(pullback);
  } else {
    PullFunction(pullback);
  }
  pullback.RequireAllRead();
  for (const auto& [value, gradient] : pullback.given()) {
    if (pullback.Wants(value)) Accumulate(pullback, value, gradient, gradients);
  }
}

}  // namespace

std::string NameOf(const onnx::NodeProto& node) {
  return !node.name().empty() ? node.name() : node.output_size() > 0 ? node.output(0) : "";
}

std::vector<std::string> Uses(const onnx::NodeProto& node) {
  std::vector<std::string> uses;
  ForEachUse(node, {}, [&](const onnx::NodeProto& user, int input) { uses.push_back(user.input(input)); });
  return uses;
}

void RenameUses(onnx::NodeProto& node, const Renaming& names) {
  ForEachUse(node, {}, [&](onnx::NodeProto& user, int input) {
    const auto found = names.find(user.input(input));
    if (found != names.end()) user.set_input(input, found->second);
  });
}

void MarkDependent(const std::vector<PlacedNode>& nodes, ValueNames& dependent) {
  for (const auto& [node, opset] : nodes) {
    if (IsStandard(node) && IsPiecewiseConstant(node.op_type())) continue;
    std::vector<std::string> uses = Uses(node);
    if (IsStandard(node) && node.op_type() == "CastLike") uses.resize(1);  // of the other the type alone counts
    const bool depends =
        std::any_of(uses.begin(), uses.end(), [&](const std::string& use) { return dependent.count(use) != 0; });
    if (depends) dependent.insert(node.output().begin(), node.output().end());
  }
}

void Accumulate(Pullback& p, const std::string& value, const std::string& gradient, Gradients& gradients) {
  std::string& sum = gradients[value];
  sum = sum.empty() ? gradient : Plus(p, sum, gradient);
}

void Reverse(const std::vector<PlacedNode>& nodes, const ValueNames& dependent, const Pen& pen, Gradients& gradients) {
  for (size_t i = nodes.size(); i-- > 0;) Pull(nodes[i], dependent, pen, gradients);
}

void PullThrough(Pullback& p, const std::function<std::vector<std::string>(Pullback& p)>& write) {
  const size_t before = p.pen().nodes.size();
  const std::vector<std::string> outputs = write(p);
  const std::vector<PlacedNode> nodes(p.pen().nodes.begin() + static_cast<std::ptrdiff_t>(before), p.pen().nodes.end());
  ValueNames dependent;
  for (size_t i = 0; i < p.inputs(); ++i) {
    if (p.Wants(i)) dependent.insert(p.Input(i));
  }
  const ValueNames wanted = dependent;
  MarkDependent(nodes, dependent);
  Gradients gradients;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (p.HasGradient(i)) Accumulate(p, outputs[i], p.gradient(i), gradients);
  }
  Reverse(nodes, dependent, p.pen(), gradients);
  for (const std::string& input : wanted) {
    const auto found = gradients.find(input);
    if (found != gradients.end()) p.Give(input, found->second);
  }
}

GradientBody::GradientBody(const Pullback& p, int opset)
    : p_(p.placed(), {p.pen().prefix, p.pen().counter, nodes_, p.pen().find_body, opset, true}) {
  graph_.set_name(Utf8(p.node().op_type()));
}

std::string GradientBody::AddInput(std::string name) {
  graph_.add_input()->set_name(name);
  return name;
}

void GradientBody::AddOutput(const std::string& value) { graph_.add_output()->set_name(p_.Emit("Identity", {value})); }

onnx::AttributeProto GradientBody::Attribute(const char* name) const {
  onnx::GraphProto graph = graph_;
  for (const PlacedNode& placed : nodes_) *graph.add_node() = placed.node;
  return onnx::MakeAttribute(name, graph);
}

void WriteInline(Pullback& p, const onnx::GraphProto& body, Renaming& names) {
  if (body.sparse_initializer_size() > 0) FailForm(p, "with a sparse tensor in its body");
  for (const auto& tensor : body.initializer()) {
    if (names.count(tensor.name()) != 0) continue;  // the default of an input
    onnx::NodeProto node = ConstantNode(tensor);
    node.add_output(tensor.name());
    WriteNode(p, std::move(node), p.pen().opset, names);
  }
  for (const auto& node : body.node()) WriteNode(p, node, p.pen().opset, names);
}

}  // namespace onnxforge::io
