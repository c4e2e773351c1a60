#pragma once

#include <cstdint>
#include <vector>

#include "onnxforge/base/dtype.h"
#include "onnxforge/base/shape.h"
#include "onnxforge/base/span.h"
#include "onnxforge/base/tensor.h"
#include "onnxforge/base/threads.h"

namespace onnxforge::reference {

/// Gathers the elements of `x` at `offset` + index · `strides`, for every index of `shape`, into the dense memory `y`.
void CopyStrided(ThreadPool& threads, DType dtype, const void* x, int64_t offset, const Shape& shape,
                 const Shape& strides, void* y);

/// A tensor's extents around one axis: [outer, extent, inner].
struct AxisSplit {
  int64_t outer = 1;
  int64_t extent = 1;
  int64_t inner = 1;
};
AxisSplit SplitAt(const Shape& shape, size_t axis);

/// Axes in [0, rank), each at most once (kInvalidArgument otherwise), in the order given.
std::vector<size_t> NormalizeAxes(const std::vector<int64_t>& axes, size_t rank);

/// An index in [-extent, extent) as one in [0, extent); kInvalidArgument otherwise.
int64_t NormalizeIndex(int64_t index, int64_t extent);

/// A shape given by the elements of a tensor or an attribute; kInvalidArgument when one is negative.
Shape ShapeFrom(const std::vector<int64_t>& extents);

/// An axis steered by an input: one integer.
int64_t ScalarFrom(const Tensor& t);

}  // namespace onnxforge::reference
