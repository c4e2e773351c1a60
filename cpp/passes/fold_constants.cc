// Before: a node all of whose inputs are constants.
// After:  its outputs are constants, unless they would make the model grow without bounds: a ConstantOfShape of a
//         gigabyte, or a large model's weights that are kept in int8 and multiplied out, stay what they are.

#include <algorithm>
#include <map>
#include <vector>

#include "onnxforge/ir/patch.h"

#include "evaluate.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

/// Outputs may be as large as what the node reads, or this if that is more.
constexpr size_t kSmall = 64 * 1024;
/// What all nodes of a graph together may add to that: weights that are made in the graph are worth packing once.
constexpr size_t kGrowth = size_t{640} * 1024 * 1024;

class Folder {
 public:
  Folder(ir::Graph& graph, const PassContext& context) : graph_(graph), context_(context), patch_(graph) {}

  bool Run() {
    for (ir::NodeId id : graph_.order()) Visit(graph_.node(id));
    if (folded_.empty()) return false;
    for (auto& [id, tensor] : folded_) patch_.ReplaceUses(id, patch_.AddConstant(graph_.value(id).name, tensor));
    patch_.Apply(graph_);
    return true;
  }

 private:
  Tensor Constant(ir::ValueId id) const {
    if (!id.valid()) return {};
    const auto found = folded_.find(id);
    return found != folded_.end() ? found->second : graph_.value(id).constant;
  }

  bool MayFold(const ir::Node& node) const {
    if (!node.bodies.empty() || IsRandom(node)) return false;
    for (ir::ValueId id : node.inputs) {
      if (id.valid() && !Constant(id).defined()) return false;
    }
    // Only a node can make an output of the graph.
    return std::none_of(node.outputs.begin(), node.outputs.end(), [&](ir::ValueId id) { return IsOutput(graph_, id); });
  }

  void Visit(const ir::Node& node) {
    if (!MayFold(node)) return;
    try {
      Keep(node, Evaluate(node));
    } catch (const Error&) {
      // What cannot be computed now may never be asked for, as in a branch not taken; if it is, the run reports it.
    }
  }

  void Keep(const ir::Node& node, const std::vector<Value>& outputs) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (IsUsed(graph_, node.outputs[i]) && !outputs[i].is_tensor()) return;
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (IsUsed(graph_, node.outputs[i])) folded_.emplace(node.outputs[i], outputs[i].tensor());
    }
  }

  std::vector<Value> Evaluate(const ir::Node& node) {
    std::vector<Tensor> constants;
    size_t input_bytes = 0;
    for (ir::ValueId id : node.inputs) {
      constants.push_back(Constant(id));
      if (constants.back().defined()) input_bytes += constants.back().bytes();
    }
    std::vector<bool> used;
    for (ir::ValueId id : node.outputs) used.push_back(IsUsed(graph_, id));
    const size_t limit = std::max({kSmall, input_bytes, budget_});
    std::vector<Value> outputs = passes::Evaluate(context_, node, constants, used, limit);
    size_t bytes = 0;
    for (const Value& output : outputs) bytes += output.is_tensor() ? output.tensor().bytes() : 0;
    budget_ -= std::min(budget_, bytes > input_bytes ? bytes - input_bytes : 0);
    return outputs;
  }

  ir::Graph& graph_;
  const PassContext& context_;
  ir::Patch patch_;
  std::map<ir::ValueId, Tensor> folded_;
  size_t budget_ = kGrowth;
};

}  // namespace

bool FoldConstants(ir::Graph& graph, const PassContext& context) { return Folder(graph, context).Run(); }

}  // namespace onnxforge::passes
