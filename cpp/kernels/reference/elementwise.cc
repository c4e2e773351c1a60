#include "reference/elementwise.h"

#include "reference/broadcast.h"

namespace onnxforge::reference {

void RunUnary(KernelContext& context, DType dtype, UnaryLoop loop) {
  const Tensor x = context.Input(0);
  Tensor& y = context.OutputInPlace(0, dtype, x.shape(), {0});
  const auto* in = static_cast<const char*>(x.raw());
  auto* out = static_cast<char*>(y.raw());
  const auto in_size = static_cast<int64_t>(ElementSize(x.dtype()));
  const auto out_size = static_cast<int64_t>(ElementSize(dtype));
  context.Threads().ParallelFor(x.elements(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
    loop(in + begin * in_size, out + begin * out_size, end - begin);
  });
}

void RunBinary(KernelContext& context, const Tensor& a, const Tensor& b, DType dtype, BinaryLoop loop,
               std::initializer_list<size_t> in_place) {
  // Taking an input's memory for the output may invalidate the references.
  // NOLINTBEGIN(performance-unnecessary-copy-initialization)
  const Tensor left = a;
  const Tensor right = b;
  // NOLINTEND(performance-unnecessary-copy-initialization)
  const Shape shape = BroadcastShapes(left.shape(), right.shape());
  Tensor& y = context.OutputInPlace(0, dtype, shape, in_place);
  const StridedPlan plan = BroadcastPlan({&left.shape(), &right.shape()}, shape);
  const auto* p = static_cast<const char*>(left.raw());
  const auto* q = static_cast<const char*>(right.raw());
  auto* out = static_cast<char*>(y.raw());
  const auto in_size = static_cast<int64_t>(ElementSize(left.dtype()));
  const auto right_size = static_cast<int64_t>(ElementSize(right.dtype()));
  const auto out_size = static_cast<int64_t>(ElementSize(dtype));
  plan.ForEach(context.Threads(), kElementwiseGrain, [&](const StridedPlan::Run& run) {
    loop(p + run.offset[0] * in_size, plan.inner_stride(0), q + run.offset[1] * right_size, plan.inner_stride(1),
         out + run.position * out_size, run.count);
  });
}

LegacyBroadcast::LegacyBroadcast(const NodeSpec& node)
    : active_(node.since_version < 7),
      broadcast_(active_ && node.attributes.Int("broadcast", 0) != 0),
      has_axis_(broadcast_ && node.attributes.Has("axis")),
      axis_(has_axis_ ? node.attributes.Int("axis") : 0) {}

Tensor LegacyBroadcast::Align(const Tensor& a, const Tensor& b) const {
  if (!active_) return b;
  if (!broadcast_) {
    Require(a.shape() == b.shape(), ErrorCode::kInvalidArgument, "shapes ", a.shape(), " and ", b.shape(),
            " differ and the node has no attribute broadcast=1");
    return b;
  }
  if (!has_axis_) return b;
  Shape shape = b.shape();
  const size_t axis = NormalizeAxis(axis_, a.rank());
  Require(axis + shape.rank() <= a.rank(), ErrorCode::kInvalidArgument, "shape ", shape, " does not fit into ",
          a.shape(), " from axis ", axis, " on");
  while (axis + shape.rank() < a.rank()) shape.Append(1);
  return b.Reshaped(std::move(shape));
}

}  // namespace onnxforge::reference
