// Scatter, ScatterElements, ScatterND and TensorScatter.
#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

enum class Reduction { kNone, kAdd, kMul, kMax, kMin };

Reduction ReadReduction(const NodeSpec& node) {
  const std::string name = node.attributes.String("reduction", "none");
  if (name == "none") return Reduction::kNone;
  if (name == "add") return Reduction::kAdd;
  if (name == "mul") return Reduction::kMul;
  if (name == "max") return Reduction::kMax;
  if (name == "min") return Reduction::kMin;
  Fail(ErrorCode::kInvalidModel, "attribute 'reduction' is '", name, "', not none, add, mul, max or min");
}

template <typename W>
bool IsNaN(W value) {
  if constexpr (std::is_floating_point_v<W>) return std::isnan(value);
  return false;
}

/// NaN is passed on, from either side.
template <typename T>
T Reduce(Reduction reduction, T a, T b) {
  using W = Wide<T>;
  const W x = a;
  const W y = b;
  switch (reduction) {
    case Reduction::kNone:
      return b;
    case Reduction::kAdd:
      if constexpr (std::is_same_v<W, bool>)
        return x || y;
      else if constexpr (std::is_integral_v<W>)
        return static_cast<T>(static_cast<uint64_t>(x) + static_cast<uint64_t>(y));
      else
        return static_cast<T>(x + y);
    case Reduction::kMul:
      if constexpr (std::is_same_v<W, bool>)
        return x && y;
      else if constexpr (std::is_integral_v<W>)
        return static_cast<T>(static_cast<uint64_t>(x) * static_cast<uint64_t>(y));
      else
        return static_cast<T>(x * y);
    case Reduction::kMax:
      return y > x || IsNaN(y) ? b : a;
    case Reduction::kMin:
      return y < x || IsNaN(y) ? b : a;
  }
  return b;
}

/// y[target(i) + j] takes updates[i * length + j] in, for j < length.
template <typename F>
void Update(Reduction reduction, const Tensor& updates, int64_t count, int64_t length, F target, Tensor& y) {
  if (reduction == Reduction::kNone) {
    for (int64_t i = 0; i < count; ++i) CopyElements(y.dtype(), updates.raw(), i * length, y.raw(), target(i), length);
    return;
  }
  Dispatch<Join<Numbers, TypeList<bool>>>(y.dtype(), "scattering with a reduction", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = updates.data<T>();
    T* to = y.data<T>();
    for (int64_t i = 0; i < count; ++i) {
      T* at = to + target(i);
      for (int64_t j = 0; j < length; ++j) at[j] = Reduce(reduction, at[j], from[i * length + j]);
    }
  });
}

/// Output 0 with the elements of input 0.
Tensor& CopyOfInput(KernelContext& context) {
  const Tensor x = context.Input(0);
  Tensor& y = context.OutputInPlace(0, x.dtype(), x.shape(), {0});
  if (y.raw() != x.raw()) CopyElements(x.dtype(), x.raw(), 0, y.raw(), 0, x.elements());
  return y;
}

std::unique_ptr<Kernel> MakeScatterElements(const NodeSpec& node) {
  return MakeKernel([attribute = node.attributes.Int("axis", 0),
                     reduction = ReadReduction(node)](KernelContext& context) {
    const Tensor& indices = context.Input(1);
    const Tensor& updates = context.Input(2);
    const Shape shape = context.Input(0).shape();
    const size_t axis = NormalizeAxis(attribute, shape.rank());
    Require(indices.shape() == updates.shape() && indices.rank() == shape.rank(), ErrorCode::kInvalidArgument,
            "data has shape ", shape, ", indices ", indices.shape(), " and updates ", updates.shape(),
            ": ranks must agree, and the latter two");
    for (size_t i = 0; i < shape.rank(); ++i) {
      Require(i == axis || indices.dim(i) <= shape[i], ErrorCode::kInvalidArgument, "indices of shape ",
              indices.shape(), " reach beyond data of shape ", shape, " along axis ", i);
    }
    Tensor& y = CopyOfInput(context);
    const int64_t* at = ReadAs<int64_t>(context, indices);
    Shape strides = RowMajorStrides(shape);
    const int64_t step = strides[axis];
    strides[axis] = 0;
    std::vector<int64_t> targets(static_cast<size_t>(indices.elements()));
    const StridedPlan plan(indices.shape(), Span<const Shape>(&strides, 1));
    plan.ForRange(0, indices.elements(), [&](const StridedPlan::Run& run) {
      for (int64_t i = 0; i < run.count; ++i) {
        targets[static_cast<size_t>(run.position + i)] =
            run.offset[0] + i * plan.inner_stride(0) + NormalizeIndex(at[run.position + i], shape[axis]) * step;
      }
    });
    Update(reduction, updates, indices.elements(), 1, [&](int64_t i) { return targets[static_cast<size_t>(i)]; }, y);
  });
}

std::unique_ptr<Kernel> MakeScatterNd(const NodeSpec& node) {
  return MakeKernel([reduction = ReadReduction(node)](KernelContext& context) {
    const Tensor& indices = context.Input(1);
    const Tensor& updates = context.Input(2);
    const Shape shape = context.Input(0).shape();
    Require(indices.rank() >= 1 && static_cast<size_t>(indices.dim(indices.rank() - 1)) <= shape.rank(),
            ErrorCode::kInvalidArgument, "indices of shape ", indices.shape(), " do not fit data of shape ", shape);
    const auto depth = static_cast<size_t>(indices.dim(indices.rank() - 1));
    Shape expected(indices.shape().dims().subspan(0, indices.rank() - 1));
    for (size_t i = depth; i < shape.rank(); ++i) expected.Append(shape[i]);
    Require(updates.shape() == expected, ErrorCode::kInvalidArgument, "updates have shape ", updates.shape(), ", ",
            expected, " is expected");
    Tensor& y = CopyOfInput(context);
    const int64_t* at = ReadAs<int64_t>(context, indices);
    const Shape strides = RowMajorStrides(shape);
    const auto target = [&](int64_t i) {
      int64_t out = 0;
      for (size_t k = 0; k < depth; ++k)
        out += NormalizeIndex(at[static_cast<size_t>(i) * depth + k], shape[k]) * strides[k];
      return out;
    };
    Update(reduction, updates, indices.shape().elements(0, indices.rank() - 1), shape.elements(depth, shape.rank()),
           target, y);
  });
}

/// Writes new rows into a cache [batch, …, length, …] at each batch's own position; circular: modulo the length.
std::unique_ptr<Kernel> MakeTensorScatter(const NodeSpec& node) {
  const std::string mode = node.attributes.String("mode", "linear");
  Require(mode == "linear" || mode == "circular", ErrorCode::kInvalidModel,
          "attribute 'mode' must be 'linear' or 'circular', not '", mode, "'");
  return MakeKernel(
      [attribute = node.attributes.Int("axis", -2), circular = mode == "circular"](KernelContext& context) {
        const Tensor& update = context.Input(1);
        const Tensor* given = context.OptionalInput(2);
        const Shape shape = context.Input(0).shape();
        const size_t axis = NormalizeAxis(attribute, shape.rank());
        Shape expected = shape;
        Require(axis > 0 && update.rank() == shape.rank(), ErrorCode::kInvalidArgument, "past_cache has shape ", shape,
                " and update ", update.shape(), "; the axis must not be the batch's");
        expected[axis] = update.dim(axis);
        Require(update.shape() == expected && update.dim(axis) <= shape[axis], ErrorCode::kInvalidArgument,
                "update has shape ", update.shape(), ", which does not fit into ", shape);
        const std::vector<int64_t> positions =
            given != nullptr ? given->To<int64_t>() : std::vector<int64_t>(static_cast<size_t>(shape[0]), 0);
        Require(static_cast<int64_t>(positions.size()) == shape[0], ErrorCode::kInvalidArgument, positions.size(),
                " write_indices for a batch of ", shape[0]);
        Tensor& y = CopyOfInput(context);
        const AxisSplit s = SplitAt(shape, axis);
        const int64_t length = update.dim(axis);
        const int64_t per_batch = shape.elements(1, axis);
        for (int64_t o = 0; o < s.outer; ++o) {
          const int64_t given_first = positions[static_cast<size_t>(o / per_batch)];
          // The remainder of a division that rounds down: circular positions may be negative.
          const int64_t first = circular && length > 0 ? (given_first % s.extent + s.extent) % s.extent : given_first;
          Require(length == 0 || (first >= 0 && (circular || first <= s.extent - length)), ErrorCode::kInvalidArgument,
                  "write index ", given_first, " and ", length, " rows reach out of an axis of ", s.extent);
          for (int64_t i = 0; i < length; ++i) {
            const int64_t at = circular ? (first + i) % s.extent : first + i;
            CopyElements(y.dtype(), update.raw(), (o * length + i) * s.inner, y.raw(), (o * s.extent + at) * s.inner,
                         s.inner);
          }
        }
      });
}

}  // namespace

void AddScatter(KernelTable& table) {
  table.Add("", "Scatter", {9, 11}, &MakeScatterElements);
  table.Add("", "ScatterElements", {11, 13, 16, 18}, &MakeScatterElements);
  table.Add("", "ScatterND", {11, 13, 16, 18}, &MakeScatterNd);
  table.Add("", "TensorScatter", {24}, &MakeTensorScatter);
}

}  // namespace onnxforge::reference
