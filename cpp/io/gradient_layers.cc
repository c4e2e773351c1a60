// The derivatives of normalisations and losses.
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_rules.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// A tensor brought to mean 0, where `centred`, and variance 1 along axes; and what comes back through that.
class Normalized {
 public:
  Normalized(Pullback& p, const std::string& x, std::string axes, float epsilon, bool centred)
      : p_(p), axes_(std::move(axes)), centred_(centred) {
    const std::string around = centred ? Minus(p, x, MeanOf(x)) : x;
    const std::string variance = Plus(p, MeanOf(Times(p, around, around)), p.Number(epsilon, x));
    inverse_ = p.Emit("Reciprocal", {p.Emit("Sqrt", {variance})});
    value_ = Times(p, around, inverse_);
  }

  const std::string& value() const { return value_; }
  std::string Back(const std::string& gradient) const {
    const std::string along = Times(p_, value_, MeanOf(Times(p_, gradient, value_)));
    const std::string moved = centred_ ? Minus(p_, gradient, MeanOf(gradient)) : gradient;
    return Times(p_, inverse_, Minus(p_, moved, along));
  }

 private:
  std::string MeanOf(const std::string& value) const { return p_.Emit("ReduceMean", {value, axes_}); }

  Pullback& p_;
  std::string axes_;
  bool centred_;
  std::string inverse_, value_;
};

/// A value for each channel, in a shape that is laid over x: [C, 1, …].
std::string PerChannel(Pullback& p, const std::string& value, const std::string& x) {
  const std::string others = p.Emit("Sub", {p.Emit("Shape", {p.ShapeOf(x)}), p.Integers({2})});
  return p.Emit("Reshape", {value, Joined(p, {p.Integers({-1}), p.Emit("Expand", {p.Integers({1}), others})})});
}

/// y = normalised · scale + bias, with both laid over x in these shapes.
void PullScaled(Pullback& p, const Normalized& x, const std::string& scale, const std::string& bias) {
  if (p.Wants(0)) p.Give(0, x.Back(Times(p, p.gradient(), scale)));
  if (p.Wants(1)) p.Give(1, p.ReshapeTo(p.SumTo(Times(p, p.gradient(), x.value()), scale), p.Input(1)));
  if (p.Wants(2)) p.Give(2, p.ReshapeTo(p.SumTo(p.gradient(), bias), p.Input(2)));
}

void PullLayerNormalization(Pullback& p) {
  const std::string axes = AxesFrom(p, p.Input(0), p.Int("axis", -1));
  const Normalized x(p, p.Input(0), axes, p.Float("epsilon", 1e-5f), true);
  PullScaled(p, x, p.Input(1), p.HasInput(2) ? p.Input(2) : "");
}

void PullRmsNormalization(Pullback& p) {
  const std::string axes = AxesFrom(p, p.Input(0), p.Int("axis", -1));
  PullScaled(p, Normalized(p, p.Input(0), axes, p.Float("epsilon", 1e-5f), false), p.Input(1), "");
}

void PullInstanceNormalization(Pullback& p) {
  const Normalized x(p, p.Input(0), AxesFrom(p, p.Input(0), 2), p.Float("epsilon", 1e-5f), true);
  PullScaled(p, x, PerChannel(p, p.Input(1), p.Input(0)), PerChannel(p, p.Input(2), p.Input(0)));
}

/// The channels of a group and what follows them are one axis.
void PullGroupNormalization(Pullback& p) {
  if (p.opset() < 21) FailForm(p, StrCat("of opset ", p.opset(), ", which scales groups"));
  const std::string& x = p.Input(0);
  const std::string shape = Joined(p, {Extents(p, x, 0, 1), p.Integers({p.Int("num_groups", 1), -1})});
  const Normalized groups(p, p.Emit("Reshape", {x, shape}), p.Integers({-1}), p.Float("epsilon", 1e-5f), true);
  const std::string scale = PerChannel(p, p.Input(1), x);
  if (p.Wants(0)) {
    const std::string scaled = p.Emit("Reshape", {Times(p, p.gradient(), scale), shape});
    p.Give(0, p.ReshapeTo(groups.Back(scaled), x));
  }
  if (p.Wants(1)) {
    const std::string slope = Times(p, p.gradient(), p.ReshapeTo(groups.value(), x));
    p.Give(1, p.ReshapeTo(p.SumTo(slope, scale), p.Input(1)));
  }
  if (p.Wants(2)) p.Give(2, p.ReshapeTo(p.SumTo(p.gradient(), scale), p.Input(2)));
}

void PullMeanVarianceNormalization(Pullback& p) {
  constexpr float kEpsilon = 1e-18f;  // of the variance; the standard adds its root to the deviation
  std::vector<int64_t> axes = {0, 2, 3};
  if (const auto* found = p.Find("axes")) axes = {found->ints().begin(), found->ints().end()};
  p.Give(0, Normalized(p, p.Input(0), p.Integers(axes), kEpsilon, true).Back(p.gradient()));
}

/// In training the statistics are those of the batch; what is kept of them has no gradient.
void PullTrainingBatchNormalization(Pullback& p) {
  const std::string& x = p.Input(0);
  const std::string axes = Joined(p, {p.Integers({0}), AxesFrom(p, x, 2)});
  const Normalized batch(p, x, axes, p.Float("epsilon", 1e-5f), true);
  PullScaled(p, batch, PerChannel(p, p.Input(1), x), PerChannel(p, p.Input(2), x));
}

/// Outside of training the statistics are inputs.
void PullBatchNormalization(Pullback& p) {
  if (p.opset() < 9) FailForm(p, StrCat("of opset ", p.opset()));
  const bool trains = p.opset() < 14 ? p.node().output_size() > 1 : p.Int("training_mode", 0) != 0;
  if (trains) return PullTrainingBatchNormalization(p);
  const auto channel = [&](size_t input) { return PerChannel(p, p.Input(input), p.Input(0)); };
  const std::string scale = channel(1);
  const std::string variance = Plus(p, channel(4), p.Number(p.Float("epsilon", 1e-5f), p.Input(4)));
  const std::string inverse = p.Emit("Reciprocal", {p.Emit("Sqrt", {variance})});
  const std::string around = Minus(p, p.Input(0), channel(3));
  const std::string factor = Times(p, scale, inverse);
  const auto give = [&](size_t input, const std::string& value) {
    p.Give(input, p.ReshapeTo(p.SumTo(value, scale), p.Input(input)));
  };
  if (p.Wants(0)) p.Give(0, Times(p, p.gradient(), factor));
  if (p.Wants(1)) give(1, Times(p, p.gradient(), Times(p, around, inverse)));
  if (p.Wants(2)) give(2, p.gradient());
  if (p.Wants(3)) give(3, p.Emit("Neg", {Times(p, p.gradient(), factor)}));
  if (p.Wants(4)) {
    const std::string slope = Times(p, Over(p, factor, variance), p.Number(-0.5f, p.Input(4)));
    give(4, Times(p, p.gradient(), Times(p, around, slope)));
  }
}

/// y = x / n, with n the sum of the magnitudes or the root of the sum of the squares.
void PullLpNormalization(Pullback& p) {
  const std::string axes = p.Integers({p.Int("axis", -1)});
  const bool first = p.Int("p", 2) == 1;
  const std::string norm = p.Emit(first ? "ReduceL1" : "ReduceL2", {p.Input(0), axes});
  const std::string along = p.Emit("ReduceSum", {Times(p, p.gradient(), p.Output(0)), axes});
  const std::string slope = first ? p.Emit("Sign", {p.Input(0)}) : p.Output(0);
  p.Give(0, Over(p, Minus(p, p.gradient(), Times(p, along, slope)), norm));
}

/// What each example counts in the loss, as long as the labels: its label's weight, 0 where the label is to be ignored,
/// times the gradient, and for a mean over the sum of all weights.
std::string LabelGradient(Pullback& p) {
  const std::string& labels = p.Input(1);
  std::string weight = Ones(p, p.ShapeOf(labels), p.Input(0));
  std::string known = labels;
  if (const auto* ignored = p.Find("ignore_index")) {
    const std::string number = p.Emit("Constant", {}, {MakeAttribute("value", onnx::ToTensor(ignored->i()))});
    const std::string out = p.Emit("Equal", {labels, p.Emit("CastLike", {number, labels})});
    known = p.Emit("Where", {out, Minus(p, labels, labels), labels});
    weight = p.Emit("Where", {out, p.Number(0, weight), weight});
  }
  if (p.HasInput(2)) weight = Times(p, weight, p.Emit("Gather", {p.Input(2), known}));
  const auto* reduction = p.Find("reduction");
  std::string counted = Times(p, weight, p.gradient());
  if (reduction != nullptr && reduction->s() != "mean") return counted;
  return Over(p, counted, p.Emit("ReduceSum", {weight}, {MakeAttribute("keepdims", int64_t{0})}));
}

/// 1 at every example's label along the second axis.
std::string AtLabels(Pullback& p) {
  const std::string zero = p.Emit("CastLike", {p.Integers({0}), p.Input(0)});
  const std::string one = p.Emit("CastLike", {p.Integers({1}), p.Input(0)});
  const std::string depth = Extents(p, p.Input(0), 1, 2);
  return p.Emit("OneHot", {p.Input(1), depth, Joined(p, {zero, one})}, {MakeAttribute("axis", int64_t{1})});
}

void PullLabels(Pullback& p, const std::string& slope) {
  if (p.Wants(2)) FailForm(p, "with respect to its weights");
  p.Give(0, Times(p, slope, p.Emit("Unsqueeze", {LabelGradient(p), p.Integers({1})})));
}

void PullNegativeLogLikelihoodLoss(Pullback& p) { PullLabels(p, p.Emit("Neg", {AtLabels(p)})); }

void PullSoftmaxCrossEntropyLoss(Pullback& p) {
  const std::string shares = p.Emit("Softmax", {p.Input(0)}, {MakeAttribute("axis", int64_t{1})});
  PullLabels(p, Minus(p, shares, AtLabels(p)));
}

}  // namespace

const std::vector<GradientRow>& LayerGradients() {
  static const std::vector<GradientRow> rows = {
      {"BatchNormalization", &PullBatchNormalization},
      {"GroupNormalization", &PullGroupNormalization},
      {"InstanceNormalization", &PullInstanceNormalization},
      {"LayerNormalization", &PullLayerNormalization},
      {"LpNormalization", &PullLpNormalization},
      {"MeanVarianceNormalization", &PullMeanVarianceNormalization},
      {"NegativeLogLikelihoodLoss", &PullNegativeLogLikelihoodLoss},
      {"RMSNormalization", &PullRmsNormalization},
      {"SoftmaxCrossEntropyLoss", &PullSoftmaxCrossEntropyLoss},
  };
  return rows;
}

}  // namespace onnxforge::io
