#include "gradient.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "onnxforge/base/error.h"

#include "gradient_rules.h"
#include "import_type.h"
#include "schemas.h"

namespace onnxforge::io {
namespace {

constexpr size_t kMostNodes = 1'000'000;  // as in any graph

bool IsGradient(const onnx::NodeProto& node) {
  return node.op_type() == "Gradient" && node.domain() == "ai.onnx.preview.training";
}

std::vector<std::string> StringsOf(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) return {attribute.strings().begin(), attribute.strings().end()};
  }
  return {};
}

std::string NameOf(const onnx::NodeProto& node) {
  return !node.name().empty() ? node.name() : node.output_size() > 0 ? node.output(0) : "";
}

/// The nodes of a graph so far, by the values they make.
class Tape {
 public:
  void Add(PlacedNode placed) {
    Require(nodes_.size() < kMostNodes, ErrorCode::kUnsupported, "gradients make more than ", kMostNodes, " nodes");
    for (const std::string& output : placed.node.output()) {
      if (!output.empty()) maker_[output] = nodes_.size();
    }
    nodes_.push_back(std::move(placed));
  }
  /// The place of the node that makes a value, or -1 where it is an input or an initialiser.
  int64_t Maker(const std::string& value) const {
    const auto found = maker_.find(value);
    return found == maker_.end() ? -1 : static_cast<int64_t>(found->second);
  }
  bool Has(const std::string& value) const { return maker_.count(value) != 0; }
  const PlacedNode& operator[](size_t i) const { return nodes_[i]; }
  std::vector<PlacedNode> Release() { return std::move(nodes_); }

 private:
  std::vector<PlacedNode> nodes_;
  std::unordered_map<std::string, size_t> maker_;
};

/// One Gradient node.
class Differentiation {
 public:
  Differentiation(const onnx::NodeProto& node, Tape& tape)
      : node_(node), tape_(tape), xs_(StringsOf(node, "xs")), zs_(StringsOf(node, "zs")) {
    for (const auto& attribute : node.attribute()) {
      if (attribute.name() == "y") y_ = attribute.s();
    }
    prefix_ = StrCat(NameOf(node), "/gradient/");
    const size_t inputs = xs_.size() + zs_.size();
    Require(!xs_.empty() && !y_.empty() && static_cast<size_t>(node.input_size()) == inputs &&
                static_cast<size_t>(node.output_size()) <= xs_.size(),
            ErrorCode::kInvalidModel, "it has ", node.input_size(), " inputs and ", node.output_size(),
            " outputs for the ", xs_.size(), " names of 'xs' and the ", zs_.size(), " of 'zs'");
  }

  void Run() {
    SortForward();
    Substitute();
    std::map<std::string, std::string> gradients;
    const std::string& y = Renamed(y_);
    std::vector<PlacedNode> written;
    const PlacedNode none;
    Pullback seed(none, prefix_, counter_, written);
    gradients[y] = seed.ExpandTo(seed.Number(1, y), y);
    for (size_t i = forward_.size(); i-- > 0;) Pull(forward_[i], gradients, written);
    for (int i = 0; i < node_.output_size(); ++i) {
      if (node_.output(i).empty()) continue;
      const std::string& x = Renamed(xs_[static_cast<size_t>(i)]);
      const auto found = gradients.find(x);
      PlacedNode result;
      result.opset = Pullback::kOpset;
      result.node.set_op_type("Identity");
      result.node.add_input(found != gradients.end() ? found->second : seed.Zeros(x));
      result.node.add_output(node_.output(i));
      written.push_back(std::move(result));
    }
    for (PlacedNode& placed : written) tape_.Add(std::move(placed));
  }

 private:
  /// The nodes between the independent variables and y, in an order in which they can run.
  void SortForward() {
    std::unordered_set<std::string> fixed(xs_.begin(), xs_.end());
    fixed.insert(zs_.begin(), zs_.end());
    std::set<int64_t> done;
    std::vector<std::pair<int64_t, int>> stack;  // a node and the input to look at next
    const auto visit = [&](const std::string& value) {
      const int64_t maker = fixed.count(value) != 0 ? -1 : tape_.Maker(value);
      if (maker >= 0 && done.count(maker) == 0) stack.emplace_back(maker, 0);
    };
    visit(y_);
    while (!stack.empty()) {
      auto& [at, next] = stack.back();
      const onnx::NodeProto& node = tape_[static_cast<size_t>(at)].node;
      if (next == node.input_size()) {
        if (done.insert(at).second) forward_.push_back(tape_[static_cast<size_t>(at)]);
        stack.pop_back();
        continue;
      }
      Require(stack.size() < kMostNodes, ErrorCode::kInvalidModel, "the nodes that make '", Utf8(y_),
              "' depend on each other in a circle");
      visit(node.input(next++));
    }
    MarkDependent();
    Require(dependent_.count(y_) != 0, ErrorCode::kInvalidModel, "'", Utf8(y_),
            "' depends on none of the names of 'xs'");
  }

  void MarkDependent() {
    dependent_.insert(xs_.begin(), xs_.end());
    for (const PlacedNode& placed : forward_) {
      const bool depends = std::any_of(placed.node.input().begin(), placed.node.input().end(),
                                       [&](const std::string& input) { return dependent_.count(input) != 0; });
      if (!depends || (placed.node.domain().empty() && IsPiecewiseConstant(placed.node.op_type()))) continue;
      for (const std::string& output : placed.node.output()) dependent_.insert(output);
    }
  }

  /// Where the gradient is asked for at other values than the graph's own, the nodes are repeated with those.
  void Substitute() {
    std::vector<std::string> names = xs_;
    names.insert(names.end(), zs_.begin(), zs_.end());
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string& value = node_.input(static_cast<int>(i));
      if (value != names[i]) renamed_[names[i]] = value;
    }
    if (renamed_.empty()) return;
    for (PlacedNode& placed : forward_) {
      for (std::string& input : *placed.node.mutable_input()) input = Renamed(input);
      for (std::string& output : *placed.node.mutable_output()) {
        if (output.empty()) continue;
        const std::string fresh = StrCat(prefix_, counter_++);
        if (dependent_.count(output) != 0) dependent_.insert(fresh);
        renamed_[output] = fresh;
        output = fresh;
      }
      placed.node.clear_name();
      tape_.Add(placed);
    }
    for (const std::string& x : xs_) dependent_.insert(Renamed(x));
  }
  const std::string& Renamed(const std::string& name) const {
    const auto found = renamed_.find(name);
    return found == renamed_.end() ? name : found->second;
  }

  void Pull(const PlacedNode& placed, std::map<std::string, std::string>& gradients, std::vector<PlacedNode>& written) {
    const onnx::NodeProto& node = placed.node;
    std::vector<bool> wanted;
    for (const std::string& input : node.input()) wanted.push_back(dependent_.count(input) != 0);
    const bool reached = std::any_of(node.output().begin(), node.output().end(), [&](const std::string& output) {
      return dependent_.count(output) != 0 && gradients.count(output) != 0;
    });
    if (!reached || std::find(wanted.begin(), wanted.end(), true) == wanted.end()) return;
    const bool standard = node.domain().empty() || node.domain() == "ai.onnx";
    const GradientRule rule = standard ? FindGradientRule(node.op_type()) : nullptr;
    Require(rule != nullptr, ErrorCode::kUnsupported, "'", Utf8(y_),
            "' depends on what its gradient is asked for through ", Utf8(OperatorName(node.domain(), node.op_type())),
            " (node '", Utf8(NameOf(node)), "'), which has no rule for derivatives");
    Pullback pullback(placed, prefix_, counter_, written);
    pullback.Want(std::move(wanted));
    pullback.SetGradients(GradientsOf(node, gradients));
    rule(pullback);
    pullback.RequireAllRead();
    for (size_t i = 0; i < pullback.inputs(); ++i) {
      if (!pullback.given(i).empty() && pullback.Wants(i))
        Accumulate(pullback, pullback.Input(i), pullback.given(i), gradients);
    }
  }

  static std::vector<std::string> GradientsOf(const onnx::NodeProto& node,
                                              const std::map<std::string, std::string>& gradients) {
    std::vector<std::string> names;
    for (const std::string& output : node.output()) {
      const auto found = gradients.find(output);
      names.push_back(output.empty() || found == gradients.end() ? "" : found->second);
    }
    return names;
  }

  static void Accumulate(Pullback& p, const std::string& value, const std::string& gradient,
                         std::map<std::string, std::string>& gradients) {
    std::string& sum = gradients[value];
    sum = sum.empty() ? gradient : p.Emit("Add", {sum, gradient});
  }

  const onnx::NodeProto& node_;
  Tape& tape_;
  std::vector<std::string> xs_;
  std::vector<std::string> zs_;
  std::string y_;
  std::string prefix_;
  int counter_ = 0;
  std::vector<PlacedNode> forward_;
  std::unordered_set<std::string> dependent_;
  std::unordered_map<std::string, std::string> renamed_;
};

}  // namespace

bool HasGradient(const onnx::GraphProto& graph) {
  return std::any_of(graph.node().begin(), graph.node().end(), IsGradient);
}

std::vector<PlacedNode> ExpandGradients(const onnx::GraphProto& graph, int opset) {
  Tape tape;
  for (const auto& node : graph.node()) {
    if (!IsGradient(node)) tape.Add({node, opset});
  }
  // One that differentiates another's output stands behind it.
  for (const auto& node : graph.node()) {
    if (!IsGradient(node)) continue;
    try {
      Differentiation(node, tape).Run();
    } catch (Error& error) {
      error.AddContext(StrCat("in node '", Utf8(NameOf(node)), "' (ai.onnx.preview.training.Gradient)"));
      throw;
    }
  }
  return tape.Release();
}

}  // namespace onnxforge::io
