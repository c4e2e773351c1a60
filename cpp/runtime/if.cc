#include <utility>

#include "control_flow.h"

namespace onnxforge::runtime {
namespace {

/// If, every version: runs the branch that the condition names and passes its outputs on.
class If final : public ControlFlow {
 public:
  If(const NodeSpec& node, const std::vector<BodyPlan>& bodies)
      : then_(FindBody(bodies, "then_branch")), else_(FindBody(bodies, "else_branch")) {
    Require(node.input_count == 1, ErrorCode::kInvalidModel, "If takes one input, and has ", node.input_count);
    RequireBodyArity(bodies[then_], 0, node.output_count);
    RequireBodyArity(bodies[else_], 0, node.output_count);
  }

  void Run(KernelContext& context, BodyRunner& runner) const override {
    std::vector<Value> inputs;
    std::vector<Value> outputs;
    OutputsOf allocator(context);
    runner.Run(ReadCondition(context.InputValue(0), "the condition") ? then_ : else_, inputs, outputs, &allocator);
    for (size_t i = 0; i < outputs.size(); ++i) context.SetOutput(i, std::move(outputs[i]));
  }

 private:
  /// What the branch makes as its i-th output is made as the node's own from the start.
  class OutputsOf final : public OutputAllocator {
   public:
    explicit OutputsOf(KernelContext& context) : context_(context) {}
    Tensor AllocateOutput(size_t index, DType dtype, const Shape& shape) override {
      return context_.Output(index, dtype, shape);
    }
    Tensor TakeInput(size_t, size_t, DType, const Shape&) override { return {}; }
    void* Scratch(size_t) override { return nullptr; }

   private:
    KernelContext& context_;
  };

  size_t then_;
  size_t else_;
};

}  // namespace

std::unique_ptr<ControlFlow> CreateIf(const NodeSpec& node, const std::vector<BodyPlan>& bodies) {
  return std::make_unique<If>(node, bodies);
}

}  // namespace onnxforge::runtime
