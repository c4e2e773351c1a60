// The derivatives of what samples an image between its elements: written as the elements around each place and their
// weights, and pulled through that.
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_reverse.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

std::string Gathered(Pullback& p, const std::string& values, const std::string& indices, int64_t axis) {
  return p.Emit("Gather", {values, indices}, {MakeAttribute("axis", axis)});
}

std::string Whole(Pullback& p, const std::string& value) {
  return p.Emit("Cast", {value}, {MakeAttribute("to", int64_t{onnx::TensorProto::INT64})});
}

std::string UpTo(Pullback& p, const std::string& count) {
  return p.Emit("Range", {Integer(p, 0), p.Emit("Squeeze", {count}), Integer(p, 1)});
}

/// For each factor the product of those before it.
std::string ProductsBefore(Pullback& p, const std::string& factors) {
  const std::string places = UpTo(p, p.ShapeOf(factors));
  const std::string before = p.Emit("Less", {places, p.Emit("Unsqueeze", {places, p.Integers({1})})});
  const std::string masked = p.Emit("Where", {before, factors, p.Integers({1})});
  return p.Emit("ReduceProd", {masked, p.Integers({1})}, {MakeAttribute("keepdims", int64_t{0})});
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

/// GridSample. Places are [batch, position, axis], the last axis of the image being the first, as the grid has it.
class GridSampling {
 public:
  explicit GridSampling(Pullback& p)
      : p_(p),
        mode_(p.String("mode", "linear")),
        padding_(p.String("padding_mode", "zeros")),
        aligned_(p.Int("align_corners", 0) != 0) {
    if (mode_.compare(0, 2, "bi") == 0) mode_.erase(0, 2);  // as version 16 says
    const std::string spatial = Extents(p, p.Input(0), 2);
    extents_ = p.Emit("Slice", {spatial, p.Integers({-1}), p.Integers({std::numeric_limits<int64_t>::min()}),
                                p.Integers({0}), p.Integers({-1})});
    count_ = p.Emit("CastLike", {extents_, p.Input(1)});
    last_ = Minus(p, count_, Number(1));
    least_ = Number(aligned_ ? 0 : -0.5f);
    range_ = aligned_ ? last_ : count_;
  }

  std::string Write() {
    const std::string place = Placed();
    const std::string base = p_.Emit("Floor", {place});
    const std::string fraction = Minus(p_, place, base);
    std::vector<std::string> weights = {p_.ExpandTo(Number(1), fraction)};
    if (mode_ == "linear") weights = {Minus(p_, Number(1), fraction), fraction};
    if (mode_ == "cubic") weights = CubicWeights(p_, fraction);
    const float first = mode_ == "cubic" ? -1 : 0;
    std::vector<std::string> elements;
    for (size_t t = 0; t < weights.size(); ++t) {
      const std::string at = Moved(Plus(p_, base, Number(first + static_cast<float>(t))));
      const std::string within = p_.Emit("And", {p_.Emit("GreaterOrEqual", {at, Number(0)}),  //
                                                 p_.Emit("LessOrEqual", {at, last_})});
      weights[t] = p_.Emit("Where", {p_.Emit("And", {within, finite_}), weights[t], Number(0)});
      elements.push_back(Whole(p_, Bounded(at)));
    }
    return Summed(weights, elements);
  }

 private:
  std::string Number(float value) { return p_.Number(value, p_.Input(1)); }
  std::string Bounded(const std::string& x) { return p_.Emit("Min", {p_.Emit("Max", {x, Number(0)}), last_}); }

  /// Folded at both ends of the range, as often as it takes.
  std::string Reflected(const std::string& x) {
    const std::string some = p_.Emit("Greater", {range_, Number(0)});
    const std::string range = p_.Emit("Where", {some, range_, Number(1)});
    const std::string period = Times(p_, range, Number(2));
    const std::string from = Minus(p_, x, least_);
    const std::string turns = p_.Emit("Floor", {Over(p_, from, period)});
    const std::string within = Minus(p_, from, Times(p_, turns, period));
    const std::string folded = Minus(p_, range, p_.Emit("Abs", {Minus(p_, within, range)}));
    return p_.Emit("Where", {some, Plus(p_, folded, least_), least_});
  }

  /// Where the grid's places, from -1 to 1, are among the elements.
  std::string Placed() {
    const std::string& grid = p_.Input(1);
    const std::string flat = Joined(p_, {Extents(p_, grid, 0, 1), p_.Integers({-1}), Extents(p_, grid, -1)});
    const std::string from = Plus(p_, p_.Emit("Reshape", {grid, flat}), Number(1));
    std::string place = aligned_ ? Times(p_, from, Times(p_, last_, Number(0.5f)))
                                 : Times(p_, Minus(p_, Times(p_, from, count_), Number(1)), Number(0.5f));
    finite_ = p_.Emit("Not", {p_.Emit("Or", {p_.Emit("IsNaN", {place}), p_.Emit("IsInf", {place})})});
    place = p_.Emit("Where", {finite_, place, Number(0)});
    if (mode_ == "nearest") place = p_.Emit("Round", {place});
    if (padding_ == "border" && mode_ != "cubic") return Bounded(place);
    return padding_ == "reflection" ? Reflected(place) : place;
  }

  std::string Moved(const std::string& element) {
    if (padding_ == "border") return Bounded(element);
    return padding_ == "reflection" ? p_.Emit("Round", {Reflected(element)}) : element;
  }

  /// Which of the elements along each axis every combination takes, among those of all axes: [combination, axis].
  std::string Combinations(int64_t each) {
    const std::string axes = p_.ShapeOf(extents_);
    const std::string bases = p_.Emit("Expand", {p_.Integers({each}), axes});
    const std::string all = UpTo(p_, p_.Emit("ReduceProd", {bases}));
    const std::string shifted = Over(p_, p_.Emit("Unsqueeze", {all, p_.Integers({1})}), ProductsBefore(p_, bases));
    const std::string digits = p_.Emit("Mod", {shifted, p_.Integers({each})});
    return Plus(p_, digits, Times(p_, UpTo(p_, axes), p_.Integers({each})));
  }

  /// What is of every element along each axis, for every combination: [batch, position, combination, axis].
  std::string Combined(const std::vector<std::string>& parts, const std::string& combinations) {
    const std::string all = Stacked(p_, parts, 3);
    const std::string flat = p_.Emit("Reshape", {all, p_.Integers({0, 0, -1})});
    return Gathered(p_, flat, combinations, 2);
  }

  std::string Summed(const std::vector<std::string>& weights, const std::vector<std::string>& elements) {
    const std::string& x = p_.Input(0);
    const std::string combinations = Combinations(static_cast<int64_t>(weights.size()));
    const Pullback::Attributes reduced = {MakeAttribute("keepdims", int64_t{0})};
    const std::string last = p_.Integers({-1});
    const std::string weight =
        p_.Emit("CastLike", {p_.Emit("ReduceProd", {Combined(weights, combinations), last}, reduced), x});
    const std::string steps = Times(p_, Combined(elements, combinations), ProductsBefore(p_, extents_));
    const std::string element = p_.Emit("ReduceSum", {steps, last}, reduced);
    const std::string images = Times(p_, UpTo(p_, Extents(p_, x, 0, 1)), p_.Emit("ReduceProd", {extents_}));
    const std::string rows = Plus(p_, element, p_.Emit("Reshape", {images, p_.Integers({-1, 1, 1})}));
    const std::string planes = p_.Emit("Reshape", {x, Joined(p_, {Extents(p_, x, 0, 2), last})});
    const std::string table =
        p_.Emit("Reshape", {p_.Emit("Transpose", {planes}, {MakeAttribute("perm", std::vector<int64_t>{0, 2, 1})}),
                            Joined(p_, {last, Extents(p_, x, 1, 2)})});
    const std::string sums = p_.Emit("Einsum", {Gathered(p_, table, rows, 0), weight},
                                     {MakeAttribute("equation", std::string("npkc,npk->ncp"))});
    return p_.Emit("Reshape", {sums, Joined(p_, {Extents(p_, x, 0, 2), Extents(p_, p_.Input(1), 1, -1)})});
  }

  Pullback& p_;
  std::string mode_, padding_;
  bool aligned_;
  std::string extents_, count_, last_, least_, range_, finite_;
};

void PullGridSample(Pullback& p) {
  PullThrough(p, [](Pullback& written) { return std::vector<std::string>{GridSampling(written).Write()}; });
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

}  // namespace

const std::vector<GradientRow>& SamplingGradients() {
  static const std::vector<GradientRow> rows = {
      {"AffineGrid", &PullAffineGrid},
      {"GridSample", &PullGridSample},
  };
  return rows;
}

}  // namespace onnxforge::io
