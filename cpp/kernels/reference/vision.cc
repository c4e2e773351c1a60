// Operators of detection and warping: NonMaxSuppression, RoiAlign, GridSample, Col2Im.
#include <algorithm>
#include <cmath>
#include <complex>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/quantize.h"
#include "reference/strided.h"
#include "reference/window.h"

namespace onnxforge::reference {
namespace {

struct Box {
  float top, left, bottom, right;
  float Area() const { return (bottom - top) * (right - left); }
};

Box ReadBox(const float* b, bool center) {
  if (center) return {b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};
  return {std::min(b[0], b[2]), std::min(b[1], b[3]), std::max(b[0], b[2]), std::max(b[1], b[3])};
}

bool Overlap(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (height <= 0 || width <= 0) return false;
  const float intersection = height * width;
  const float whole = a.Area() + b.Area() - intersection;
  return whole > 0 && intersection / whole > threshold;
}

float ThresholdFrom(const Tensor& t) {
  Require(t.elements() == 1, ErrorCode::kInvalidArgument, "one threshold is expected, not a tensor of shape ",
          t.shape());
  return t.To<float>()[0];
}

std::unique_ptr<Kernel> MakeNonMaxSuppression(const NodeSpec& node) {
  return MakeKernel([center = node.attributes.Int("center_point_box", 0) != 0](KernelContext& context) {
    const Tensor& boxes = context.Input(0);
    const Tensor& scores = context.Input(1);
    Require(boxes.rank() == 3 && scores.rank() == 3 && boxes.dim(2) == 4 && scores.dim(0) == boxes.dim(0) &&
                scores.dim(2) == boxes.dim(1),
            ErrorCode::kInvalidArgument, "boxes have shape ", boxes.shape(), " and scores ", scores.shape(),
            ": [batches, boxes, 4] and [batches, classes, boxes] are expected");
    const int64_t most = context.HasInput(2) ? ScalarFrom(context.Input(2)) : 0;
    const float overlap = context.HasInput(3) ? ThresholdFrom(context.Input(3)) : 0.0f;
    const bool has_least = context.HasInput(4);
    const float least = has_least ? ThresholdFrom(context.Input(4)) : 0.0f;
    const int64_t count = boxes.dim(1);
    std::vector<int64_t> selected;
    for (int64_t row = 0; row < scores.dim(0) * scores.dim(1); ++row) {
      const float* score = scores.data<float>() + row * count;
      const float* box = boxes.data<float>() + row / scores.dim(1) * count * 4;
      std::vector<int64_t> order;
      for (int64_t i = 0; i < count; ++i) {
        // A score that is NaN exceeds nothing, and has no place in an order.
        if (has_least ? score[i] > least : !std::isnan(score[i])) order.push_back(i);
      }
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return score[a] > score[b]; });
      std::vector<Box> kept;
      for (int64_t i : order) {
        if (static_cast<int64_t>(kept.size()) >= most) break;
        const Box candidate = ReadBox(box + i * 4, center);
        if (std::any_of(kept.begin(), kept.end(), [&](const Box& k) { return Overlap(candidate, k, overlap); }))
          continue;
        kept.push_back(candidate);
        selected.insert(selected.end(), {row / scores.dim(1), row % scores.dim(1), i});
      }
    }
    Tensor& y = context.Output(0, DType::kInt64, {static_cast<int64_t>(selected.size()) / 3, 3});
    std::copy(selected.begin(), selected.end(), y.data<int64_t>());
  });
}

struct RoiAttributes {
  bool half_pixel = true;
  bool maximum = false;
  int64_t height = 1;
  int64_t width = 1;
  int64_t sampling = 0;
  float scale = 1;
};

/// Four elements of a plane and their weights.
struct Bilinear {
  int64_t at[4] = {};
  double weight[4] = {};
};

/// One axis of a bilinear sample: beyond the last element it counts alone.
void Bracket(double x, int64_t extent, int64_t& low, int64_t& high, double& fraction) {
  x = std::max(x, 0.0);
  low = static_cast<int64_t>(x);
  if (low >= extent - 1) {
    low = high = extent - 1;
    fraction = 0;
  } else {
    high = low + 1;
    fraction = x - static_cast<double>(low);
  }
}

Bilinear SampleAt(double y, double x, int64_t height, int64_t width) {
  Bilinear out;
  if (y < -1 || y > static_cast<double>(height) || x < -1 || x > static_cast<double>(width)) return out;
  int64_t y0, y1, x0, x1;
  double fy, fx;
  Bracket(y, height, y0, y1, fy);
  Bracket(x, width, x0, x1, fx);
  const int64_t at[] = {y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1};
  const double weight[] = {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx};
  std::copy_n(at, 4, out.at);
  std::copy_n(weight, 4, out.weight);
  return out;
}

template <typename C>
C PoolSamples(const std::vector<Bilinear>& samples, const C* plane, bool maximum) {
  double sum = 0;
  double best = 0;
  bool first = true;
  for (const Bilinear& s : samples) {
    double value = 0;
    // The standard's maximum is over the four weighted neighbours, not over their sum.
    double greatest = s.weight[0] * static_cast<double>(plane[s.at[0]]);
    for (int k = 0; k < 4; ++k) {
      const double part = s.weight[k] * static_cast<double>(plane[s.at[k]]);
      value += part;
      greatest = std::max(greatest, part);
    }
    sum += value;
    best = first ? greatest : std::max(best, greatest);
    first = false;
  }
  if (samples.empty()) return 0;
  return static_cast<C>(maximum ? best : sum / static_cast<double>(samples.size()));
}

template <typename C>
void RunRoiAlign(KernelContext& context, const RoiAttributes& a, const Tensor& x, Tensor& y) {
  const C* in = ReadAs<C>(context, x);
  const C* rois = ReadAs<C>(context, context.Input(1));
  const int64_t* images = ReadAs<int64_t>(context, context.Input(2));
  WideOutput<C> out(context, y);
  const int64_t channels = x.dim(1);
  const int64_t height = x.dim(2);
  const int64_t width = x.dim(3);
  const double offset = a.half_pixel ? 0.5 : 0.0;
  for (int64_t r = 0; r < y.dim(0); ++r) {
    double edges[4];
    for (int k = 0; k < 4; ++k) edges[k] = static_cast<double>(rois[r * 4 + k]) * static_cast<double>(a.scale) - offset;
    double roi_width = edges[2] - edges[0];
    double roi_height = edges[3] - edges[1];
    if (!a.half_pixel) {
      roi_width = std::max(roi_width, 1.0);
      roi_height = std::max(roi_height, 1.0);
    }
    const double bin_height = roi_height / static_cast<double>(a.height);
    const double bin_width = roi_width / static_cast<double>(a.width);
    constexpr double kMostSamples = 1e4;  // per axis and bin: a box of absurd size must not take all memory
    Require(
        std::isfinite(bin_height) && std::isfinite(bin_width) && bin_height < kMostSamples && bin_width < kMostSamples,
        ErrorCode::kInvalidArgument, "roi ", r, " is ", roi_width, " wide and ", roi_height, " high");
    const int64_t rows =
        a.sampling > 0 ? a.sampling : std::max<int64_t>(0, static_cast<int64_t>(std::ceil(bin_height)));
    const int64_t columns =
        a.sampling > 0 ? a.sampling : std::max<int64_t>(0, static_cast<int64_t>(std::ceil(bin_width)));
    const int64_t image = images[r];
    Require(image >= 0 && image < x.dim(0), ErrorCode::kInvalidArgument, "roi ", r, " is of image ", image, " of ",
            x.dim(0));
    std::vector<Bilinear> samples;
    for (int64_t bin = 0; bin < a.height * a.width; ++bin) {
      samples.clear();
      for (int64_t iy = 0; iy < rows; ++iy) {
        const double sample_y = edges[1] + (static_cast<double>(bin / a.width) +
                                            (static_cast<double>(iy) + 0.5) / static_cast<double>(rows)) *
                                               bin_height;
        for (int64_t ix = 0; ix < columns; ++ix) {
          const double sample_x = edges[0] + (static_cast<double>(bin % a.width) +
                                              (static_cast<double>(ix) + 0.5) / static_cast<double>(columns)) *
                                                 bin_width;
          samples.push_back(SampleAt(sample_y, sample_x, height, width));
        }
      }
      for (int64_t c = 0; c < channels; ++c) {
        out.data()[(r * channels + c) * a.height * a.width + bin] =
            PoolSamples(samples, in + (image * channels + c) * height * width, a.maximum);
      }
    }
  }
  out.Store();
}

/// Version 10 has no attribute for the coordinates: it does not shift them.
std::unique_ptr<Kernel> MakeRoiAlign(const NodeSpec& node) {
  RoiAttributes a;
  const std::string coordinates = node.attributes.String("coordinate_transformation_mode",
                                                         node.since_version < 16 ? "output_half_pixel" : "half_pixel");
  const std::string mode = node.attributes.String("mode", "avg");
  Require((coordinates == "half_pixel" || coordinates == "output_half_pixel") && (mode == "avg" || mode == "max"),
          ErrorCode::kInvalidModel, "attributes coordinate_transformation_mode='", coordinates, "' and mode='", mode,
          "' are not what RoiAlign has");
  a.half_pixel = coordinates == "half_pixel";
  a.maximum = mode == "max";
  a.height = node.attributes.Int("output_height", 1);
  a.width = node.attributes.Int("output_width", 1);
  a.sampling = node.attributes.Int("sampling_ratio", 0);
  a.scale = node.attributes.Float("spatial_scale", 1.0f);
  Require(a.height > 0 && a.width > 0 && a.sampling >= 0, ErrorCode::kInvalidModel,
          "output_height, output_width and sampling_ratio are ", a.height, ", ", a.width, " and ", a.sampling);
  return MakeKernel([a](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& rois = context.Input(1);
    Require(x.rank() == 4 && rois.rank() == 2 && rois.dim(1) == 4 && context.Input(2).elements() == rois.dim(0),
            ErrorCode::kInvalidArgument, "X has shape ", x.shape(), ", rois ", rois.shape(), " and batch_indices ",
            context.Input(2).shape());
    Require(x.dim(2) > 0 && x.dim(3) > 0, ErrorCode::kInvalidArgument, "X has shape ", x.shape());
    Tensor& y = context.Output(0, x.dtype(), {rois.dim(0), x.dim(1), a.height, a.width});
    DispatchFloat(x.dtype(), "RoiAlign",
                  [&](auto tag) { RunRoiAlign<typename decltype(tag)::type>(context, a, x, y); });
  });
}

enum class GridMode { kLinear, kNearest, kCubic };
enum class GridPadding { kZeros, kBorder, kReflection };

struct GridAttributes {
  GridMode mode = GridMode::kLinear;
  GridPadding padding = GridPadding::kZeros;
  bool align_corners = false;
};

GridAttributes ReadGrid(const NodeSpec& node) {
  GridAttributes a;
  // Version 16 knew images only and says bilinear and bicubic.
  const std::string mode = node.attributes.String("mode", "linear");
  const std::string padding = node.attributes.String("padding_mode", "zeros");
  if (mode == "nearest")
    a.mode = GridMode::kNearest;
  else if (mode == "cubic" || mode == "bicubic")
    a.mode = GridMode::kCubic;
  else
    Require(mode == "linear" || mode == "bilinear", ErrorCode::kInvalidModel, "attribute 'mode' is '", mode, "'");
  if (padding == "border")
    a.padding = GridPadding::kBorder;
  else if (padding == "reflection")
    a.padding = GridPadding::kReflection;
  else
    Require(padding == "zeros", ErrorCode::kInvalidModel, "attribute 'padding_mode' is '", padding, "'");
  a.align_corners = node.attributes.Int("align_corners", 0) != 0;
  return a;
}

double Reflect(double x, double least, double greatest) {
  const double range = greatest - least;
  if (range <= 0) return least;
  if (x >= least && x <= greatest) return x;
  const double beyond = x < least ? least - x : x - greatest;
  const double turns = std::floor(beyond / range);
  const double rest = beyond - turns * range;
  const bool from_near = std::fmod(turns, 2.0) == 0;
  return (x < least) == from_near ? least + rest : greatest - rest;
}

struct GridTap {
  int64_t index = 0;  // of the axis; -1 where there is nothing
  double weight = 0;
};

/// The elements along one axis that a coordinate draws on.
std::vector<GridTap> TapsAlong(const GridAttributes& a, double normalized, int64_t extent) {
  const auto n = static_cast<double>(extent);
  const double least = a.align_corners ? 0.0 : -0.5;
  const double greatest = a.align_corners ? n - 1 : n - 0.5;
  double x = a.align_corners ? (normalized + 1) / 2 * (n - 1) : ((normalized + 1) * n - 1) / 2;
  if (!std::isfinite(x)) return {{-1, 1.0}};
  if (a.mode == GridMode::kNearest) x = RoundToEven(x);
  if (x < least || x > greatest) {
    // What the standard leaves open is as in PyTorch, to which it refers: cubic weights are those of the place itself.
    if (a.padding == GridPadding::kBorder && a.mode != GridMode::kCubic) x = std::clamp(x, 0.0, n - 1);
    if (a.padding == GridPadding::kReflection) x = Reflect(x, least, greatest);
  }
  const double base = a.mode == GridMode::kNearest ? std::trunc(x) : std::floor(x);
  const double f = x - base;
  std::vector<double> weights = {1.0};
  int64_t first = 0;
  if (a.mode == GridMode::kLinear) weights = {1 - f, f};
  if (a.mode == GridMode::kCubic) {
    constexpr double kA = -0.75;
    const auto near = [](double d) { return ((kA + 2) * d - (kA + 3)) * d * d + 1; };
    const auto far = [](double d) { return ((kA * d - 5 * kA) * d + 8 * kA) * d - 4 * kA; };
    weights = {far(f + 1), near(f), near(1 - f), far(2 - f)};
    first = -1;
  }
  std::vector<GridTap> taps;
  for (size_t k = 0; k < weights.size(); ++k) {
    double at = base + static_cast<double>(first + static_cast<int64_t>(k));
    if (a.padding == GridPadding::kBorder) at = std::clamp(at, 0.0, n - 1);
    if (a.padding == GridPadding::kReflection) at = std::trunc(Reflect(at, least, greatest));
    taps.push_back({at >= 0 && at < n ? static_cast<int64_t>(at) : -1, weights[k]});
  }
  return taps;
}

/// Elements of a plane and weights: the products over all axes.
void CombineTaps(const std::vector<std::vector<GridTap>>& axes, Span<const int64_t> extents,
                 std::vector<GridTap>& out) {
  out.assign(1, {0, 1.0});
  std::vector<GridTap> next;
  for (size_t axis = 0; axis < axes.size(); ++axis) {
    next.clear();
    for (const GridTap& outer : out) {
      for (const GridTap& tap : axes[axis]) {
        if (tap.index >= 0) next.push_back({outer.index * extents[axis] + tap.index, outer.weight * tap.weight});
      }
    }
    out.swap(next);
  }
}

template <typename T>
T WeightedSum(const T* plane, const std::vector<GridTap>& taps) {
  using Sum = std::conditional_t<std::is_same_v<T, std::complex<float>>, std::complex<double>, T>;
  Sum sum = 0;
  for (const GridTap& tap : taps) sum += tap.weight * Sum(plane[tap.index]);
  return T(sum);
}

struct GridSampler {
  const GridAttributes& attributes;
  const double* grid;
  Span<const int64_t> spatial;
  const Tensor& x;
  const Tensor& y;

  /// Every element of `out`, by `combine(plane, taps)` from the plane of `in` that it is of.
  template <typename T, typename F>
  void Run(KernelContext& context, const T* in, T* out, const F& combine) const {
    const size_t rank = spatial.size();
    const int64_t positions = y.shape().elements(2, y.rank());
    const int64_t plane = x.shape().elements(2, x.rank());
    const int64_t channels = x.dim(1);
    context.Threads().ParallelFor(x.dim(0) * positions, 64, [&](int64_t begin, int64_t end) {
      std::vector<std::vector<GridTap>> axes(rank);
      std::vector<GridTap> taps;
      for (int64_t p = begin; p < end; ++p) {
        // The grid names the last axis first.
        const double* at = grid + p * static_cast<int64_t>(rank);
        for (size_t axis = 0; axis < rank; ++axis)
          axes[axis] = TapsAlong(attributes, at[rank - 1 - axis], spatial[axis]);
        CombineTaps(axes, spatial, taps);
        const int64_t image = p / positions;
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t from = image * channels + c;
          out[from * positions + p % positions] = combine(in + from * plane, taps);
        }
      }
    });
  }
};

std::unique_ptr<Kernel> MakeGridSample(const NodeSpec& node) {
  return MakeKernel([a = ReadGrid(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& grid = context.Input(1);
    const Span<const int64_t> spatial = SpatialOf(x.shape());
    const size_t rank = spatial.size();
    Require(grid.rank() == x.rank() && grid.dim(0) == x.dim(0) && grid.dim(rank + 1) == static_cast<int64_t>(rank),
            ErrorCode::kInvalidArgument, "X has shape ", x.shape(), " and grid ", grid.shape(),
            ": [N, C, D1, …] and [N, E1, …, axes] are expected");
    Shape shape = {x.dim(0), x.dim(1)};
    for (size_t i = 1; i <= rank; ++i) shape.Append(grid.dim(i));
    Tensor& y = context.Output(0, x.dtype(), shape);
    const GridSampler sampler{a, ReadAs<double>(context, grid), spatial, x, y};
    if (a.mode == GridMode::kNearest) {
      DispatchMove(x.dtype(), [&](auto tag) {
        using E = typename decltype(tag)::type;
        sampler.Run(context, MoveData<E>(x), MoveData<E>(y), [](const E* plane, const std::vector<GridTap>& taps) {
          return taps.empty() ? E{} : plane[taps[0].index];
        });
      });
    } else if (x.dtype() == DType::kComplex64) {
      sampler.Run(context, x.data<std::complex<float>>(), y.data<std::complex<float>>(),
                  &WeightedSum<std::complex<float>>);
    } else if (x.dtype() == DType::kComplex128) {
      sampler.Run(context, x.data<std::complex<double>>(), y.data<std::complex<double>>(),
                  &WeightedSum<std::complex<double>>);
    } else {
      Require(x.dtype() != DType::kString, ErrorCode::kUnsupported, "interpolation is not defined for tensors of str");
      WideOutput<double> out(context, y);
      sampler.Run(context, ReadAs<double>(context, x), out.data(), &WeightedSum<double>);
      out.Store();
    }
  });
}

/// Calls `f(TypeTag<C>{})` with a type to add numbers of `dtype` in: integers modulo 2^64, of which the narrower ones
/// are the low bits; truth values as numbers, of which none but 0 is false.
template <typename F>
void DispatchSum(DType dtype, std::string_view what, F&& f) {
  const bool whole = IsInteger(dtype) || dtype == DType::kBool;
  Dispatch<Join<WideFloats, Join<Complexes, TypeList<uint64_t>>>>(whole ? DType::kUInt64 : WideDType(dtype), what,
                                                                  static_cast<F&&>(f));
}

std::unique_ptr<Kernel> MakeCol2Im(const NodeSpec& node) {
  return MakeKernel([attributes = WindowAttributes(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const std::vector<int64_t> image = context.Input(1).To<int64_t>();
    const std::vector<int64_t> block = context.Input(2).To<int64_t>();
    const Window window = attributes.Resolve(Span<const int64_t>(image), Span<const int64_t>(block));
    const int64_t taps = window.taps();
    const int64_t positions = window.positions();
    Require(x.rank() == 3 && x.dim(1) % taps == 0 && x.dim(2) == positions, ErrorCode::kInvalidArgument,
            "the input has shape ", x.shape(), ": [N, C · ", taps, ", ", positions, "] is expected");
    const int64_t planes = x.dim(0) * (x.dim(1) / taps);
    Tensor& y = context.Output(0, x.dtype(), WithSpatial(x.dim(0), x.dim(1) / taps, image));
    std::vector<int64_t> sources(static_cast<size_t>(taps * positions));
    window.Sources(0, positions, sources.data());
    DispatchSum(x.dtype(), "Col2Im", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      WideOutput<C> out(context, y);
      std::fill_n(out.data(), y.elements(), C{0});
      for (int64_t p = 0; p < planes; ++p) {
        for (int64_t i = 0; i < taps * positions; ++i) {
          const int64_t target = sources[static_cast<size_t>(i)];
          if (target != Window::kOutside) out.data()[p * window.plane() + target] += in[p * taps * positions + i];
        }
      }
      out.Store();
    });
  });
}

}  // namespace

void AddVision(KernelTable& table) {
  table.Add("", "Col2Im", {18}, &MakeCol2Im);
  table.Add("", "GridSample", {16, 20, 22}, &MakeGridSample);
  table.Add("", "NonMaxSuppression", {10, 11}, &MakeNonMaxSuppression);
  table.Add("", "RoiAlign", {10, 16, 22}, &MakeRoiAlign);
}

}  // namespace onnxforge::reference
