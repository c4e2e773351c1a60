#include <utility>

#include "control_flow.h"

namespace onnxforge::runtime {
namespace {

/// SequenceMap: the body once per element of the first input. Further inputs that are sequences are walked along with
/// it, tensors are passed whole; each body output becomes a sequence.
class SequenceMap final : public ControlFlow {
 public:
  SequenceMap(const NodeSpec& node, const std::vector<BodyPlan>& bodies) : body_(FindBody(bodies, "body")) {
    Require(node.input_count >= 1, ErrorCode::kInvalidModel, "SequenceMap takes at least one input");
    RequireBodyArity(bodies[body_], node.input_count, node.output_count);
    types_ = bodies[body_].plan->output_types;
  }

  void Run(KernelContext& context, BodyRunner& runner) const override {
    const size_t length = context.InputValue(0).sequence().items.size();
    RequireLengths(context, length);
    std::vector<Sequence> results(types_.size());
    for (size_t i = 0; i < types_.size(); ++i) results[i].element = types_[i].dtype;
    std::vector<Value> inputs(context.InputCount());
    std::vector<Value> outputs;
    for (size_t item = 0; item < length; ++item) {
      for (size_t i = 0; i < inputs.size(); ++i) {
        const Value& input = context.InputValue(i);
        inputs[i] = input.kind() == Value::Kind::kSequence ? input.sequence().items[item] : input;
      }
      runner.Run(body_, inputs, outputs);
      for (size_t i = 0; i < outputs.size(); ++i) {
        if (outputs[i].is_tensor()) results[i].element = outputs[i].tensor().dtype();
        results[i].items.push_back(std::move(outputs[i]));
      }
    }
    for (size_t i = 0; i < results.size(); ++i) context.SetOutput(i, std::move(results[i]));
  }

 private:
  static void RequireLengths(const KernelContext& context, size_t length) {
    for (size_t i = 1; i < context.InputCount(); ++i) {
      const Value& input = context.InputValue(i);
      if (input.kind() != Value::Kind::kSequence) continue;
      Require(input.sequence().items.size() == length, ErrorCode::kInvalidArgument,
              "all sequences must be equally long; input 0 has ", length, " elements, input ", i, " has ",
              input.sequence().items.size());
    }
  }

  size_t body_;
  std::vector<Type> types_;
};

}  // namespace

std::unique_ptr<ControlFlow> CreateSequenceMap(const NodeSpec& node, const std::vector<BodyPlan>& bodies) {
  return std::make_unique<SequenceMap>(node, bodies);
}

}  // namespace onnxforge::runtime
