// AffineGrid: where an image that an affine map has moved is to be sampled (Jaderberg et al., "Spatial Transformer
// Networks"). The standard's function body cannot be expanded in its place: it loses the batch where that is 1.
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

/// The middles of `count` pixels between −1 and 1, or with `aligned` the corners of the outer ones at −1 and 1; a
/// single pixel lies at 0.
std::vector<double> Positions(int64_t count, bool aligned) {
  std::vector<double> positions(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const auto doubled = static_cast<double>(2 * i);
    positions[static_cast<size_t>(i)] = count == 1 ? 0.0
                                        : aligned  ? doubled / static_cast<double>(count - 1) - 1.0
                                                   : (doubled + 1.0) / static_cast<double>(count) - 1.0;
  }
  return positions;
}

/// y[n, …, i] = theta[n, i, :] · (x, y[, z], 1), with x along the last of the spatial axes.
template <typename C>
void RunAffineGrid(KernelContext& context, bool aligned, const Tensor& theta, const Shape& shape, Tensor& y) {
  const C* matrices = ReadAs<C>(context, theta);
  WideOutput<C> out(context, y);
  const size_t axes = shape.rank() - 2;  // between batch and coordinates
  std::vector<std::vector<double>> positions;
  for (size_t axis = 0; axis < axes; ++axis) positions.push_back(Positions(shape[1 + axis], aligned));
  const int64_t points = shape.elements(1, 1 + axes);
  std::vector<C> at(axes + 1, C{1});
  C* to = out.data();
  for (int64_t n = 0; n < shape[0]; ++n) {
    const C* matrix = matrices + static_cast<size_t>(n) * axes * (axes + 1);
    for (int64_t point = 0; point < points; ++point) {
      int64_t rest = point;
      for (size_t axis = axes; axis-- > 0; rest /= shape[1 + axis]) {
        at[axes - 1 - axis] = static_cast<C>(positions[axis][static_cast<size_t>(rest % shape[1 + axis])]);
      }
      for (size_t i = 0; i < axes; ++i) {
        C sum = C{0};
        for (size_t k = 0; k <= axes; ++k) sum += matrix[i * (axes + 1) + k] * at[k];
        *to++ = sum;
      }
    }
  }
  out.Store();
}

/// [N, H, W, 2] or [N, D, H, W, 3].
Shape GridShape(const Tensor& theta, const Tensor& size) {
  Require(size.rank() == 1 && (size.dim(0) == 4 || size.dim(0) == 5), ErrorCode::kInvalidArgument, "size has shape ",
          size.shape(), ": [4] for N, C, H, W or [5] for N, C, D, H, W is expected");
  const auto* extents = size.data<int64_t>();
  const int64_t axes = size.dim(0) - 2;
  for (int64_t i = 0; i < size.dim(0); ++i) {
    Require(extents[i] >= 0, ErrorCode::kInvalidArgument, "size ", i, " is ", extents[i]);
  }
  Require(theta.rank() == 3 && theta.dim(0) == extents[0] && theta.dim(1) == axes && theta.dim(2) == axes + 1,
          ErrorCode::kInvalidArgument, "theta has shape ", theta.shape(), ": [", extents[0], ", ", axes, ", ", axes + 1,
          "] is expected");
  Shape shape = {extents[0]};
  for (int64_t i = 2; i < size.dim(0); ++i) shape.Append(extents[i]);
  shape.Append(axes);
  return shape;
}

std::unique_ptr<Kernel> MakeAffineGrid(const NodeSpec& node) {
  const bool aligned = node.attributes.Int("align_corners", 0) != 0;
  return MakeKernel([aligned](KernelContext& context) {
    const Tensor& theta = context.Input(0);
    const Shape shape = GridShape(theta, context.Input(1));
    Tensor& y = context.Output(0, theta.dtype(), shape);
    DispatchFloat(theta.dtype(), "AffineGrid",
                  [&](auto tag) { RunAffineGrid<typename decltype(tag)::type>(context, aligned, theta, shape, y); });
  });
}

}  // namespace

void AddAffineGrid(KernelTable& table) { table.Add("", "AffineGrid", {20}, &MakeAffineGrid); }

}  // namespace onnxforge::reference
