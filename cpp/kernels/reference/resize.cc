// Resize and Upsample.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/gather_axes.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

enum class Interpolation { kNearest, kLinear, kCubic };
enum class Coordinates {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kTfHalfPixel,
  kTfCrop
};
enum class Nearest { kRoundPreferFloor, kRoundPreferCeil, kFloor, kCeil };
enum class AspectRatio { kStretch, kNotLarger, kNotSmaller };

template <typename T>
struct Named {
  const char* name;
  T value;
};

template <typename T, size_t kCount>
T Lookup(const NodeSpec& node, const char* attribute, const char* fallback, const Named<T> (&rows)[kCount]) {
  const std::string name = node.attributes.String(attribute, fallback);
  for (const Named<T>& row : rows) {
    if (name == row.name) return row.value;
  }
  Fail(ErrorCode::kInvalidModel, "attribute '", attribute, "' is '", name, "', which ", node.op_type, "-",
       node.since_version, " does not have");
}

struct ResizeAttributes {
  Interpolation interpolation = Interpolation::kNearest;
  Coordinates coordinates = Coordinates::kAsymmetric;
  Nearest nearest = Nearest::kFloor;
  AspectRatio aspect_ratio = AspectRatio::kStretch;
  double cubic_a = -0.75;
  float extrapolation = 0;
  bool exclude_outside = false;
  bool antialias = false;
  std::vector<int64_t> axes;
  bool has_axes = false;
};

Interpolation ReadInterpolation(const NodeSpec& node) {
  constexpr Named<Interpolation> kModes[] = {{"nearest", Interpolation::kNearest},
                                             {"linear", Interpolation::kLinear},
                                             {"bilinear", Interpolation::kLinear},
                                             {"cubic", Interpolation::kCubic}};
  return Lookup(node, "mode", "nearest", kModes);
}

ResizeAttributes ReadAttributes(const NodeSpec& node) {
  ResizeAttributes a;
  a.interpolation = ReadInterpolation(node);
  constexpr Named<Coordinates> kCoordinates[] = {{"half_pixel", Coordinates::kHalfPixel},
                                                 {"half_pixel_symmetric", Coordinates::kHalfPixelSymmetric},
                                                 {"pytorch_half_pixel", Coordinates::kPytorchHalfPixel},
                                                 {"align_corners", Coordinates::kAlignCorners},
                                                 {"asymmetric", Coordinates::kAsymmetric},
                                                 {"tf_half_pixel_for_nn", Coordinates::kTfHalfPixel},
                                                 {"tf_crop_and_resize", Coordinates::kTfCrop}};
  a.coordinates = Lookup(node, "coordinate_transformation_mode", "half_pixel", kCoordinates);
  constexpr Named<Nearest> kNearest[] = {{"round_prefer_floor", Nearest::kRoundPreferFloor},
                                         {"round_prefer_ceil", Nearest::kRoundPreferCeil},
                                         {"floor", Nearest::kFloor},
                                         {"ceil", Nearest::kCeil}};
  a.nearest = Lookup(node, "nearest_mode", "round_prefer_floor", kNearest);
  constexpr Named<AspectRatio> kPolicies[] = {{"stretch", AspectRatio::kStretch},
                                              {"not_larger", AspectRatio::kNotLarger},
                                              {"not_smaller", AspectRatio::kNotSmaller}};
  a.aspect_ratio = Lookup(node, "keep_aspect_ratio_policy", "stretch", kPolicies);
  a.cubic_a = static_cast<double>(node.attributes.Float("cubic_coeff_a", -0.75f));
  a.extrapolation = node.attributes.Float("extrapolation_value", 0.0f);
  a.exclude_outside = node.attributes.Int("exclude_outside", 0) != 0;
  a.antialias = node.attributes.Int("antialias", 0) != 0;
  a.axes = node.attributes.Ints("axes");
  a.has_axes = node.attributes.Has("axes");
  return a;
}

/// How one axis is resized.
struct AxisResize {
  int64_t input = 0;
  int64_t output = 0;
  double scale = 1;
  double crop_begin = 0;  // tf_crop_and_resize, relative to the input
  double crop_end = 1;
};

/// Where position `i` of the output lies in the input.
double SourceCoordinate(const ResizeAttributes& a, const AxisResize& axis, int64_t i) {
  const auto x = static_cast<double>(i);
  const auto in = static_cast<double>(axis.input);
  const double out = axis.scale * in;  // not rounded: the standard's "length_resized" may be fractional
  switch (a.coordinates) {
    case Coordinates::kHalfPixel:
      return (x + 0.5) / axis.scale - 0.5;
    case Coordinates::kHalfPixelSymmetric: {
      const double adjustment = static_cast<double>(axis.output) / out;
      return in / 2 * (1 - adjustment) + (x + 0.5) / axis.scale - 0.5;
    }
    case Coordinates::kPytorchHalfPixel:
      return axis.output > 1 ? (x + 0.5) / axis.scale - 0.5 : 0.0;
    case Coordinates::kAlignCorners:
      return axis.output > 1 ? x * (in - 1) / (out - 1) : 0.0;
    case Coordinates::kAsymmetric:
      return x / axis.scale;
    case Coordinates::kTfHalfPixel:
      return (x + 0.5) / axis.scale;
    case Coordinates::kTfCrop:
      return axis.output > 1 ? axis.crop_begin * (in - 1) + x * (axis.crop_end - axis.crop_begin) * (in - 1) /
                                                                static_cast<double>(axis.output - 1)
                             : 0.5 * (axis.crop_begin + axis.crop_end) * (in - 1);
  }
  return x;
}

int64_t NearestIndex(Nearest mode, double x, int64_t extent) {
  double index = 0;
  switch (mode) {
    case Nearest::kRoundPreferFloor:
      index = std::ceil(x - 0.5);
      break;
    case Nearest::kRoundPreferCeil:
      index = std::floor(x + 0.5);
      break;
    case Nearest::kFloor:
      index = std::floor(x);
      break;
    case Nearest::kCeil:
      index = std::ceil(x);
      break;
  }
  return static_cast<int64_t>(std::clamp(index, 0.0, static_cast<double>(extent - 1)));
}

bool IsOutside(const ResizeAttributes& a, const AxisResize& axis, double x) {
  return a.coordinates == Coordinates::kTfCrop && (x < 0 || x > static_cast<double>(axis.input - 1));
}

/// The elements that make one element of the output, and how much each of them counts.
struct Tap {
  int64_t index;
  double weight;
};

double CubicWeight(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

std::vector<Tap> TapsAt(const ResizeAttributes& a, const AxisResize& axis, double x) {
  const double reach = a.interpolation == Interpolation::kLinear ? 1 : 2;
  const double scale = a.antialias ? std::min(axis.scale, 1.0) : 1.0;  // below 1 the filter is as much wider
  // The element to the left, strictly: x - left is in (0, 1].
  const double left = std::ceil(x) - 1;
  const auto first = static_cast<int64_t>(std::floor(-reach / scale)) + 1;
  std::vector<Tap> taps;
  double sum = 0;
  for (int64_t k = first; k < 2 - first; ++k) {
    const double distance = (static_cast<double>(k) - (x - left)) * scale;
    const int64_t index = static_cast<int64_t>(left) + k;
    double weight = a.interpolation == Interpolation::kLinear ? std::max(0.0, 1 - std::abs(distance))
                                                              : CubicWeight(distance, a.cubic_a);
    if (a.exclude_outside && (index < 0 || index >= axis.input)) weight = 0;
    taps.push_back({std::clamp<int64_t>(index, 0, axis.input - 1), weight});
    sum += weight;
  }
  if (sum != 0) {
    for (Tap& tap : taps) tap.weight /= sum;
  }
  return taps;
}

/// Whether resizing along this axis leaves everything as it is.
bool IsIdentity(const ResizeAttributes& a, const AxisResize& axis) {
  return axis.input == axis.output && axis.scale == 1 && a.coordinates != Coordinates::kTfCrop &&
         a.coordinates != Coordinates::kTfHalfPixel;
}

/// Interpolation is separable: one axis after the other, in wide numbers.
template <typename C>
void Interpolate(KernelContext& context, const ResizeAttributes& a, const std::vector<AxisResize>& axes,
                 const Tensor& x, Tensor& y) {
  const C* in = ReadAs<C>(context, x);
  std::vector<C> current(in, in + x.elements());
  Shape shape = x.shape();
  for (size_t k = 0; k < axes.size(); ++k) {
    if (IsIdentity(a, axes[k])) continue;
    const AxisSplit s = SplitAt(shape, k);
    shape[k] = axes[k].output;
    std::vector<C> next(static_cast<size_t>(shape.elements()), C{0});
    std::vector<std::vector<Tap>> taps;
    for (int64_t i = 0; i < axes[k].output; ++i) taps.push_back(TapsAt(a, axes[k], SourceCoordinate(a, axes[k], i)));
    const int64_t grain = 1 + kElementwiseGrain / (1 + s.inner);
    context.Threads().ParallelFor(s.outer * axes[k].output, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        C* to = next.data() + row * s.inner;
        for (const Tap& tap : taps[static_cast<size_t>(row % axes[k].output)]) {
          const C* from = current.data() + ((row / axes[k].output) * s.extent + tap.index) * s.inner;
          const C weight = static_cast<C>(tap.weight);
          for (int64_t j = 0; j < s.inner; ++j) to[j] += weight * from[j];
        }
      }
    });
    current = std::move(next);
  }
  ConvertElements(kDTypeOf<C>, current.data(), y.dtype(), y.raw(), y.elements());
}

/// Overwrites what lies outside of the crop.
void Extrapolate(const ResizeAttributes& a, const std::vector<AxisResize>& axes, Tensor& y) {
  double fill[2] = {};  // of a complex number the real part
  const DType part = y.dtype() == DType::kComplex64    ? DType::kFloat32
                     : y.dtype() == DType::kComplex128 ? DType::kFloat64
                                                       : y.dtype();
  ConvertElements(DType::kFloat32, &a.extrapolation, part, fill, 1);
  for (size_t k = 0; k < axes.size(); ++k) {
    const AxisSplit s = SplitAt(y.shape(), k);
    for (int64_t i = 0; i < s.extent; ++i) {
      if (!IsOutside(a, axes[k], SourceCoordinate(a, axes[k], i))) continue;
      for (int64_t o = 0; o < s.outer; ++o)
        FillElements(y.dtype(), fill, y.raw(), (o * s.extent + i) * s.inner, s.inner);
    }
  }
}

/// What numbers are interpolated as. Of text there is no such thing.
DType InterpolatedAs(DType dtype) {
  const bool itself =
      dtype == DType::kFloat64 || dtype == DType::kComplex64 || dtype == DType::kComplex128 || dtype == DType::kString;
  return itself ? dtype : DType::kFloat32;
}

void RunResize(KernelContext& context, const ResizeAttributes& a, const std::vector<AxisResize>& axes) {
  const Tensor& x = context.Input(0);
  Shape shape;
  for (const AxisResize& axis : axes) {
    Require(axis.output >= 0 && axis.scale > 0, ErrorCode::kInvalidArgument, "an axis is to be resized by ", axis.scale,
            " to ", axis.output);
    Require(axis.input > 0 || axis.output == 0, ErrorCode::kInvalidArgument, "an empty axis cannot become ",
            axis.output);
    shape.Append(axis.output);
  }
  if (std::all_of(axes.begin(), axes.end(), [&](const AxisResize& axis) { return IsIdentity(a, axis); })) {
    context.SetOutput(0, x);
    return;
  }
  Tensor& y = context.Output(0, x.dtype(), shape);
  if (y.elements() == 0) return;
  if (a.interpolation == Interpolation::kNearest) {
    std::vector<std::vector<int64_t>> sources;
    for (const AxisResize& axis : axes) {
      sources.emplace_back();
      for (int64_t i = 0; i < axis.output; ++i) {
        sources.back().push_back(NearestIndex(a.nearest, SourceCoordinate(a, axis, i), axis.input));
      }
    }
    GatherAxes(context.Threads(), x, sources, nullptr, y);
  } else {
    Dispatch<Join<WideFloats, Complexes>>(InterpolatedAs(x.dtype()), "interpolation", [&](auto tag) {
      Interpolate<typename decltype(tag)::type>(context, a, axes, x, y);
    });
  }
  if (a.coordinates == Coordinates::kTfCrop) Extrapolate(a, axes, y);
}

AxisResize ByScale(int64_t extent, float scale) {
  AxisResize axis;
  axis.input = extent;
  axis.scale = static_cast<double>(scale);
  const float scaled = std::floor(static_cast<float>(extent) * scale);
  Require(scaled >= 0 && scaled < 9e15f, ErrorCode::kInvalidArgument, "an axis of ", extent, " cannot be scaled by ",
          scale);
  axis.output = static_cast<int64_t>(scaled);
  return axis;
}

AxisResize BySize(int64_t extent, int64_t size) {
  AxisResize axis;
  axis.input = extent;
  axis.output = size;
  axis.scale = extent == 0 ? 1.0 : static_cast<double>(size) / static_cast<double>(extent);
  return axis;
}

/// All axes with the scale that makes none larger (or none smaller) than asked for.
void KeepAspectRatio(AspectRatio policy, const std::vector<size_t>& named, std::vector<AxisResize>& axes) {
  double scale = axes[named[0]].scale;
  for (size_t axis : named) {
    scale = policy == AspectRatio::kNotLarger ? std::min(scale, axes[axis].scale) : std::max(scale, axes[axis].scale);
  }
  for (size_t axis : named) {
    axes[axis].scale = scale;
    axes[axis].output = static_cast<int64_t>(std::floor(scale * static_cast<double>(axes[axis].input) + 0.5));
  }
}

/// Versions 11 to 19: inputs roi, scales and sizes, of the axes named or of all.
std::unique_ptr<Kernel> MakeResize(const NodeSpec& node) {
  return MakeKernel([a = ReadAttributes(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    std::vector<AxisResize> axes;
    for (int64_t extent : x.shape()) axes.push_back(BySize(extent, extent));
    std::vector<int64_t> every;
    for (size_t i = 0; i < x.rank(); ++i) every.push_back(static_cast<int64_t>(i));
    const std::vector<size_t> named = NormalizeAxes(a.has_axes ? a.axes : every, x.rank());
    const Tensor* scales = context.OptionalInput(2);
    const Tensor* sizes = context.OptionalInput(3);
    const bool by_scale = scales != nullptr && scales->elements() > 0;
    Require(by_scale || (sizes != nullptr && sizes->elements() > 0), ErrorCode::kInvalidModel,
            "neither scales nor sizes are given");
    const Tensor& given = by_scale ? *scales : *sizes;
    Require(given.elements() == static_cast<int64_t>(named.size()), ErrorCode::kInvalidArgument, given.elements(),
            by_scale ? " scales" : " sizes", " for ", named.size(), " axes");
    const std::vector<float> scale_values = by_scale ? scales->To<float>() : std::vector<float>{};
    const std::vector<int64_t> size_values = by_scale ? std::vector<int64_t>{} : sizes->To<int64_t>();
    for (size_t k = 0; k < named.size(); ++k) {
      const int64_t extent = x.dim(named[k]);
      axes[named[k]] = by_scale ? ByScale(extent, scale_values[k]) : BySize(extent, size_values[k]);
    }
    if (!by_scale && a.aspect_ratio != AspectRatio::kStretch) KeepAspectRatio(a.aspect_ratio, named, axes);
    if (a.coordinates == Coordinates::kTfCrop) {
      const std::vector<double> roi = context.Input(1).To<double>();
      Require(roi.size() == 2 * named.size(), ErrorCode::kInvalidArgument, "roi has ", roi.size(), " numbers for ",
              named.size(), " axes");
      constexpr double kFar = 1e9;  // images away: coordinates stay countable
      for (double part : roi) {
        Require(std::abs(part) <= kFar, ErrorCode::kInvalidArgument, "roi has the number ", part,
                ", which is no place in an image or near it");
      }
      for (size_t k = 0; k < named.size(); ++k) {
        axes[named[k]].crop_begin = roi[k];
        axes[named[k]].crop_end = roi[named.size() + k];
      }
    }
    RunResize(context, a, axes);
  });
}

void RunWithScales(KernelContext& context, const ResizeAttributes& a, const std::vector<float>& scales) {
  const Shape& shape = context.Input(0).shape();
  Require(scales.size() == shape.rank(), ErrorCode::kInvalidArgument, scales.size(), " scales for ", shape.rank(),
          " axes");
  std::vector<AxisResize> axes;
  for (size_t i = 0; i < scales.size(); ++i) axes.push_back(ByScale(shape[i], scales[i]));
  RunResize(context, a, axes);
}

/// Upsample, and Resize as it first was: asymmetric coordinates, nearest is the element to the left.
ResizeAttributes ReadPlainAttributes(const NodeSpec& node) {
  ResizeAttributes a;
  a.interpolation = ReadInterpolation(node);
  return a;
}

std::unique_ptr<Kernel> MakeUpsample(const NodeSpec& node) {
  return MakeKernel([a = ReadPlainAttributes(node)](KernelContext& context) {
    RunWithScales(context, a, context.Input(1).To<float>());
  });
}

std::unique_ptr<Kernel> MakeUpsampleByAttributes(const NodeSpec& node) {
  std::vector<float> scales = node.attributes.Floats("scales");
  if (node.since_version == 1)
    scales = {1, 1, node.attributes.Get<float>("height_scale"), node.attributes.Get<float>("width_scale")};
  return MakeKernel(
      [a = ReadPlainAttributes(node), scales](KernelContext& context) { RunWithScales(context, a, scales); });
}

}  // namespace

void AddResize(KernelTable& table) {
  table.Add("", "Resize", {10}, &MakeUpsample);
  table.Add("", "Resize", {11, 13, 18, 19}, &MakeResize);
  table.Add("", "Upsample", {1, 7}, &MakeUpsampleByAttributes);
  table.Add("", "Upsample", {9, 10}, &MakeUpsample);
}

}  // namespace onnxforge::reference
