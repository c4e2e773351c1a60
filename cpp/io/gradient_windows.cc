// The derivatives of what slides over an image: convolutions, pools, and LRN.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_rules.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// Cuts or fills the ends of the axes so that they are as long as those of `like`.
std::string FitTo(Pullback& p, const std::string& value, const std::string& like) {
  const std::string more = Minus(p, p.ShapeOf(like), p.ShapeOf(value));
  return p.Emit("Pad", {value, Joined(p, {Minus(p, more, more), more})});
}

/// How windows lie over an image. What the node does not say is left to the operators that are written.
struct Windows {
  int64_t groups = 1;
  std::vector<int64_t> steps, dilations, pads;
  std::string auto_pad = "NOTSET";

  bool IsSame() const { return auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER"; }
  Pullback::Attributes Attributes() const {
    Pullback::Attributes all = {MakeAttribute("group", groups)};
    if (!steps.empty()) all.push_back(MakeAttribute("strides", steps));
    if (!dilations.empty()) all.push_back(MakeAttribute("dilations", dilations));
    if (!pads.empty()) all.push_back(MakeAttribute("pads", pads));
    return all;
  }
};

Windows WindowsOf(const Pullback& p) {
  Windows w;
  w.groups = p.Int("group", 1);
  w.steps = IntsOf(p, "strides", 0, 1);
  w.dilations = IntsOf(p, "dilations", 0, 1);
  w.auto_pad = p.String("auto_pad", "NOTSET");
  if (w.auto_pad == "NOTSET" && p.Find("output_shape") == nullptr) w.pads = IntsOf(p, "pads", 0, 0);
  if (w.pads.size() % 2 != 0) FailForm(p, "with such 'pads'");
  return w;
}

/// Padding that follows from extents: how much `positions` windows lack of an image, half of it on either side.
/// Begins and ends of the spatial axes.
std::string PadsBetween(Pullback& p, const Windows& w, const std::string& image, const std::string& positions,
                        const std::string& kernel, const std::string& extra) {
  const auto less = [&](const std::string& value) { return Minus(p, value, p.Integers({1})); };
  const auto scaled = [&](const std::string& value, const std::vector<int64_t>& by) {
    return by.empty() ? value : Times(p, value, p.Integers(by));
  };
  const std::string reach = Plus(p, scaled(less(kernel), w.dilations), extra);
  const std::string lack = Minus(p, Plus(p, scaled(less(positions), w.steps), reach), image);
  const std::string total = p.Emit("Max", {lack, p.Integers({0})});
  const std::string half = Over(p, total, p.Integers({2}));
  const std::string rest = Minus(p, total, half);
  return w.auto_pad == "SAME_UPPER" ? Joined(p, {half, rest}) : Joined(p, {rest, half});
}

/// `pads`: begins and ends of the spatial axes, or nothing.
std::string WithPads(Pullback& p, const std::string& image, const std::string& pads) {
  if (pads.empty()) return image;
  const std::vector<std::string> sides =
      p.EmitMany("Split", {pads}, 2, {MakeAttribute("num_outputs", int64_t{2}), MakeAttribute("axis", int64_t{0})});
  const std::string none = p.Integers({0, 0});
  return p.Emit("Pad", {image, Joined(p, {none, sides[0], none, sides[1]})});
}

std::string WithoutPads(Pullback& p, const std::string& image, const std::string& pads) {
  return pads.empty() ? image : WithPads(p, image, p.Emit("Neg", {pads}));
}

/// Each window's gradient laid back over the image, in the shape of `like`.
std::string SpreadOver(Pullback& p, Windows w, const std::string& gradient, const std::string& filters,
                       const std::string& like) {
  // What lies in the padding behind is cut off with whatever else is behind the image's end.
  std::fill(w.pads.begin() + static_cast<std::ptrdiff_t>(w.pads.size() / 2), w.pads.end(), 0);
  return FitTo(p, p.Emit("ConvTranspose", {gradient, filters}, w.Attributes()), like);
}

std::string Turned(Pullback& p, const std::string& value, const char* equation) {
  return p.Emit("Einsum", {value}, {MakeAttribute("equation", std::string(equation))});
}

/// The filters' gradient, from an image and what comes back for each of its windows: a convolution over the batch, in
/// which steps and dilations change places, as do batch and channels. `like`: the filters.
std::string FilterGradient(Pullback& p, Windows w, const std::string& image, const std::string& back,
                           const std::string& like) {
  const auto by_group = [&](const std::string& value) {  // [batch, group, channel, …]
    const std::string split = Joined(p, {Extents(p, value, 0, 1), p.Integers({w.groups, -1}), Extents(p, value, 2)});
    return p.Emit("Reshape", {value, split});
  };
  const std::string images = Turned(p, by_group(image), "bgc...->cgb...");
  const std::string backs = Turned(p, by_group(back), "bgc...->gcb...");
  const std::string batches =
      p.Emit("Reshape", {images, Joined(p, {Extents(p, images, 0, 1), p.Integers({-1}), Extents(p, images, 3)})});
  const std::string filters = p.Emit("Reshape", {backs, Joined(p, {p.Integers({-1}), Extents(p, backs, 2)})});
  std::swap(w.steps, w.dilations);
  return FitTo(p, Turned(p, p.Emit("Conv", {batches, filters}, w.Attributes()), "ab...->ba..."), like);
}

void PullChannelSums(Pullback& p, size_t input) {
  if (p.Wants(input)) p.Give(input, Turned(p, p.gradient(), "nm...->m"));
}

void PullConv(Pullback& p) {
  const Windows w = WindowsOf(p);
  const std::string& x = p.Input(0);
  const std::string pads = w.IsSame() ? PadsBetween(p, w, Extents(p, x, 2), Extents(p, p.gradient(), 2),
                                                    Extents(p, p.Input(1), 2), p.Integers({1}))
                                      : "";
  const std::string image = WithPads(p, x, pads);
  if (p.Wants(0)) p.Give(0, WithoutPads(p, SpreadOver(p, w, p.gradient(), p.Input(1), image), pads));
  if (p.Wants(1)) p.Give(1, FilterGradient(p, w, image, p.gradient(), p.Input(1)));
  PullChannelSums(p, 2);
}

void PullConvTranspose(Pullback& p) {
  const Windows w = WindowsOf(p);
  const std::string& x = p.Input(0);
  std::string pads;
  if (w.IsSame() || p.Find("output_shape") != nullptr) {
    std::vector<int64_t> extra = IntsOf(p, "output_padding", 1, 0);
    for (int64_t& extent : extra) ++extent;
    pads =
        PadsBetween(p, w, Extents(p, p.gradient(), 2), Extents(p, x, 2), Extents(p, p.Input(1), 2), p.Integers(extra));
  }
  const std::string image = WithPads(p, p.gradient(), pads);
  if (p.Wants(0)) p.Give(0, FitTo(p, p.Emit("Conv", {image, p.Input(1)}, w.Attributes()), x));
  if (p.Wants(1)) p.Give(1, FilterGradient(p, w, image, x, p.Input(1)));
  PullChannelSums(p, 2);
}

/// The windows of a pool: a filter of ones over every channel by itself, as the channels join the batch.
class Pool {
 public:
  explicit Pool(Pullback& p) : p_(p), w_(WindowsOf(p)) {
    const std::vector<int64_t> kernel = IntsOf(p, "kernel_shape", 0, 1);
    if (kernel.empty()) FailForm(p, "without the attribute 'kernel_shape'");
    std::vector<int64_t> shape = {1, 1};
    shape.insert(shape.end(), kernel.begin(), kernel.end());
    filter_ = Ones(p, p.Integers(shape), p.gradient());
    if (w_.IsSame())
      pads_ = PadsBetween(p, w_, Extents(p, p.Input(0), 2), Extents(p, p.gradient(), 2), p.Integers(kernel),
                          p.Integers({1}));
    if (p.Int("ceil_mode", 0) != 0 && w_.auto_pad == "NOTSET") RoundUp(kernel.size());
  }

  /// What each window has for each of its elements, summed up element by element, in the shape of the input.
  std::string Spread(const std::string& value) const {
    const std::string image = WithPads(p_, Lines(p_.Input(0)), pads_);
    return p_.ReshapeTo(WithoutPads(p_, SpreadOver(p_, w_, Lines(value), filter_, image), pads_), p_.Input(0));
  }
  /// The sums of the windows over an image with one channel; there are as many as in `like`.
  std::string Sums(const std::string& image, const std::string& like) const {
    return FitTo(p_, p_.Emit("Conv", {WithPads(p_, image, pads_), filter_}, w_.Attributes()), like);
  }

 private:
  /// The last window may hang over the end; one that would begin there is cut off.
  void RoundUp(size_t rank) {
    w_.pads.resize(2 * rank, 0);
    for (size_t i = 0; i < w_.steps.size() && i < rank; ++i) w_.pads[rank + i] += w_.steps[i] - 1;
  }
  std::string Lines(const std::string& value) const {
    return p_.Emit("Reshape", {value, Joined(p_, {p_.Integers({-1, 1}), Extents(p_, value, 2)})});
  }

  Pullback& p_;
  Windows w_;
  std::string filter_, pads_;
};

/// What a window over ones comes to, over how many of them it has, is what each counts.
void PullAveragePool(Pullback& p) {
  const Pool pool(p);
  const std::string inside = Ones(p, Joined(p, {p.Integers({1, 1}), Extents(p, p.Input(0), 2)}), p.gradient());
  const std::string mean = p.Repeat({inside})[0];
  const std::string count = p.Emit("Max", {pool.Sums(inside, mean), p.Number(1, p.gradient())});
  p.Give(0, pool.Spread(Times(p, p.gradient(), Over(p, mean, count))));
}

void PullGlobalAveragePool(Pullback& p) { p.Give(0, OverCount(p, p.ExpandTo(p.gradient(), p.Input(0)))); }

/// Those of several that are equal to the largest share its gradient.
void PullGlobalMaxPool(Pullback& p) {
  const std::string mask = p.Emit("CastLike", {p.Emit("Equal", {p.Input(0), p.Output(0)}), p.gradient()});
  const std::string count = p.Emit("ReduceSum", {mask, AxesFrom(p, p.Input(0), 2)});
  p.Give(0, Times(p, mask, Over(p, p.gradient(), count)));
}

/// Blocks that are added up to an image: a filter for every place in a block takes them out again.
void PullCol2Im(Pullback& p) {
  const Windows w = WindowsOf(p);
  const std::string places = p.Emit("ReduceProd", {p.Input(2)});
  const std::string unit = p.Emit("EyeLike", {Ones(p, Joined(p, {places, places}), p.gradient())});
  const std::string filters = p.Emit("Reshape", {unit, Joined(p, {places, p.Integers({1}), p.Input(2)})});
  const std::string images =
      p.Emit("Reshape", {p.gradient(), Joined(p, {p.Integers({-1, 1}), Extents(p, p.gradient(), 2)})});
  p.Give(0, p.ReshapeTo(p.Emit("Conv", {images, filters}, w.Attributes()), p.Input(0)));
}

/// y is the root of a sum of powers, of which each has the slope sign(x) · |x|^(p - 1) / y^(p - 1): the divisor goes
/// with the gradient, the rest is laid over what comes back of it. A sum that is 0 passes nothing on.
template <typename F>
void PullNorm(Pullback& p, const F& spread) {
  const float power = p.opset() < 2 ? p.Float("p", 2) : static_cast<float>(p.Int("p", 2));
  const std::string less = p.Number(power - 1, p.Input(0));
  const std::string zero = p.Number(0, p.gradient());
  const std::string share = Over(p, p.gradient(), p.Emit("Pow", {p.Output(0), less}));
  const std::string kept = p.Emit("Where", {p.Emit("Equal", {p.Output(0), zero}), zero, share});
  const std::string slope = Times(p, p.Emit("Sign", {p.Input(0)}),  //
                                  p.Emit("Pow", {p.Emit("Abs", {p.Input(0)}), less}));
  p.Give(0, Times(p, spread(kept), slope));
}

void PullLpPool(Pullback& p) {
  const Pool pool(p);
  PullNorm(p, [&](const std::string& value) { return pool.Spread(value); });
}

void PullGlobalLpPool(Pullback& p) {
  PullNorm(p, [](const std::string& value) { return value; });
}

/// y = x / b^β with b = bias + α · mean(x²) over some channels: dx = g / b^β - 2αβ x · sum(g y / b) / size, over the
/// channels whose window x is in.
void PullLrn(Pullback& p) {
  const int64_t size = p.Int("size", 1);
  const auto number = [&](float value) { return p.Number(value, p.Input(0)); };
  const auto mean = [&](const std::string& value, int64_t before, int64_t behind) {
    const std::string lines =
        Joined(p, {Extents(p, value, 0, 1), p.Integers({1}), Extents(p, value, 1, 2), p.Integers({-1})});
    const std::string pooled = p.Emit(
        "AveragePool", {p.Emit("Reshape", {value, lines})},
        {MakeAttribute("kernel_shape", std::vector<int64_t>{size, 1}), MakeAttribute("count_include_pad", int64_t{1}),
         MakeAttribute("pads", std::vector<int64_t>{before, 0, behind, 0})});
    return p.ReshapeTo(pooled, value);
  };
  const int64_t before = (size - 1) / 2;
  const int64_t behind = size - 1 - before;
  const float alpha = p.Float("alpha", 0.0001f);
  const float beta = p.Float("beta", 0.75f);
  const std::string squares = mean(Times(p, p.Input(0), p.Input(0)), before, behind);
  const std::string base = Plus(p, number(p.Float("bias", 1)), Times(p, number(alpha), squares));
  const std::string direct = Over(p, p.gradient(), p.Emit("Pow", {base, number(beta)}));
  const std::string others = mean(Over(p, Times(p, p.gradient(), p.Output(0)), base), behind, before);
  const std::string factor = Times(p, Times(p, number(2 * beta), number(alpha)), p.Input(0));
  p.Give(0, Minus(p, direct, Times(p, factor, others)));
}

}  // namespace

const std::vector<GradientRow>& WindowGradients() {
  static const std::vector<GradientRow> rows = {
      {"AveragePool", &PullAveragePool},
      {"Col2Im", &PullCol2Im},
      {"Conv", &PullConv},
      {"ConvTranspose", &PullConvTranspose},
      {"GlobalAveragePool", &PullGlobalAveragePool},
      {"GlobalLpPool", &PullGlobalLpPool},
      {"GlobalMaxPool", &PullGlobalMaxPool},
      {"LpPool", &PullLpPool},
      {"LRN", &PullLrn},
  };
  return rows;
}

}  // namespace onnxforge::io
