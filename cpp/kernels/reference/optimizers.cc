// ai.onnx.preview.training: Adagrad, Adam and Momentum.
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

constexpr const char* kTraining = "ai.onnx.preview.training";

/// What all tensors of one update share.
struct Step {
  double rate = 0;
  int64_t count = 0;  // of the updates before this one
};

/// Inputs are R, T, and then `kStates` + 1 groups of as many tensors each: the values, their gradients, and the states.
/// The outputs are the new values and the new states. `update(step, g, values)` gets an element's gradient, and its
/// value and states to change in place.
template <size_t kStates, typename Update>
void OptimizeAll(KernelContext& context, const Update& update) {
  constexpr size_t kFixed = 2;
  constexpr size_t kGroups = kStates + 2;
  Require(context.InputCount() > kFixed && (context.InputCount() - kFixed) % kGroups == 0, ErrorCode::kInvalidModel,
          "there are ", context.InputCount(), " inputs, and must be 2 and then ", kGroups,
          " for each tensor to optimise");
  const size_t tensors = (context.InputCount() - kFixed) / kGroups;
  Require(context.OutputCount() == tensors * (kStates + 1), ErrorCode::kInvalidModel, "there are ",
          context.OutputCount(), " outputs, and must be ", kStates + 1, " for each of ", tensors,
          " tensors to optimise");
  Require(context.Input(0).elements() == 1 && context.Input(1).elements() == 1, ErrorCode::kInvalidArgument,
          "the learning rate and the update count must be scalars");
  const Step step{context.Input(0).To<double>()[0], context.Input(1).To<int64_t>()[0]};
  for (size_t i = 0; i < tensors; ++i) {
    const Tensor& x = context.Input(kFixed + i);
    const double* in[kGroups];
    for (size_t group = 0; group < kGroups; ++group) {
      const Tensor& t = context.Input(kFixed + group * tensors + i);
      Require(t.shape() == x.shape(), ErrorCode::kInvalidArgument, "tensor ", i, " has shape ", x.shape(),
              ", and what belongs to it ", t.shape());
      in[group] = ReadAs<double>(context, t);
    }
    std::vector<WideOutput<double>> out;
    for (size_t k = 0; k <= kStates; ++k)
      out.emplace_back(context, context.Output(k * tensors + i, x.dtype(), x.shape()));
    for (int64_t e = 0; e < x.elements(); ++e) {
      std::array<double, kStates + 1> values;
      values[0] = in[0][e];
      for (size_t k = 1; k <= kStates; ++k) values[k] = in[k + 1][e];
      update(step, in[1][e], values);
      for (size_t k = 0; k <= kStates; ++k) out[k].data()[e] = values[k];
    }
    for (auto& o : out) o.Store();
  }
}

std::unique_ptr<Kernel> MakeAdagrad(const NodeSpec& node) {
  const double norm = node.attributes.Float("norm_coefficient", 0.0f);
  const double decay = node.attributes.Float("decay_factor", 0.0f);
  const double epsilon = node.attributes.Float("epsilon", 1e-6f);
  return MakeKernel([=](KernelContext& context) {
    OptimizeAll<1>(context, [&](const Step& step, double g, std::array<double, 2>& values) {
      auto& [x, h] = values;
      const double regularized = norm * x + g;
      h += regularized * regularized;
      x -= step.rate / (1 + static_cast<double>(step.count) * decay) * regularized / (std::sqrt(h) + epsilon);
    });
  });
}

std::unique_ptr<Kernel> MakeAdam(const NodeSpec& node) {
  const double alpha = node.attributes.Float("alpha", 0.9f);
  const double beta = node.attributes.Float("beta", 0.999f);
  const double norm = node.attributes.Float("norm_coefficient", 0.0f);
  const double norm_post = node.attributes.Float("norm_coefficient_post", 0.0f);
  const double epsilon = node.attributes.Float("epsilon", 1e-6f);
  return MakeKernel([=](KernelContext& context) {
    OptimizeAll<2>(context, [&](const Step& step, double g, std::array<double, 3>& values) {
      auto& [x, v, h] = values;
      const auto count = static_cast<double>(step.count);
      const double regularized = norm * x + g;
      v = alpha * v + (1 - alpha) * regularized;
      h = beta * h + (1 - beta) * regularized * regularized;
      const double rate =
          step.count > 0 ? step.rate * std::sqrt(1 - std::pow(beta, count)) / (1 - std::pow(alpha, count)) : step.rate;
      x = (1 - norm_post) * (x - rate * v / (std::sqrt(h) + epsilon));
    });
  });
}

std::unique_ptr<Kernel> MakeMomentum(const NodeSpec& node) {
  const double alpha = node.attributes.Get<float>("alpha");
  const double beta = node.attributes.Get<float>("beta");
  const double norm = node.attributes.Get<float>("norm_coefficient");
  const auto& mode = node.attributes.Get<std::string>("mode");
  Require(mode == "standard" || mode == "nesterov", ErrorCode::kInvalidModel, "attribute 'mode' is '", mode,
          "', and must be standard or nesterov");
  return MakeKernel([=, nesterov = mode == "nesterov"](KernelContext& context) {
    OptimizeAll<1>(context, [&](const Step& step, double g, std::array<double, 2>& values) {
      auto& [x, v] = values;
      const double regularized = norm * x + g;
      v = alpha * v + (step.count > 0 ? beta : 1) * regularized;
      x -= step.rate * (nesterov ? regularized + alpha * v : v);
    });
  });
}

}  // namespace

void AddOptimizers(KernelTable& table) {
  table.Add(kTraining, "Adagrad", {1}, &MakeAdagrad);
  table.Add(kTraining, "Adam", {1}, &MakeAdam);
  table.Add(kTraining, "Momentum", {1}, &MakeMomentum);
}

}  // namespace onnxforge::reference
