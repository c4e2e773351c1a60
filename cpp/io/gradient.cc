#include "gradient.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "onnxforge/base/error.h"

#include "gradient_reverse.h"
#include "import_type.h"

namespace onnxforge::io {
namespace {

constexpr size_t kMostNodes = 1'000'000;  // as in any graph

std::vector<std::string> StringsOf(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) return {attribute.strings().begin(), attribute.strings().end()};
  }
  return {};
}

}  // namespace

/// The nodes of a graph so far, by the values they make.
class GradientExpansion::Tape {
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
  size_t size() const { return nodes_.size(); }
  std::vector<PlacedNode> Since(size_t first) const {
    return {nodes_.begin() + static_cast<std::ptrdiff_t>(first), nodes_.end()};
  }

 private:
  std::vector<PlacedNode> nodes_;
  std::unordered_map<std::string, size_t> maker_;
};

/// One Gradient node.
class GradientExpansion::Differentiation {
 public:
  Differentiation(const onnx::NodeProto& node, Tape& tape, const FindFunctionBody& find_body)
      : node_(node), tape_(tape), find_body_(find_body), xs_(StringsOf(node, "xs")), zs_(StringsOf(node, "zs")) {
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
    Gradients gradients;
    const std::string& y = Renamed(y_);
    std::vector<PlacedNode> written;
    const Pen pen{prefix_, counter_, written, find_body_};
    const PlacedNode none;
    Pullback seed(none, pen);
    gradients[y] = seed.ExpandTo(seed.Number(1, y), y);
    Reverse(forward_, dependent_, pen, gradients);
    for (int i = 0; i < node_.output_size(); ++i) {
      if (node_.output(i).empty()) continue;
      const std::string& x = Renamed(xs_[static_cast<size_t>(i)]);
      const auto found = gradients.find(x);
      PlacedNode result;
      result.opset = Pen::kOpset;
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
    struct Visit {
      int64_t node;
      std::vector<std::string> uses;  // that are still to be looked at, the last first
    };
    std::vector<Visit> stack;
    std::set<int64_t> open;  // those on the stack, each of which the next one is read by
    const auto visit = [&](const std::string& value) {
      const int64_t maker = fixed.count(value) != 0 ? -1 : tape_.Maker(value);
      if (maker < 0 || done.count(maker) != 0) return;
      Require(open.insert(maker).second, ErrorCode::kInvalidModel, "the nodes that make '", Utf8(y_),
              "' depend on each other in a circle");
      std::vector<std::string> uses = Uses(tape_[static_cast<size_t>(maker)].node);
      std::reverse(uses.begin(), uses.end());
      stack.push_back({maker, std::move(uses)});
    };
    visit(y_);
    while (!stack.empty()) {
      auto& [at, uses] = stack.back();
      if (uses.empty()) {
        done.insert(at);
        forward_.push_back(tape_[static_cast<size_t>(at)]);
        stack.pop_back();
        continue;
      }
      const std::string use = std::move(uses.back());
      uses.pop_back();
      visit(use);
    }
    dependent_.insert(xs_.begin(), xs_.end());
    MarkDependent(forward_, dependent_);
    Require(dependent_.count(y_) != 0, ErrorCode::kInvalidModel, "'", Utf8(y_),
            "' depends on none of the names of 'xs'");
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
      RenameUses(placed.node, renamed_);
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

  const onnx::NodeProto& node_;
  Tape& tape_;
  const FindFunctionBody& find_body_;
  std::vector<std::string> xs_;
  std::vector<std::string> zs_;
  std::string y_;
  std::string prefix_;
  int counter_ = 0;
  std::vector<PlacedNode> forward_;
  ValueNames dependent_;
  Renaming renamed_;
};

bool IsGradient(const onnx::NodeProto& node) {
  return node.op_type() == "Gradient" && node.domain() == "ai.onnx.preview.training";
}

bool HasGradient(const onnx::GraphProto& graph) {
  return std::any_of(graph.node().begin(), graph.node().end(), IsGradient);
}

GradientExpansion::GradientExpansion(const onnx::GraphProto& graph, int opset, FindFunctionBody find_body)
    : tape_(std::make_unique<Tape>()), find_body_(std::move(find_body)) {
  for (const auto& node : graph.node()) {
    if (!IsGradient(node)) tape_->Add({node, opset});
  }
}

GradientExpansion::~GradientExpansion() = default;

std::vector<PlacedNode> GradientExpansion::Expand(const onnx::NodeProto& gradient) {
  const size_t before = tape_->size();
  try {
    Differentiation(gradient, *tape_, find_body_).Run();
  } catch (Error& error) {
    error.AddContext(StrCat("in node '", Utf8(NameOf(gradient)), "' (ai.onnx.preview.training.Gradient)"));
    throw;
  }
  return tape_->Since(before);
}

}  // namespace onnxforge::io
