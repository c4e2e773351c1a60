#include "reference/strided.h"

#include <algorithm>

#include "onnxforge/base/error.h"

#include "reference/broadcast.h"
#include "reference/compute.h"

namespace onnxforge::reference {

void CopyStrided(ThreadPool& threads, DType dtype, const void* x, int64_t offset, const Shape& shape,
                 const Shape& strides, void* y) {
  const StridedPlan plan(shape, Span<const Shape>(&strides, 1));
  const int64_t step = plan.inner_stride(0);
  DispatchMove(dtype, [&](auto tag) {
    using E = typename decltype(tag)::type;
    const E* in = static_cast<const E*>(x) + offset;
    E* out = static_cast<E*>(y);
    plan.ForEach(threads, kElementwiseGrain, [&](const StridedPlan::Run& run) {
      const E* from = in + run.offset[0];
      E* to = out + run.position;
      if (step == 1) {
        std::copy_n(from, run.count, to);
      } else {
        for (int64_t i = 0; i < run.count; ++i) to[i] = from[i * step];
      }
    });
  });
}

AxisSplit SplitAt(const Shape& shape, size_t axis) {
  return {shape.elements(0, axis), shape[axis], shape.elements(axis + 1, shape.rank())};
}

std::vector<size_t> NormalizeAxes(const std::vector<int64_t>& axes, size_t rank) {
  std::vector<size_t> out;
  for (int64_t axis : axes) {
    const size_t normal = NormalizeAxis(axis, rank);
    Require(std::find(out.begin(), out.end(), normal) == out.end(), ErrorCode::kInvalidArgument, "axis ", axis,
            " is named twice");
    out.push_back(normal);
  }
  return out;
}

int64_t NormalizeIndex(int64_t index, int64_t extent) {
  Require(index >= -extent && index < extent, ErrorCode::kInvalidArgument, "index ", index,
          " is out of range for an axis of ", extent);
  return index < 0 ? index + extent : index;
}

Shape ShapeFrom(const std::vector<int64_t>& extents) {
  for (int64_t extent : extents) {
    Require(extent >= 0, ErrorCode::kInvalidArgument, "a shape with the negative extent ", extent);
  }
  return Shape(Span<const int64_t>(extents));
}

int64_t ScalarFrom(const Tensor& t) {
  Require(t.elements() == 1, ErrorCode::kInvalidArgument, "one number is expected, not a tensor of shape ", t.shape());
  return t.To<int64_t>()[0];
}

}  // namespace onnxforge::reference
