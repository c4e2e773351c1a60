// The derivatives of what pools regions of images.
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gradient_reverse.h"
#include "gradient_sampling.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

std::string Columns(Pullback& p, const std::string& table, int64_t first, int64_t end) {
  return p.Emit("Slice", {table, p.Integers({first}), p.Integers({end}), p.Integers({1})});
}

std::string Unsqueezed(Pullback& p, const std::string& value, const std::vector<int64_t>& axes) {
  return p.Emit("Unsqueeze", {value, p.Integers(axes)});
}

std::string Both(Pullback& p, const std::string& a, const std::string& b) { return p.Emit("And", {a, b}); }

std::string Greatest(Pullback& p, const std::string& value, int64_t axis) {
  return p.Emit("ReduceMax", {value, p.Integers({axis})}, {MakeAttribute("keepdims", int64_t{0})});
}

/// `value` where it counts, and less than anything where it does not.
std::string OrLeast(Pullback& p, const std::string& counts, const std::string& value) {
  return p.Emit("Where", {counts, value, p.Number(-std::numeric_limits<float>::infinity(), value)});
}

std::string OrZero(Pullback& p, const std::string& counts, const std::string& value) {
  return p.Emit("Where", {counts, value, p.Number(0, value)});
}

/// The numbers from 0 to before `count`, of the type of `like`.
std::string Numbers(Pullback& p, const std::string& count, const std::string& like) {
  return p.Emit("CastLike", {UpTo(p, count), like});
}

/// RoiAlign. A bin has as many samples along each axis as `sampling_ratio` says, or as it reaches over elements;
/// written are as many as the largest has, and the others do not count. Of what is of both axes, that of x comes first.
class RoiAlignment {
 public:
  explicit RoiAlignment(Pullback& p)
      : p_(p), bins_{p.Int("output_width", 1), p.Int("output_height", 1)}, ratio_(p.Int("sampling_ratio", 0)) {
    const std::string unsaid = p.opset() < 16 ? "output_half_pixel" : "half_pixel";
    const bool shifted = p.String("coordinate_transformation_mode", unsaid.c_str()) == "half_pixel";
    const std::string scaled = Times(p, p.Input(1), Number(p.Float("spatial_scale", 1)));
    const std::string edges = shifted ? Minus(p, scaled, Number(0.5f)) : scaled;
    begins_ = Columns(p, edges, 0, 2);
    const std::string sizes = Minus(p, Columns(p, edges, 2, 4), begins_);
    sizes_ = Over(p, shifted ? sizes : p.Emit("Max", {sizes, Number(1)}),
                  p.Emit("CastLike", {p.Integers({bins_[0], bins_[1]}), sizes}));
    counts_ = ratio_ > 0 ? p.ExpandTo(Number(static_cast<float>(ratio_)), sizes_)
                         : p.Emit("Max", {p.Emit("Ceil", {sizes_}), Number(0)});
    const std::string all = p.Emit("Reshape", {Whole(p, counts_), p.Integers({-1})});
    most_ = ratio_ > 0 ? p.Integers({ratio_}) : Unsqueezed(p, Greatest(p, Joined(p, {all, p.Integers({0})}), 0), {0});
  }

  std::string Write() {
    const Samples across = Along(0);
    const Samples down = Along(1);
    const std::string counted = Flat(Both(p_, across.counted, down.counted));
    const std::string places = Stacked(p_, {Flat(across.places), Flat(down.places)}, 2);
    const ImageSampling sampling(p_, p_.Input(0), p_.Input(1), {"linear", "border"});
    const std::string reached =
        Both(p_, p_.Emit("GreaterOrEqual", {places, Number(-1)}), p_.Emit("LessOrEqual", {places, sampling.count()}));
    const std::string taken = Both(p_, reached, Unsqueezed(p_, counted, {2}));
    const std::string image = p_.Emit("Reshape", {p_.Input(2), p_.Integers({-1})});
    const std::string samples =
        p_.Emit("ReduceProd", {counts_, p_.Integers({1})}, {MakeAttribute("keepdims", int64_t{0})});
    if (p_.String("mode", "avg") == "avg") return Mean(sampling.Sums(places, taken, image), samples);
    return Maximum(sampling.Around(places, taken, image), counted, samples);
  }

 private:
  struct Samples {
    std::string places;   // [region, row of bins, column of bins, row of samples, column of samples], or 1 for those
    std::string counted;  // that say nothing here
  };

  std::string Number(float value) { return p_.Number(value, p_.Input(1)); }

  Samples Along(int64_t axis) {
    const auto of_region = [&](const std::string& table) {
      return Unsqueezed(p_, Columns(p_, table, axis, axis + 1), {2});
    };
    const std::string count = of_region(counts_);
    const std::string sample = Numbers(p_, most_, p_.Input(1));
    const std::string bin = Unsqueezed(p_, Numbers(p_, p_.Integers({bins_[axis]}), p_.Input(1)), {1});
    const std::string share = Over(p_, Plus(p_, sample, Number(0.5f)), p_.Emit("Max", {count, Number(1)}));
    const std::string place = Plus(p_, of_region(begins_), Times(p_, Plus(p_, bin, share), of_region(sizes_)));
    const std::vector<int64_t> others = axis == 0 ? std::vector<int64_t>{1, 3} : std::vector<int64_t>{2, 4};
    return {Unsqueezed(p_, place, others), Unsqueezed(p_, p_.Emit("Less", {sample, count}), others)};
  }

  std::string Regions() { return Extents(p_, p_.Input(1), 0, 1); }
  std::string Channels() { return Extents(p_, p_.Input(0), 1, 2); }
  std::string Bins() { return p_.Integers({bins_[1], bins_[0]}); }

  /// Of samples [region, sample], one bin's behind the other's.
  std::string Flat(const std::string& value) {
    const std::string whole = p_.Emit("Expand", {value, Joined(p_, {Regions(), Bins(), most_, most_})});
    const std::string samples = Times(p_, p_.Integers({bins_[0] * bins_[1]}), Times(p_, most_, most_));
    return p_.Emit("Reshape", {whole, Joined(p_, {Regions(), samples})}, {MakeAttribute("allowzero", int64_t{1})});
  }

  std::string Mean(const std::string& samples, const std::string& count) {
    const std::string shape = Joined(p_, {Regions(), Channels(), Bins(), Times(p_, most_, most_)});
    const std::string by_bin = p_.Emit("Reshape", {samples, shape}, {MakeAttribute("allowzero", int64_t{1})});
    const std::string sums = p_.Emit("ReduceSum", {by_bin, p_.Integers({4})}, {MakeAttribute("keepdims", int64_t{0})});
    return Over(p_, sums, Unsqueezed(p_, p_.Emit("Max", {count, Number(1)}), {1, 2, 3}));
  }

  /// Over the weighted neighbours of all samples, not over the samples, as the standard has it.
  std::string Maximum(const ImageSampling::Neighbours& around, const std::string& counted, const std::string& count) {
    const std::string parts = Times(p_, around.values, Unsqueezed(p_, around.weights, {3}));
    const std::string some = OrLeast(p_, Unsqueezed(p_, counted, {2, 3}), parts);
    const std::string each = Times(p_, p_.Integers({4}), Times(p_, most_, most_));
    const std::string shape = Joined(p_, {Regions(), Bins(), each, Channels()});
    const std::string by_bin = p_.Emit("Reshape", {some, shape}, {MakeAttribute("allowzero", int64_t{1})});
    const std::string greatest =
        p_.Emit("Einsum", {Greatest(p_, by_bin, 3)}, {MakeAttribute("equation", std::string("rhwc->rchw"))});
    return OrZero(p_, p_.Emit("Greater", {Unsqueezed(p_, count, {1, 2, 3}), Number(0)}), greatest);
  }

  Pullback& p_;
  std::vector<int64_t> bins_;
  int64_t ratio_;
  std::string begins_, sizes_, counts_;  // [region, axis]: where it begins, the size of a bin, samples of a bin
  std::string most_;                     // samples of any bin
};

void PullRoiAlign(Pullback& p) {
  PullThrough(p, [](Pullback& written) { return std::vector<std::string>{RoiAlignment(written).Write()}; });
}

/// Half a way is rounded away from zero.
std::string RoundedAway(Pullback& p, const std::string& x) {
  const std::string magnitude = p.Emit("Floor", {Plus(p, p.Emit("Abs", {x}), p.Number(0.5f, x))});
  return Times(p, p.Emit("Sign", {x}), magnitude);
}

/// MaxRoiPool: the greatest of the columns of each bin, and of those the greatest of its rows.
std::string WriteMaxRoiPool(Pullback& p) {
  const std::string& x = p.Input(0);
  const std::vector<int64_t> bins = IntsOf(p, "pooled_shape", 2, 1);  // rows, columns
  const std::string rois = p.Emit("Cast", {p.Input(1)}, {MakeAttribute("to", int64_t{onnx::TensorProto::DOUBLE})});
  const auto number = [&](float value) { return p.Number(value, rois); };
  const std::string scaled = Times(p, Columns(p, rois, 1, 5), number(p.Float("spatial_scale", 1)));
  const std::string edges = RoundedAway(p, p.Emit("Clip", {scaled, number(-1e9f), number(1e9f)}));
  const auto members = [&](int64_t axis) {  // [region, bin, element]; of the edges, x comes first
    const std::string first = Columns(p, edges, 1 - axis, 2 - axis);
    const std::string extent = Plus(p, Minus(p, Columns(p, edges, 3 - axis, 4 - axis), first), number(1));
    const std::string count = p.Integers({bins[static_cast<size_t>(axis)]});
    const std::string size = Over(p, p.Emit("Max", {extent, number(1)}), p.Emit("CastLike", {count, rois}));
    const std::string bin = Numbers(p, count, rois);
    const std::string begin = Plus(p, first, p.Emit("Floor", {Times(p, bin, size)}));
    const std::string end = Plus(p, first, p.Emit("Ceil", {Times(p, Plus(p, bin, number(1)), size)}));
    const std::string element = Numbers(p, Extents(p, x, 2 + axis, 3 + axis), rois);
    return Both(p, p.Emit("GreaterOrEqual", {element, Unsqueezed(p, begin, {2})}),
                p.Emit("Less", {element, Unsqueezed(p, end, {2})}));
  };
  const auto any = [&](const std::string& member) {
    return p.Emit("Greater", {Greatest(p, p.Emit("CastLike", {member, x}), 2), p.Number(0, x)});
  };
  const std::string rows = members(0);
  const std::string columns = members(1);
  const std::string image = Whole(p, p.Emit("Squeeze", {Columns(p, rois, 0, 1), p.Integers({1})}));
  const std::string images = Unsqueezed(p, Gathered(p, x, image, 0), {3});
  const std::string by_row = Greatest(p, OrLeast(p, Unsqueezed(p, columns, {1, 2}), images), 4);
  const std::string by_bin = Greatest(p, OrLeast(p, Unsqueezed(p, rows, {1, 4}), Unsqueezed(p, by_row, {2})), 3);
  const std::string some = Both(p, Unsqueezed(p, any(rows), {1, 3}), Unsqueezed(p, any(columns), {1, 2}));
  return OrZero(p, some, by_bin);
}

void PullMaxRoiPool(Pullback& p) {
  PullThrough(p, [](Pullback& written) { return std::vector<std::string>{WriteMaxRoiPool(written)}; });
}

}  // namespace

const std::vector<GradientRow>& RegionGradients() {
  static const std::vector<GradientRow> rows = {
      {"MaxRoiPool", &PullMaxRoiPool},
      {"RoiAlign", &PullRoiAlign},
  };
  return rows;
}

}  // namespace onnxforge::io
