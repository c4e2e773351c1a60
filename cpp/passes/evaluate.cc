#include "evaluate.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>

#include "onnxforge/base/threads.h"

namespace onnxforge::passes {
namespace {

/// Memory for one evaluation, up to a limit.
class LimitedHeap final : public OutputAllocator {
 public:
  LimitedHeap(size_t limit, const std::vector<Tensor>& inputs, std::optional<size_t> spent)
      : limit_(limit), inputs_(inputs), spent_(spent) {}

  Tensor AllocateOutput(size_t, DType dtype, const Shape& shape) override {
    const size_t size = std::max<size_t>(ElementSize(dtype), 1);
    Take(static_cast<uint64_t>(shape.elements()) > limit_ / size ? limit_ + 1
                                                                 : static_cast<size_t>(shape.elements()) * size);
    return Tensor::Allocate(dtype, shape);
  }
  Tensor TakeInput(size_t input, size_t, DType dtype, const Shape& shape) override {
    if (input != spent_ || inputs_[input].dtype() != dtype || inputs_[input].shape() != shape) return {};
    return inputs_[input];
  }
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
  const std::vector<Tensor>& inputs_;
  std::optional<size_t> spent_;
  std::vector<Storage> scratch_;
};

std::vector<Value> Run(const PassContext& context, const ir::Node& node, const std::vector<Tensor>& inputs,
                       const std::vector<bool>& used, size_t limit, std::optional<size_t> spent) {
  std::vector<Type> types;
  std::vector<Value> values;
  for (const Tensor& tensor : inputs) {
    types.push_back(tensor.defined() ? Type::Tensor(tensor.dtype(), tensor.shape()) : Type{});
    values.push_back(tensor.defined() ? Value(tensor) : Value());
  }
  const NodeSpec spec{node.domain, node.op_type, node.since_version, node.attributes,
                      types,       inputs,       inputs.size(),      node.outputs.size()};
  const std::unique_ptr<Kernel> kernel = CreateKernel(context.tier, spec);
  Require(kernel != nullptr, ErrorCode::kUnsupported, "no kernel");

  std::vector<const Value*> pointers;
  for (size_t i = 0; i < values.size(); ++i) pointers.push_back(inputs[i].defined() ? &values[i] : nullptr);
  std::vector<Value> outputs(node.outputs.size());
  const auto flags = std::make_unique<bool[]>(outputs.size());
  std::copy(used.begin(), used.end(), flags.get());
  LimitedHeap heap(limit, inputs, spent);
  ThreadPool threads(1);
  KernelContext run(pointers, outputs, {flags.get(), outputs.size()}, threads, heap);
  kernel->Run(run);
  return outputs;
}

}  // namespace

std::vector<Value> Evaluate(const PassContext& context, const ir::Node& node, const std::vector<Tensor>& inputs,
                            const std::vector<bool>& used, size_t limit) {
  return Run(context, node, inputs, used, limit, std::nullopt);
}

Tensor Evaluate(const PassContext& context, std::string_view op_type, int since_version, const Attributes& attributes,
                const std::vector<Tensor>& inputs, std::optional<size_t> spent) {
  ir::Node node;
  node.op_type = op_type;
  node.since_version = since_version;
  node.attributes = attributes;
  node.outputs.resize(1);
  return Run(context, node, inputs, {true}, std::numeric_limits<size_t>::max(), spent)[0].tensor();
}

}  // namespace onnxforge::passes
