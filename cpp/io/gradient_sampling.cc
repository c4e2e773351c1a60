// The derivatives of what samples an image between its elements: written as the elements around each place and their
// weights, and pulled through that.
#include "gradient_sampling.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_reverse.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// For each factor the product of those before it.
std::string ProductsBefore(Pullback& p, const std::string& factors) {
  const std::string places = UpTo(p, p.ShapeOf(factors));
  const std::string before = p.Emit("Less", {places, p.Emit("Unsqueeze", {places, p.Integers({1})})});
  const std::string masked = p.Emit("Where", {before, factors, p.Integers({1})});
  return p.Emit("ReduceProd", {masked, p.Integers({1})}, {MakeAttribute("keepdims", int64_t{0})});
}

/// The digits of the numbers from 0 to before `count`, those of the first base turning fastest: [number, digit].
std::string DigitsUpTo(Pullback& p, const std::string& count, const std::string& bases) {
  const std::string numbers = p.Emit("Unsqueeze", {UpTo(p, count), p.Integers({1})});
  return p.Emit("Mod", {Over(p, numbers, ProductsBefore(p, bases)), bases});
}

/// Along an axis the last first.
std::string Reversed(Pullback& p, const std::string& value, int64_t axis) {
  return p.Emit("Slice", {value, p.Integers({-1}), p.Integers({std::numeric_limits<int64_t>::min()}),
                          p.Integers({axis}), p.Integers({-1})});
}

/// The cubic through four elements, of which two are on either side of the place.
std::vector<std::string> CubicWeights(Pullback& p, const std::string& fraction) {
  constexpr float kA = -0.75f;
  const auto number = [&](float value) { return p.Number(value, fraction); };
  const auto polynomial = [&](const std::string& x, std::initializer_list<float> factors) {
    std::string sum;
    for (const float factor : factors) sum = sum.empty() ? number(factor) : Plus(p, Times(p, sum, x), number(factor));
    return sum;
  };
  const auto near = [&](const std::string& x) { return polynomial(x, {kA + 2, -(kA + 3), 0, 1}); };
  const auto far = [&](const std::string& x) { return polynomial(x, {kA, -5 * kA, 8 * kA, -4 * kA}); };
  const std::string rest = Minus(p, number(1), fraction);
  return {far(Plus(p, fraction, number(1))), near(fraction), near(rest), far(Plus(p, rest, number(1)))};
}

}  // namespace

ImageSampling::ImageSampling(Pullback& p, std::string images, std::string like, SamplingOptions options)
    : p_(p), images_(std::move(images)), like_(std::move(like)), options_(std::move(options)) {
  extents_ = Reversed(p, Extents(p, images_, 2), 0);
  count_ = p.Emit("CastLike", {extents_, like_});
  last_ = Minus(p, count_, Number(1));
  least_ = Number(options_.aligned ? 0 : -0.5f);
  range_ = options_.aligned ? last_ : count_;
}

std::string ImageSampling::Bounded(const std::string& x) const {
  return p_.Emit("Min", {p_.Emit("Max", {x, Number(0)}), last_});
}

std::string ImageSampling::Reflected(const std::string& x) const {
  const std::string some = p_.Emit("Greater", {range_, Number(0)});
  const std::string range = p_.Emit("Where", {some, range_, Number(1)});
  const std::string period = Times(p_, range, Number(2));
  const std::string from = Minus(p_, x, least_);
  const std::string turns = p_.Emit("Floor", {Over(p_, from, period)});
  const std::string within = Minus(p_, from, Times(p_, turns, period));
  const std::string folded = Minus(p_, range, p_.Emit("Abs", {Minus(p_, within, range)}));
  return p_.Emit("Where", {some, Plus(p_, folded, least_), least_});
}

std::string ImageSampling::Folded(const std::string& place) const {
  std::string at = options_.mode == "nearest" ? p_.Emit("Round", {place}) : place;
  if (options_.padding == "border" && options_.mode != "cubic") return Bounded(at);
  return options_.padding == "reflection" ? Reflected(at) : at;
}

std::string ImageSampling::Moved(const std::string& element) const {
  if (options_.padding == "border") return Bounded(element);
  return options_.padding == "reflection" ? p_.Emit("Round", {Reflected(element)}) : element;
}

std::string ImageSampling::Combinations(int64_t each) const {
  const std::string axes = p_.ShapeOf(extents_);
  const std::string bases = p_.Emit("Expand", {p_.Integers({each}), axes});
  const std::string digits = DigitsUpTo(p_, p_.Emit("ReduceProd", {bases}), bases);
  return Plus(p_, digits, Times(p_, UpTo(p_, axes), p_.Integers({each})));
}

std::string ImageSampling::Combined(const std::vector<std::string>& parts, const std::string& combinations) const {
  const std::string flat = p_.Emit("Reshape", {Stacked(p_, parts, 3), p_.Integers({0, 0, -1})});
  return Gathered(p_, flat, combinations, 2);
}

ImageSampling::Neighbours ImageSampling::Around(const std::string& places, const std::string& taken,
                                                const std::string& image) const {
  const std::string inside = p_.Emit("Not", {p_.Emit("Or", {p_.Emit("IsNaN", {places}), p_.Emit("IsInf", {places})})});
  const std::string takes = taken.empty() ? inside : p_.Emit("And", {inside, taken});
  const std::string place = Folded(p_.Emit("Where", {inside, places, Number(0)}));
  const std::string base = p_.Emit("Floor", {place});
  const std::string fraction = Minus(p_, place, base);
  std::vector<std::string> weights = {p_.ExpandTo(Number(1), fraction)};
  if (options_.mode == "linear") weights = {Minus(p_, Number(1), fraction), fraction};
  if (options_.mode == "cubic") weights = CubicWeights(p_, fraction);
  const float first = options_.mode == "cubic" ? -1 : 0;
  std::vector<std::string> elements;
  for (size_t t = 0; t < weights.size(); ++t) {
    const std::string at = Moved(Plus(p_, base, Number(first + static_cast<float>(t))));
    const std::string within = p_.Emit("And", {p_.Emit("GreaterOrEqual", {at, Number(0)}),  //
                                               p_.Emit("LessOrEqual", {at, last_})});
    weights[t] = p_.Emit("Where", {p_.Emit("And", {within, takes}), weights[t], Number(0)});
    elements.push_back(Whole(p_, Bounded(at)));
  }
  const std::string combinations = Combinations(static_cast<int64_t>(weights.size()));
  const Pullback::Attributes reduced = {MakeAttribute("keepdims", int64_t{0})};
  const std::string last = p_.Integers({-1});
  const std::string weight =
      p_.Emit("CastLike", {p_.Emit("ReduceProd", {Combined(weights, combinations), last}, reduced), images_});
  const std::string steps = Times(p_, Combined(elements, combinations), ProductsBefore(p_, extents_));
  const std::string element = p_.Emit("ReduceSum", {steps, last}, reduced);
  const std::string numbers = image.empty() ? UpTo(p_, Extents(p_, images_, 0, 1)) : image;
  const std::string starts = Times(p_, numbers, p_.Emit("ReduceProd", {extents_}));
  const std::string rows = Plus(p_, element, p_.Emit("Unsqueeze", {starts, p_.Integers({1, 2})}));
  const std::string planes = p_.Emit("Reshape", {images_, Joined(p_, {Extents(p_, images_, 0, 2), last})});
  const std::string table =
      p_.Emit("Reshape", {p_.Emit("Transpose", {planes}, {MakeAttribute("perm", std::vector<int64_t>{0, 2, 1})}),
                          Joined(p_, {last, Extents(p_, images_, 1, 2)})});
  return {Gathered(p_, table, rows, 0), weight};
}

std::string ImageSampling::Sums(const std::string& places, const std::string& taken, const std::string& image) const {
  const Neighbours around = Around(places, taken, image);
  return p_.Emit("Einsum", {around.values, around.weights}, {MakeAttribute("equation", std::string("npkc,npk->ncp"))});
}

namespace {

/// A grid says from -1 to 1 where its places are, the last axis of the image first.
std::string WriteGridSample(Pullback& p) {
  SamplingOptions options = {p.String("mode", "linear"), p.String("padding_mode", "zeros"),
                             p.Int("align_corners", 0) != 0};
  if (options.mode.compare(0, 2, "bi") == 0) options.mode.erase(0, 2);  // as version 16 says
  const std::string& grid = p.Input(1);
  const ImageSampling sampling(p, p.Input(0), grid, options);
  const std::string flat = Joined(p, {Extents(p, grid, 0, 1), p.Integers({-1}), Extents(p, grid, -1)});
  const std::string from = Plus(p, p.Emit("Reshape", {grid, flat}), p.Number(1, grid));
  const std::string half = p.Number(0.5f, grid);
  const std::string places = options.aligned
                                 ? Times(p, from, Times(p, sampling.last(), half))
                                 : Times(p, Minus(p, Times(p, from, sampling.count()), p.Number(1, grid)), half);
  const std::string shape = Joined(p, {Extents(p, p.Input(0), 0, 2), Extents(p, grid, 1, -1)});
  return p.Emit("Reshape", {sampling.Sums(places), shape});
}

void PullGridSample(Pullback& p) {
  PullThrough(p, [](Pullback& written) { return std::vector<std::string>{WriteGridSample(written)}; });
}

/// A grid is each matrix times the points that the unit matrix makes, with a 1 behind their coordinates.
void PullAffineGrid(Pullback& p) {
  if (!p.Wants(size_t{0})) return;
  const std::string& theta = p.Input(0);
  const std::string unit = p.ExpandTo(p.Emit("EyeLike", {Ones(p, Extents(p, theta, 1), theta)}), theta);
  const std::string points = p.Emit("AffineGrid", {unit, p.Input(1)},  //
                                    {MakeAttribute("align_corners", p.Int("align_corners", 0))});
  const auto einsum = [&](std::vector<std::string> values, const char* equation) {
    return p.Emit("Einsum", std::move(values), {MakeAttribute("equation", std::string(equation))});
  };
  const std::string turning = einsum({p.gradient(), points}, "n...i,n...k->nik");
  const std::string moving = p.Emit("Unsqueeze", {einsum({p.gradient()}, "n...i->ni"), p.Integers({2})});
  p.Give(0, p.Emit("Concat", {turning, moving}, {MakeAttribute("axis", int64_t{2})}));
}

/// Each tap of a window is taken where the offsets move it to, for every group of channels by itself; what the taps
/// took is multiplied with the weights.
std::string WriteDeformConv(Pullback& p) {
  const auto per_axis = [&](std::string_view name, int64_t fallback, bool ends) {
    std::vector<int64_t> values = IntsOf(p, name, ends ? 2 : 1, fallback);  // one for all axes, where there is none
    if (ends) values.resize(values.size() / 2);
    std::reverse(values.begin(), values.end());
    return p.Integers(values);
  };
  const std::string& x = p.Input(0);
  const std::string& offset = p.Input(2);
  const std::string kernel = Reversed(p, Extents(p, p.Input(1), 2), 0);
  const std::string out = Reversed(p, Extents(p, p.Output(0), 2), 0);
  const std::string taps = p.Emit("ReduceProd", {kernel});
  const std::string positions = p.Emit("ReduceProd", {out});
  const std::string groups = p.Integers({p.Int("group", 1)});
  const std::string batches = Times(p, Extents(p, x, 0, 1), p.Integers({p.Int("offset_group", 1)}));
  const std::string starts =
      Minus(p, Times(p, DigitsUpTo(p, positions, out), per_axis("strides", 1, false)), per_axis("pads", 0, true));
  const std::string reach = Times(p, DigitsUpTo(p, taps, kernel), per_axis("dilations", 1, false));
  const std::string regular = Plus(p, p.Emit("Unsqueeze", {reach, p.Integers({1})}), starts);  // [tap, position, axis]
  const std::string rank = p.ShapeOf(kernel);
  const std::string moves = p.Emit("Einsum", {p.Emit("Reshape", {offset, Joined(p, {batches, taps, rank, positions})})},
                                   {MakeAttribute("equation", std::string("nkrp->nkpr"))});
  const std::string moved = Plus(p, p.Emit("CastLike", {regular, offset}), Reversed(p, moves, 3));
  const std::string samples = Times(p, taps, positions);
  const std::string places = p.Emit("Reshape", {moved, Joined(p, {batches, samples, rank})});
  const std::string channels = Over(p, Extents(p, x, 1, 2), p.Integers({p.Int("offset_group", 1)}));
  const std::string images = p.Emit("Reshape", {x, Joined(p, {batches, channels, Extents(p, x, 2)})});
  std::string patches = ImageSampling(p, images, offset, {}).Sums(places);
  if (p.HasInput(4)) {
    const std::string mask = p.Emit("Reshape", {p.Input(4), Joined(p, {batches, p.Integers({1}), samples})});
    patches = Times(p, patches, mask);
  }
  const auto by_group = [&](const std::string& value, const std::string& first, const std::string& last) {
    return p.Emit("Reshape", {value, Joined(p, {first, groups, p.Integers({-1}), last})});
  };
  const std::string lines = by_group(patches, Extents(p, x, 0, 1), positions);
  const std::string rows = Times(p, Over(p, Extents(p, x, 1, 2), groups), taps);
  const std::string weights = p.Emit("Reshape", {p.Input(1), Joined(p, {groups, p.Integers({-1}), rows})});
  std::string sums = p.ReshapeTo(
      p.Emit("Einsum", {lines, weights}, {MakeAttribute("equation", std::string("ngqp,gmq->ngmp"))}), p.Output(0));
  if (!p.HasInput(3)) return sums;
  return Plus(
      p, sums,
      p.Emit("Reshape", {p.Input(3), Joined(p, {p.Integers({-1}), p.Emit("Expand", {p.Integers({1}), rank})})}));
}

void PullDeformConv(Pullback& p) {
  PullThrough(p, [](Pullback& written) { return std::vector<std::string>{WriteDeformConv(written)}; });
}

}  // namespace

const std::vector<GradientRow>& SamplingGradients() {
  static const std::vector<GradientRow> rows = {
      {"AffineGrid", &PullAffineGrid},
      {"DeformConv", &PullDeformConv},
      {"GridSample", &PullGridSample},
  };
  return rows;
}

}  // namespace onnxforge::io
