// Before: a node all of whose inputs are constants.
// After:  its outputs are constants, unless they would make the model grow: a ConstantOfShape of a gigabyte, or weights
//         that are kept in int8 and multiplied out, stay what they are.

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "onnxforge/base/threads.h"
#include "onnxforge/ir/patch.h"
#include "onnxforge/kernels/table.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

/// Outputs may be as large as what the node reads, or this if that is more.
constexpr size_t kSmall = 64 * 1024;

/// Memory for one evaluation, up to a limit.
class LimitedHeap final : public OutputAllocator {
 public:
  explicit LimitedHeap(size_t limit) : limit_(limit) {}

  Tensor AllocateOutput(size_t, DType dtype, const Shape& shape) override {
    const size_t size = std::max<size_t>(ElementSize(dtype), 1);
    Take(static_cast<uint64_t>(shape.elements()) > limit_ / size ? limit_ + 1
                                                                 : static_cast<size_t>(shape.elements()) * size);
    return Tensor::Allocate(dtype, shape);
  }
  Tensor TakeInput(size_t, size_t, DType, const Shape&) override { return {}; }
  void* Scratch(size_t bytes) override {
    scratch_.push_back(AllocateStorage(bytes));
    return scratch_.back().get();
  }

 private:
  void Take(size_t bytes) {
    Require(bytes <= limit_, ErrorCode::kUnsupported, "the result is larger than ", limit_, " bytes");
    limit_ -= bytes;
  }

  size_t limit_;
  std::vector<Storage> scratch_;
};

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

  std::vector<Value> Evaluate(const ir::Node& node) const {
    std::vector<Type> types;
    std::vector<Tensor> constants;
    std::vector<Value> values;
    size_t input_bytes = 0;
    for (ir::ValueId id : node.inputs) {
      const Tensor constant = Constant(id);
      constants.push_back(constant);
      types.push_back(constant.defined() ? Type::Tensor(constant.dtype(), constant.shape()) : Type{});
      values.push_back(constant.defined() ? Value(constant) : Value());
      if (constant.defined()) input_bytes += constant.bytes();
    }
    const NodeSpec spec{node.domain, node.op_type, node.since_version, node.attributes,
                        types,       constants,    node.inputs.size(), node.outputs.size()};
    const std::unique_ptr<Kernel> kernel = CreateKernel(context_.tier, spec);
    Require(kernel != nullptr, ErrorCode::kUnsupported, "no kernel");

    std::vector<const Value*> inputs;
    for (size_t i = 0; i < values.size(); ++i) inputs.push_back(node.inputs[i].valid() ? &values[i] : nullptr);
    std::vector<Value> outputs(node.outputs.size());
    const auto used = std::make_unique<bool[]>(outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) used[i] = IsUsed(graph_, node.outputs[i]);
    LimitedHeap heap(std::max(kSmall, input_bytes));
    ThreadPool threads(1);
    KernelContext context(inputs, outputs, {used.get(), outputs.size()}, threads, heap);
    kernel->Run(context);
    return outputs;
  }

  ir::Graph& graph_;
  const PassContext& context_;
  ir::Patch patch_;
  std::map<ir::ValueId, Tensor> folded_;
};

}  // namespace

bool FoldConstants(ir::Graph& graph, const PassContext& context) { return Folder(graph, context).Run(); }

}  // namespace onnxforge::passes
