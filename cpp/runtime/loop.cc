#include <cstdint>
#include <limits>
#include <utility>

#include "control_flow.h"

namespace onnxforge::runtime {
namespace {

/// Loop, every version.
///   inputs: trip count M (optional), condition (optional), carried values…
///   body:   (iteration, condition, carried…) → (condition, carried…, scan outputs…)
///   outputs: final carried values…, scan outputs stacked along axis 0…
class Loop final : public ControlFlow {
 public:
  Loop(const NodeSpec& node, const std::vector<BodyPlan>& bodies) : body_(FindBody(bodies, "body")) {
    Require(node.input_count >= 2, ErrorCode::kInvalidModel, "Loop takes at least two inputs, and has ",
            node.input_count);
    carried_ = node.input_count - 2;
    Require(node.output_count >= carried_, ErrorCode::kInvalidModel, "Loop has ", carried_, " carried values but only ",
            node.output_count, " outputs");
    scans_ = node.output_count - carried_;
    RequireBodyArity(bodies[body_], carried_ + 2, 1 + carried_ + scans_);
    scan_types_.assign(bodies[body_].plan->output_types.end() - static_cast<std::ptrdiff_t>(scans_),
                       bodies[body_].plan->output_types.end());
  }

  void Run(KernelContext& context, BodyRunner& runner) const override {
    const int64_t trips = TripCount(context);
    bool keep_going = !context.HasInput(1) || ReadCondition(context.InputValue(1), "the condition");
    std::vector<Value> carried(carried_);
    for (size_t i = 0; i < carried_; ++i) {
      if (context.HasInput(2 + i)) carried[i] = context.InputValue(2 + i);
    }
    std::vector<StackedOutput> scans(scans_);
    std::vector<Value> inputs(2 + carried_);
    std::vector<Value> outputs;
    for (int64_t iteration = 0; iteration < trips && keep_going; ++iteration) {
      inputs[0] = Tensor::Scalar<int64_t>(iteration);
      inputs[1] = Tensor::Scalar<bool>(true);
      for (size_t i = 0; i < carried_; ++i) inputs[2 + i] = std::move(carried[i]);
      runner.Run(body_, inputs, outputs);
      keep_going = ReadCondition(outputs[0], "the condition that the body returns");
      for (size_t i = 0; i < carried_; ++i) carried[i] = std::move(outputs[1 + i]);
      for (size_t i = 0; i < scans_; ++i) scans[i].Add(std::move(outputs[1 + carried_ + i]));
    }
    for (size_t i = 0; i < carried_; ++i) context.SetOutput(i, std::move(carried[i]));
    for (size_t i = 0; i < scans_; ++i) {
      if (context.HasOutput(carried_ + i)) scans[i].Finish(context, carried_ + i, scan_types_[i], 0);
    }
  }

 private:
  static int64_t TripCount(const KernelContext& context) {
    if (!context.HasInput(0)) return std::numeric_limits<int64_t>::max();
    const Tensor& trips = context.Input(0);
    Require(trips.dtype() == DType::kInt64 && trips.elements() == 1, ErrorCode::kInvalidModel,
            "the trip count must be one int64, and is ", trips.dtype(), trips.shape());
    return *trips.data<int64_t>();
  }

  size_t body_;
  size_t carried_ = 0;
  size_t scans_ = 0;
  std::vector<Type> scan_types_;
};

}  // namespace

std::unique_ptr<ControlFlow> CreateLoop(const NodeSpec& node, const std::vector<BodyPlan>& bodies) {
  return std::make_unique<Loop>(node, bodies);
}

}  // namespace onnxforge::runtime
