// Expand and Tile: repeating along axes.
#include <limits>
#include <vector>

#include "reference/broadcast.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

std::unique_ptr<Kernel> MakeExpand(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Shape shape = BroadcastShapes(x.shape(), ShapeFrom(context.Input(1).To<int64_t>()));
    Tensor& y = context.Output(0, x.dtype(), shape);
    CopyStrided(context.Threads(), x.dtype(), x.raw(), 0, shape, BroadcastStrides(x.shape(), shape), y.raw());
  });
}

void RunTile(KernelContext& context, const std::vector<int64_t>& repeats) {
  const Tensor& x = context.Input(0);
  Require(repeats.size() == x.rank(), ErrorCode::kInvalidArgument, repeats.size(), " repeats for a tensor of rank ",
          x.rank());
  const Shape strides = RowMajorStrides(x.shape());
  Shape result = x.shape();
  Shape interleaved;  // each axis once as the repetition, with stride 0, and once as itself
  Shape steps;
  for (size_t i = 0; i < x.rank(); ++i) {
    Require(repeats[i] >= 0, ErrorCode::kInvalidArgument, "axis ", i, " is to be repeated ", repeats[i], " times");
    Require(repeats[i] == 0 || x.dim(i) <= std::numeric_limits<int64_t>::max() / repeats[i],
            ErrorCode::kInvalidArgument, "axis ", i, " of ", x.dim(i), " cannot be repeated ", repeats[i], " times");
    result[i] *= repeats[i];
    interleaved.Append(repeats[i]);
    steps.Append(0);
    interleaved.Append(x.dim(i));
    steps.Append(strides[i]);
  }
  Tensor& y = context.Output(0, x.dtype(), result);
  CopyStrided(context.Threads(), x.dtype(), x.raw(), 0, interleaved, steps, y.raw());
}

std::unique_ptr<Kernel> MakeTile(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) { RunTile(context, context.Input(1).To<int64_t>()); });
}

/// Version 1 repeats along one axis.
std::unique_ptr<Kernel> MakeTileAlongAxis(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    std::vector<int64_t> repeats(context.Input(0).rank(), 1);
    repeats[NormalizeAxis(ScalarFrom(context.Input(2)), repeats.size())] = ScalarFrom(context.Input(1));
    RunTile(context, repeats);
  });
}

}  // namespace

void AddExpand(KernelTable& table) {
  table.Add("", "Expand", {8, 13}, &MakeExpand);
  table.Add("", "Tile", {1}, &MakeTileAlongAxis);
  table.Add("", "Tile", {6, 13}, &MakeTile);
}

}  // namespace onnxforge::reference
