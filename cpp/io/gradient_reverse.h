#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gradient_rules.h"

namespace onnxforge::io {

/// For values of a graph, the values that hold their gradients.
using Gradients = std::map<std::string, std::string>;
using Renaming = std::unordered_map<std::string, std::string>;

/// What messages call a node.
std::string NameOf(const onnx::NodeProto& node);

/// What a node reads: its inputs, and what its bodies take from around them.
std::vector<std::string> Uses(const onnx::NodeProto& node);

/// Gives what a node reads other names, in its bodies too.
void RenameUses(onnx::NodeProto& node, const Renaming& names);

/// Adds to `dependent` what depends on it through nodes, which are in an order in which they can run.
void MarkDependent(const std::vector<PlacedNode>& nodes, ValueNames& dependent);

/// Adds to the gradient of a value.
void Accumulate(Pullback& p, const std::string& value, const std::string& gradient, Gradients& gradients);

/// Carries gradients of what the nodes make back to those of `dependent` that they read. Fails with kUnsupported,
/// naming the operator and the node, where an operator has no rule.
void Reverse(const std::vector<PlacedNode>& nodes, const ValueNames& dependent, const Pen& pen, Gradients& gradients);

/// The rule of an operator that others express: `write` writes them and returns the values that stand for the outputs.
void PullThrough(Pullback& p, const std::function<std::vector<std::string>(Pullback& p)>& write);

/// A body that a rule writes.
class GradientBody {
 public:
  /// For a node that is put where `p` writes, and is of this opset.
  GradientBody(const Pullback& p, int opset);

  Pullback& p() { return p_; }
  /// Under a name of its own, which it returns.
  std::string AddInput(std::string name);
  void AddOutput(const std::string& value);
  const std::vector<PlacedNode>& nodes() const { return nodes_; }
  onnx::AttributeProto Attribute(const char* name) const;

 private:
  std::vector<PlacedNode> nodes_;
  onnx::GraphProto graph_;
  Pullback p_;
};

/// Writes the nodes of a body at the pen of `p`. `names`: what its inputs are called there; gets all names.
void WriteInline(Pullback& p, const onnx::GraphProto& body, Renaming& names);

}  // namespace onnxforge::io
