// Gather, GatherElements and GatherND.
#include <algorithm>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

std::unique_ptr<Kernel> MakeGather(const NodeSpec& node) {
  return MakeKernel([attribute = node.attributes.Int("axis", 0)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& indices = context.Input(1);
    const size_t axis = NormalizeAxis(attribute, x.rank());
    const AxisSplit in = SplitAt(x.shape(), axis);
    Shape shape(x.shape().dims().subspan(0, axis));
    for (int64_t extent : indices.shape()) shape.Append(extent);
    for (size_t i = axis + 1; i < x.rank(); ++i) shape.Append(x.dim(i));
    Tensor& y = context.Output(0, x.dtype(), shape);
    const int64_t* at = ReadAs<int64_t>(context, indices);
    const int64_t count = indices.elements();
    const int64_t grain = kElementwiseGrain / std::max<int64_t>(in.inner, 1) + 1;
    context.Threads().ParallelFor(in.outer * count, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = (i / count) * in.extent + NormalizeIndex(at[i % count], in.extent);
        CopyElements(x.dtype(), x.raw(), row * in.inner, y.raw(), i * in.inner, in.inner);
      }
    });
  });
}

std::unique_ptr<Kernel> MakeGatherElements(const NodeSpec& node) {
  return MakeKernel([attribute = node.attributes.Int("axis", 0)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& indices = context.Input(1);
    const size_t axis = NormalizeAxis(attribute, x.rank());
    Require(indices.rank() == x.rank(), ErrorCode::kInvalidArgument, "data has shape ", x.shape(), " and indices ",
            indices.shape(), ": the ranks must be the same");
    for (size_t i = 0; i < x.rank(); ++i) {
      Require(i == axis || indices.dim(i) <= x.dim(i), ErrorCode::kInvalidArgument, "indices of shape ",
              indices.shape(), " reach beyond data of shape ", x.shape(), " along axis ", i);
    }
    Tensor& y = context.Output(0, x.dtype(), indices.shape());
    const int64_t* at = ReadAs<int64_t>(context, indices);
    // Along `axis` the position comes from the index, along the others from where the index stands.
    Shape strides = RowMajorStrides(x.shape());
    const int64_t step = strides[axis];
    strides[axis] = 0;
    const StridedPlan plan(indices.shape(), Span<const Shape>(&strides, 1));
    DispatchMove(x.dtype(), [&](auto tag) {
      using E = typename decltype(tag)::type;
      const E* in = MoveData<E>(x);
      E* out = MoveData<E>(y);
      plan.ForEach(context.Threads(), kElementwiseGrain, [&](const StridedPlan::Run& run) {
        for (int64_t i = 0; i < run.count; ++i) {
          const int64_t index = NormalizeIndex(at[run.position + i], x.dim(axis));
          out[run.position + i] = in[run.offset[0] + i * plan.inner_stride(0) + index * step];
        }
      });
    });
  });
}

std::unique_ptr<Kernel> MakeGatherNd(const NodeSpec& node) {
  return MakeKernel([attribute = node.attributes.Int("batch_dims", 0)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& indices = context.Input(1);
    Require(indices.rank() >= 1 && x.rank() >= 1, ErrorCode::kInvalidArgument,
            "data and indices must have at least one axis");
    const size_t depth = static_cast<size_t>(indices.dim(indices.rank() - 1));
    Require(attribute >= 0 && static_cast<size_t>(attribute) < std::min(x.rank(), indices.rank()) &&
                static_cast<size_t>(attribute) + depth <= x.rank(),
            ErrorCode::kInvalidArgument, "indices of shape ", indices.shape(), " with batch_dims=", attribute,
            " do not fit data of shape ", x.shape());
    const auto batch = static_cast<size_t>(attribute);
    Shape shape(indices.shape().dims().subspan(0, indices.rank() - 1));
    for (size_t i = batch + depth; i < x.rank(); ++i) shape.Append(x.dim(i));
    for (size_t i = 0; i < batch; ++i) {
      Require(x.dim(i) == indices.dim(i), ErrorCode::kInvalidArgument, "batch axis ", i, " is ", x.dim(i),
              " in data and ", indices.dim(i), " in indices");
    }
    Tensor& y = context.Output(0, x.dtype(), shape);
    const int64_t* at = ReadAs<int64_t>(context, indices);
    const Shape strides = RowMajorStrides(x.shape());
    const int64_t slice = x.shape().elements(batch + depth, x.rank());
    const int64_t batch_size = x.shape().elements(batch, x.rank());
    const int64_t per_batch = indices.shape().elements(batch, indices.rank() - 1);
    const int64_t count = indices.shape().elements(0, indices.rank() - 1);
    for (int64_t i = 0; i < count && slice > 0; ++i) {
      int64_t from = (i / per_batch) * batch_size;
      for (size_t k = 0; k < depth; ++k) {
        from += NormalizeIndex(at[static_cast<size_t>(i) * depth + k], x.dim(batch + k)) * strides[batch + k];
      }
      CopyElements(x.dtype(), x.raw(), from, y.raw(), i * slice, slice);
    }
  });
}

}  // namespace

void AddGather(KernelTable& table) {
  table.Add("", "Gather", {1, 11, 13}, &MakeGather);
  table.Add("", "GatherElements", {11, 13}, &MakeGatherElements);
  table.Add("", "GatherND", {11, 12, 13}, &MakeGatherNd);
}

}  // namespace onnxforge::reference
