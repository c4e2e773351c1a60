#include <algorithm>
#include <vector>

#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

struct AxisRange {
  int64_t start = 0;
  int64_t count = 0;
};

/// Python's rules for start:end:step on an axis.
AxisRange ClampRange(int64_t start, int64_t end, int64_t step, int64_t extent) {
  const auto from_end = [extent](int64_t i) { return i < 0 ? i + extent : i; };
  if (step > 0) {
    start = std::clamp(from_end(start), int64_t{0}, extent);
    end = std::clamp(from_end(end), int64_t{0}, extent);
    return {start, end > start ? (end - start - 1) / step + 1 : 0};
  }
  start = std::clamp(from_end(start), int64_t{-1}, extent - 1);
  end = std::clamp(from_end(end), int64_t{-1}, extent - 1);
  // -(step + 1) + 1 in unsigned arithmetic: the least int64 has no negative.
  const uint64_t stride = static_cast<uint64_t>(-(step + 1)) + 1;
  return {start, start > end ? static_cast<int64_t>((static_cast<uint64_t>(start - end) - 1) / stride) + 1 : 0};
}

void RunSlice(KernelContext& context, const std::vector<int64_t>& starts, const std::vector<int64_t>& ends,
              const std::vector<size_t>& axes, const std::vector<int64_t>& steps) {
  const Tensor& x = context.Input(0);
  Require(starts.size() == ends.size() && axes.size() == starts.size() && steps.size() == starts.size(),
          ErrorCode::kInvalidArgument, "starts, ends, axes and steps have different lengths: ", starts.size(), ", ",
          ends.size(), ", ", axes.size(), ", ", steps.size());
  Shape shape = x.shape();
  Shape strides = RowMajorStrides(shape);
  int64_t offset = 0;
  for (size_t k = 0; k < axes.size(); ++k) {
    Require(steps[k] != 0, ErrorCode::kInvalidArgument, "the step along axis ", axes[k], " is 0");
    const AxisRange range = ClampRange(starts[k], ends[k], steps[k], x.dim(axes[k]));
    shape[axes[k]] = range.count;
    offset += range.start * strides[axes[k]];
    // A step that is never taken may be too big to multiply.
    strides[axes[k]] = range.count > 1 ? strides[axes[k]] * steps[k] : 0;
  }
  Tensor& y = context.Output(0, x.dtype(), shape);
  if (y.elements() > 0) CopyStrided(context.Threads(), x.dtype(), x.raw(), offset, shape, strides, y.raw());
}

std::vector<size_t> AxesOrFirst(const std::vector<int64_t>& axes, bool given, size_t count, size_t rank) {
  if (given) return NormalizeAxes(axes, rank);
  std::vector<int64_t> first(count);
  for (size_t i = 0; i < count; ++i) first[i] = static_cast<int64_t>(i);
  return NormalizeAxes(first, rank);
}

std::unique_ptr<Kernel> MakeSlice(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const std::vector<int64_t> starts = context.Input(1).To<int64_t>();
    const Tensor* axes = context.OptionalInput(3);
    const Tensor* steps = context.OptionalInput(4);
    RunSlice(context, starts, context.Input(2).To<int64_t>(),
             AxesOrFirst(axes != nullptr ? axes->To<int64_t>() : std::vector<int64_t>{}, axes != nullptr, starts.size(),
                         context.Input(0).rank()),
             steps != nullptr ? steps->To<int64_t>() : std::vector<int64_t>(starts.size(), 1));
  });
}

std::unique_ptr<Kernel> MakeSliceByAttributes(const NodeSpec& node) {
  return MakeKernel([starts = node.attributes.Ints("starts"), ends = node.attributes.Ints("ends"),
                     axes = node.attributes.Ints("axes"), given = node.attributes.Has("axes")](KernelContext& context) {
    RunSlice(context, starts, ends, AxesOrFirst(axes, given, starts.size(), context.Input(0).rank()),
             std::vector<int64_t>(starts.size(), 1));
  });
}

}  // namespace

void AddSlice(KernelTable& table) {
  table.Add("", "Slice", {1}, &MakeSliceByAttributes);
  table.Add("", "Slice", {10, 11, 13}, &MakeSlice);
}

}  // namespace onnxforge::reference
