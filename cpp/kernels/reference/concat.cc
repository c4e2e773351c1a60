// Concat and Split, along one axis.
#include "reference/concat.h"

#include <algorithm>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {

void ConcatInto(KernelContext& context, Span<const Tensor* const> parts, int64_t axis_attribute) {
  Require(!parts.empty(), ErrorCode::kInvalidModel, "there is nothing to concatenate");
  const Tensor& first = *parts[0];
  const size_t axis = NormalizeAxis(axis_attribute, first.rank());
  Shape shape = first.shape();
  shape[axis] = 0;
  for (const Tensor* part : parts) {
    Shape other = part->shape();
    Require(part->dtype() == first.dtype() && other.rank() == first.rank(), ErrorCode::kInvalidArgument,
            "cannot concatenate ", part->dtype(), other, " and ", first.dtype(), first.shape());
    shape[axis] += other[axis];
    other[axis] = first.dim(axis);
    Require(other == first.shape(), ErrorCode::kInvalidArgument, "shapes ", part->shape(), " and ", first.shape(),
            " differ elsewhere than along axis ", axis);
  }
  Tensor& y = context.Output(0, first.dtype(), shape);
  const AxisSplit out = SplitAt(shape, axis);
  int64_t at = 0;
  for (const Tensor* part : parts) {
    const int64_t chunk = part->dim(axis) * out.inner;
    for (int64_t i = 0; i < out.outer; ++i) {
      CopyElements(y.dtype(), part->raw(), i * chunk, y.raw(), i * out.extent * out.inner + at, chunk);
    }
    at += chunk;
  }
}

namespace {

std::unique_ptr<Kernel> MakeConcat(const NodeSpec& node) {
  // Only version 1 has a default.
  const int64_t axis = node.since_version == 1 ? node.attributes.Int("axis", 1) : node.attributes.Int("axis");
  return MakeKernel([axis](KernelContext& context) {
    std::vector<const Tensor*> parts;
    for (size_t i = 0; i < context.InputCount(); ++i) parts.push_back(&context.Input(i));
    ConcatInto(context, parts, axis);
  });
}

/// Parts of `total` without sizes given: all alike, and from version 18 on the last one may be smaller.
std::vector<int64_t> EvenParts(int64_t total, int64_t count, bool last_may_be_smaller) {
  Require(count > 0 && (last_may_be_smaller || total % count == 0), ErrorCode::kInvalidArgument, "an axis of ", total,
          " does not divide into ", count, " equal parts");
  const int64_t chunk = (total + count - 1) / count;
  std::vector<int64_t> parts;
  for (int64_t i = 0, left = total; i < count; ++i, left -= parts.back()) parts.push_back(std::min(chunk, left));
  return parts;
}

std::unique_ptr<Kernel> MakeSplit(const NodeSpec& node) {
  const int64_t axis_attribute = node.attributes.Int("axis", 0);
  const bool uneven = node.since_version >= 18;
  return MakeKernel([axis_attribute, uneven, sizes = node.attributes.Ints("split"),
                     by_attribute = node.attributes.Has("split")](KernelContext& context) {
    const Tensor x = context.Input(0);
    const size_t axis = NormalizeAxis(axis_attribute, x.rank());
    const AxisSplit in = SplitAt(x.shape(), axis);
    std::vector<int64_t> parts = sizes;
    if (context.HasInput(1)) {
      parts = context.Input(1).To<int64_t>();
    } else if (!by_attribute) {
      parts = EvenParts(in.extent, static_cast<int64_t>(context.OutputCount()), uneven);
    }
    Require(parts.size() == context.OutputCount(), ErrorCode::kInvalidArgument, parts.size(), " sizes for ",
            context.OutputCount(), " outputs");
    int64_t at = 0;
    for (size_t k = 0; k < parts.size(); ++k) {
      Require(parts[k] >= 0 && parts[k] <= in.extent - at, ErrorCode::kInvalidArgument, "part ", k, " of ", parts[k],
              " does not fit into an axis of ", in.extent);
      if (context.HasOutput(k)) {
        Shape shape = x.shape();
        shape[axis] = parts[k];
        Tensor& y = context.Output(k, x.dtype(), shape);
        const int64_t chunk = parts[k] * in.inner;
        for (int64_t i = 0; i < in.outer; ++i) {
          CopyElements(x.dtype(), x.raw(), (i * in.extent + at) * in.inner, y.raw(), i * chunk, chunk);
        }
      }
      at += parts[k];
    }
    Require(at == in.extent, ErrorCode::kInvalidArgument, "the parts sum up to ", at, ", and the axis is ", in.extent);
  });
}

}  // namespace

void AddConcat(KernelTable& table) {
  table.Add("", "Concat", {1, 4, 11, 13}, &MakeConcat);
  table.Add("", "Split", {1, 2, 11, 13, 18}, &MakeSplit);
}

}  // namespace onnxforge::reference
