#include "simd/geometry.h"

#include "onnxforge/base/error.h"

namespace onnxforge::simd {

Geometry MeasureConv(const reference::WindowAttributes& attributes, const Shape& filters, size_t groups, size_t batch,
                     size_t channels, Span<const int64_t> spatial) {
  const auto extent = [](int64_t v) { return static_cast<size_t>(v); };
  const size_t last = spatial.size() - 1;
  Geometry g;
  g.batch = batch;
  g.channels = channels;
  g.height = spatial.size() == 2 ? extent(spatial[0]) : 1;
  g.width = extent(spatial[last]);
  Require(g.channels == groups * extent(filters[1]), ErrorCode::kInvalidArgument, "Conv with filters of shape ",
          filters, " in ", groups, " groups needs ", groups * extent(filters[1]), " channels, not ", g.channels);
  g.out_channels = extent(filters[0]);
  const reference::Window window = attributes.Resolve(spatial, reference::SpatialOf(filters));
  g.kernel_w = extent(filters[last + 2]);
  g.stride_w = extent(window.strides[last]);
  g.dilation_w = extent(window.dilations[last]);
  g.pad_left = extent(window.pad_begin[last]);
  g.pad_right = extent(window.pad_end[last]);
  g.out_w = extent(window.output[last]);
  g.out_h = 1;
  if (spatial.size() == 2) {
    g.kernel_h = extent(filters[2]);
    g.stride_h = extent(window.strides[0]);
    g.dilation_h = extent(window.dilations[0]);
    g.pad_top = extent(window.pad_begin[0]);
    g.out_h = extent(window.output[0]);
  }
  return g;
}

void CheckSizes(const Geometry& g) {
  const auto extent = [](size_t v) { return static_cast<int64_t>(v); };
  (void)Shape{extent(g.batch), extent(g.channels), extent(g.height), extent(g.pad_left + g.width + g.pad_right), 64}
      .elements();
}

bool IsMatrix(const Geometry& g) {
  return g.kernel_h * g.kernel_w == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_top == 0 && g.pad_left == 0 &&
         g.out_h == g.height && g.out_w == g.width;
}

WindowRows WindowOf(const Geometry& g) {
  WindowRows w;
  w.height = g.height;
  w.width = g.width;
  w.pixel = g.channels;
  w.out_h = g.out_h;
  w.out_w = g.out_w;
  w.kernel_w = g.kernel_w;
  w.stride_h = g.stride_h;
  w.stride_w = g.stride_w;
  w.dilation_h = g.dilation_h;
  w.dilation_w = g.dilation_w;
  w.pad_top = g.pad_top;
  w.pad_left = g.pad_left;
  return w;
}

}  // namespace onnxforge::simd
