// MaxRoiPool: the greatest element of each bin of a region (Girshick, "Fast R-CNN", section 2.1).
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

struct RoiPool {
  int64_t height = 1;
  int64_t width = 1;
  double scale = 1;
};

/// The elements [begin, end) of an axis.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
};

/// A coordinate of the region as an element of the map; what lies far outside stays so.
int64_t ElementAt(double coordinate) {
  constexpr double kFar = 1e9;
  Require(!std::isnan(coordinate), ErrorCode::kInvalidArgument, "a region has a coordinate that is not a number");
  return static_cast<int64_t>(std::round(std::clamp(coordinate, -kFar, kFar)));
}

/// Bin `i` of `bins` between two elements, both of which belong to the region.
Range BinOf(int64_t first, int64_t last, int64_t i, int64_t bins, int64_t extent) {
  const auto size = static_cast<double>(std::max<int64_t>(last - first + 1, 1)) / static_cast<double>(bins);
  const auto begin = first + static_cast<int64_t>(std::floor(static_cast<double>(i) * size));
  const auto end = first + static_cast<int64_t>(std::ceil(static_cast<double>(i + 1) * size));
  return {std::clamp<int64_t>(begin, 0, extent), std::clamp<int64_t>(end, 0, extent)};
}

/// The greatest element of a bin; an empty one gives 0.
template <typename C>
C Greatest(const C* plane, int64_t width, Range rows, Range columns) {
  if (rows.begin >= rows.end || columns.begin >= columns.end) return C{0};
  C greatest = -std::numeric_limits<C>::infinity();
  for (int64_t y = rows.begin; y < rows.end; ++y) {
    for (int64_t x = columns.begin; x < columns.end; ++x) greatest = std::max(greatest, plane[y * width + x]);
  }
  return greatest;
}

template <typename C>
void RunMaxRoiPool(KernelContext& context, const RoiPool& a, const Tensor& x, Tensor& y) {
  const C* in = ReadAs<C>(context, x);
  const double* rois = ReadAs<double>(context, context.Input(1));
  WideOutput<C> out(context, y);
  const int64_t channels = x.dim(1);
  const int64_t height = x.dim(2);
  const int64_t width = x.dim(3);
  for (int64_t r = 0; r < y.dim(0); ++r) {
    const double* roi = rois + r * 5;
    Require(roi[0] >= 0 && roi[0] < static_cast<double>(x.dim(0)), ErrorCode::kInvalidArgument, "roi ", r,
            " is of image ", roi[0], " of ", x.dim(0));
    const auto image = static_cast<int64_t>(roi[0]);
    int64_t edges[4];
    for (int k = 0; k < 4; ++k) edges[k] = ElementAt(roi[k + 1] * a.scale);
    for (int64_t c = 0; c < channels; ++c) {
      const C* plane = in + (image * channels + c) * height * width;
      C* to = out.data() + (r * channels + c) * a.height * a.width;
      for (int64_t bin = 0; bin < a.height * a.width; ++bin) {
        const Range rows = BinOf(edges[1], edges[3], bin / a.width, a.height, height);
        to[bin] = Greatest(plane, width, rows, BinOf(edges[0], edges[2], bin % a.width, a.width, width));
      }
    }
  }
  out.Store();
}

std::unique_ptr<Kernel> MakeMaxRoiPool(const NodeSpec& node) {
  const std::vector<int64_t> pooled = node.attributes.Ints("pooled_shape");
  Require(pooled.size() == 2 && pooled[0] > 0 && pooled[1] > 0, ErrorCode::kInvalidModel,
          "attribute 'pooled_shape' must be two positive numbers, height and width");
  const RoiPool a = {pooled[0], pooled[1], static_cast<double>(node.attributes.Float("spatial_scale", 1.0f))};
  return MakeKernel([a](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& rois = context.Input(1);
    Require(x.rank() == 4 && rois.rank() == 2 && rois.dim(1) == 5, ErrorCode::kInvalidArgument, "X has shape ",
            x.shape(), " and rois ", rois.shape(), ": [N, C, H, W] and [rois, 5] are expected");
    Tensor& y = context.Output(0, x.dtype(), {rois.dim(0), x.dim(1), a.height, a.width});
    DispatchFloat(x.dtype(), "MaxRoiPool",
                  [&](auto tag) { RunMaxRoiPool<typename decltype(tag)::type>(context, a, x, y); });
  });
}

}  // namespace

void AddMaxRoiPool(KernelTable& table) { table.Add("", "MaxRoiPool", {1, 22}, &MakeMaxRoiPool); }

}  // namespace onnxforge::reference
