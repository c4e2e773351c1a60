// The derivatives of convolutions, pools, normalisations and losses.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_rules.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// Extents of a shape, from `start` to before `end`.
std::string Extents(Pullback& p, const std::string& value, int64_t start, int64_t end = int64_t{1} << 31) {
  return p.Emit("Shape", {value}, {MakeAttribute("start", start), MakeAttribute("end", end)});
}

std::string Joined(Pullback& p, std::vector<std::string> parts) {
  return p.Emit("Concat", std::move(parts), {MakeAttribute("axis", int64_t{0})});
}

/// Ones of the type of `like`.
std::string Ones(Pullback& p, const std::string& shape, const std::string& like) {
  return p.Emit("Expand", {p.Number(1, like), shape});
}

/// Cuts or fills the ends of the last `rank` axes so that they are as long as those of `like`.
std::string FitTo(Pullback& p, const std::string& value, const std::string& like, size_t rank) {
  const std::string more = p.Emit("Sub", {p.ShapeOf(like), p.ShapeOf(value)});
  std::vector<int64_t> axes;
  for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i) - static_cast<int64_t>(rank));
  const std::string ends = p.Emit("Slice", {more, p.Integers({axes[0]}), p.Integers({int64_t{1} << 31})});
  const std::string begins = p.Integers(std::vector<int64_t>(rank, 0));
  return p.Emit("Pad", {value, Joined(p, {begins, ends}), "", p.Integers(axes)});
}

/// How windows lie over an image.
struct Windows {
  size_t rank = 0;
  int64_t groups = 1;
  std::vector<int64_t> kernel, steps, dilations, pads;

  Pullback::Attributes Attributes() const {
    return {MakeAttribute("strides", steps), MakeAttribute("dilations", dilations), MakeAttribute("pads", pads),
            MakeAttribute("group", groups)};
  }
};

Windows WindowsOf(const Pullback& p) {
  const auto* kernel = p.Find("kernel_shape");
  const auto* auto_pad = p.Find("auto_pad");
  if (kernel == nullptr) FailForm(p, "without the attribute 'kernel_shape'");
  if (auto_pad != nullptr && auto_pad->s() != "NOTSET") FailForm(p, "with 'auto_pad'");
  Windows w;
  w.rank = static_cast<size_t>(kernel->ints_size());
  w.groups = p.Int("group", 1);
  w.kernel = {kernel->ints().begin(), kernel->ints().end()};
  w.steps = IntsOf(p, "strides", w.rank, 1);
  w.dilations = IntsOf(p, "dilations", w.rank, 1);
  w.pads = IntsOf(p, "pads", 2 * w.rank, 0);
  if (w.pads.size() != 2 * w.rank) FailForm(p, "with such 'pads'");
  return w;
}

/// Each window's gradient laid back over the image, in the shape of `like`.
std::string SpreadOver(Pullback& p, Windows w, const std::string& gradient, const std::string& filters,
                       const std::string& like) {
  // What lies in the padding behind is cut off with whatever else is behind the image's end.
  std::fill(w.pads.begin() + static_cast<std::ptrdiff_t>(w.rank), w.pads.end(), 0);
  return FitTo(p, p.Emit("ConvTranspose", {gradient, filters}, w.Attributes()), like, w.rank);
}

std::vector<int64_t> WithSpatial(std::vector<int64_t> order, size_t rank) {
  const auto first = static_cast<int64_t>(order.size());
  for (size_t i = 0; i < rank; ++i) order.push_back(first + static_cast<int64_t>(i));
  return order;
}

/// The filters' gradient, from an image and what comes back for each of its windows: a convolution over the batch, in
/// which steps and dilations change places, as do batch and channels. `like`: the filters.
std::string FilterGradient(Pullback& p, Windows w, const std::string& image, const std::string& back,
                           const std::string& like) {
  const auto turned = [&](const std::string& value, const std::vector<int64_t>& order) {
    return p.Emit("Transpose", {value}, {MakeAttribute("perm", WithSpatial(order, w.rank))});
  };
  const auto by_group = [&](const std::string& value) {  // [batch, group, channel, …]
    const std::string split = Joined(p, {Extents(p, value, 0, 1), p.Integers({w.groups, -1}), Extents(p, value, 2)});
    return p.Emit("Reshape", {value, split});
  };
  const std::string images = turned(by_group(image), {2, 1, 0});
  const std::string backs = turned(by_group(back), {1, 2, 0});
  const std::string batches =
      p.Emit("Reshape", {images, Joined(p, {Extents(p, images, 0, 1), p.Integers({-1}), Extents(p, images, 3)})});
  const std::string filters = p.Emit("Reshape", {backs, Joined(p, {p.Integers({-1}), Extents(p, backs, 2)})});
  std::swap(w.steps, w.dilations);
  return FitTo(p, turned(p.Emit("Conv", {batches, filters}, w.Attributes()), {1, 0}), like, w.rank);
}

void PullChannelSums(Pullback& p, size_t input) {
  if (p.Wants(input))
    p.Give(input, p.Emit("Einsum", {p.gradient()}, {MakeAttribute("equation", std::string("nm...->m"))}));
}

void PullConv(Pullback& p) {
  const Windows w = WindowsOf(p);
  if (p.Wants(0)) p.Give(0, SpreadOver(p, w, p.gradient(), p.Input(1), p.Input(0)));
  if (p.Wants(1)) p.Give(1, FilterGradient(p, w, p.Input(0), p.gradient(), p.Input(1)));
  PullChannelSums(p, 2);
}

void PullConvTranspose(Pullback& p) {
  const Windows w = WindowsOf(p);
  if (p.Find("output_shape") != nullptr) FailForm(p, "with 'output_shape'");
  if (p.Wants(0)) p.Give(0, FitTo(p, p.Emit("Conv", {p.gradient(), p.Input(1)}, w.Attributes()), p.Input(0), w.rank));
  if (p.Wants(1)) p.Give(1, FilterGradient(p, w, p.gradient(), p.Input(0), p.Input(1)));
  PullChannelSums(p, 2);
}

/// A filter of ones over every channel by itself: the channels join the batch.
void PullAveragePool(Pullback& p) {
  const Windows w = WindowsOf(p);
  if (p.Int("ceil_mode", 0) != 0) FailForm(p, "with 'ceil_mode'");
  const auto lines = [&](const std::string& value) {
    return p.Emit("Reshape", {value, Joined(p, {p.Integers({-1, 1}), Extents(p, value, 2)})});
  };
  std::vector<int64_t> shape = {1, 1};
  shape.insert(shape.end(), w.kernel.begin(), w.kernel.end());
  const std::string filter = Ones(p, p.Integers(shape), p.gradient());
  const std::string inside = Ones(p, Joined(p, {p.Integers({1, 1}), Extents(p, p.Input(0), 2)}), p.gradient());
  int64_t all = 1;
  for (const int64_t extent : w.kernel) all *= extent;
  const std::string count = p.Int("count_include_pad", 0) != 0 ? p.Number(static_cast<float>(all), p.gradient())
                                                               : p.Emit("Conv", {inside, filter}, w.Attributes());
  const std::string share = Over(p, lines(p.gradient()), count);
  p.Give(0, p.ReshapeTo(SpreadOver(p, w, share, filter, lines(p.Input(0))), p.Input(0)));
}

void PullGlobalAveragePool(Pullback& p) { p.Give(0, OverCount(p, p.ExpandTo(p.gradient(), p.Input(0)))); }

/// The axes from `first` on, which counts from the front where it is not negative.
std::string AxesFrom(Pullback& p, const std::string& x, int64_t first) {
  if (first < 0) {
    std::vector<int64_t> axes;
    for (int64_t axis = first; axis < 0; ++axis) axes.push_back(axis);
    return p.Integers(axes);
  }
  const auto scalar = [&](int64_t value) {
    return p.Emit("Constant", {}, {MakeAttribute("value", onnx::ToTensor(value))});
  };
  return p.Emit("Range", {scalar(first), p.Emit("Size", {p.ShapeOf(x)}), scalar(1)});
}

/// Those of several that are equal to the largest share its gradient.
void PullGlobalMaxPool(Pullback& p) {
  const std::string mask = p.Emit("CastLike", {p.Emit("Equal", {p.Input(0), p.Output(0)}), p.gradient()});
  const std::string count = p.Emit("ReduceSum", {mask, AxesFrom(p, p.Input(0), 2)});
  p.Give(0, Times(p, mask, Over(p, p.gradient(), count)));
}

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

/// As it runs outside of training: the statistics are inputs.
void PullBatchNormalization(Pullback& p) {
  const bool trains = p.opset() < 14 ? p.node().output_size() > 1 : p.Int("training_mode", 0) != 0;
  if (trains || p.opset() < 9) FailForm(p, trains ? "in training" : StrCat("of opset ", p.opset()));
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
      {"AveragePool", &PullAveragePool},
      {"BatchNormalization", &PullBatchNormalization},
      {"Conv", &PullConv},
      {"ConvTranspose", &PullConvTranspose},
      {"GlobalAveragePool", &PullGlobalAveragePool},
      {"GlobalMaxPool", &PullGlobalMaxPool},
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
