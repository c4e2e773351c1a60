#pragma once

#include <cstddef>
#include <cstdint>

#include "onnxforge/base/shape.h"

#include "reference/window.h"
#include "simd/gemm.h"

namespace onnxforge::simd {

/// Extents of one convolution; one spatial dimension counts as two with a height of 1.
struct Geometry {
  size_t batch = 0, channels = 0, height = 0, width = 0;
  size_t out_channels = 0, out_h = 0, out_w = 0;
  size_t kernel_h = 1, kernel_w = 1;
  size_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  size_t pad_top = 0, pad_left = 0, pad_right = 0;

  size_t positions() const { return batch * out_h * out_w; }
};

/// Images of `channels` and the extents `spatial`, convolved with filters [M, C / groups, spatial…]; fails where the
/// two do not go together.
Geometry MeasureConv(const reference::WindowAttributes& attributes, const Shape& filters, size_t groups, size_t batch,
                     size_t channels, Span<const int64_t> spatial);

/// Fails where the sizes could not even be counted, so that they can be multiplied without a check.
void CheckSizes(const Geometry& g);

/// Every output pixel is one input pixel times a matrix.
bool IsMatrix(const Geometry& g);

/// The rows of the multiplication that the convolution is; what lies outside is still to be said.
WindowRows WindowOf(const Geometry& g);

}  // namespace onnxforge::simd
