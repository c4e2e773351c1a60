// Max, Min, Sum and Mean of any number of tensors, broadcast to one shape.
#include <cmath>
#include <type_traits>

#include "reference/broadcast.h"
#include "reference/elementwise.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

template <typename T>
bool IsNaN([[maybe_unused]] T x) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(x);
  return false;
}

struct MaxOp {
  static constexpr const char* kName = "Max";
  template <typename T>
  static T Apply(T a, T b) {
    return a > b || IsNaN(a) ? a : b;  // NaN wins
  }
};

struct MinOp {
  static constexpr const char* kName = "Min";
  template <typename T>
  static T Apply(T a, T b) {
    return a < b || IsNaN(a) ? a : b;
  }
};

struct SumOp {
  static constexpr const char* kName = "Sum";
  template <typename T>
  static T Apply(T a, T b) {
    return a + b;
  }
};

struct MeanOp : SumOp {
  static constexpr const char* kName = "Mean";
};

/// acc = op(acc, x), with x broadcast.
template <typename Op, typename T>
void Accumulate(KernelContext& context, T* acc, const T* x, const Shape& x_shape, const Shape& shape) {
  const StridedPlan plan = BroadcastPlan({&shape, &x_shape}, shape);
  plan.ForEach(context.Threads(), kElementwiseGrain, [&](const StridedPlan::Run& run) {
    BinaryLoopOf<T, T, Op>(acc + run.position, 1, x + run.offset[1], plan.inner_stride(1), acc + run.position,
                           run.count);
  });
}

template <typename Op, typename T>
void Fold(KernelContext& context, Tensor& y) {
  WideOutput<T> out(context, y);
  T* acc = out.data();
  const Tensor& first = context.Input(0);
  const T* x = ReadAs<T>(context, first);
  const StridedPlan plan = BroadcastPlan({&first.shape()}, y.shape());
  plan.ForEach(context.Threads(), kElementwiseGrain, [&](const StridedPlan::Run& run) {
    for (int64_t i = 0; i < run.count; ++i) acc[run.position + i] = x[run.offset[0] + i * plan.inner_stride(0)];
  });
  for (size_t k = 1; k < context.InputCount(); ++k) {
    Accumulate<Op>(context, acc, ReadAs<T>(context, context.Input(k)), context.Input(k).shape(), y.shape());
  }
  if constexpr (std::is_same_v<Op, MeanOp>) {
    const T count = static_cast<T>(context.InputCount());
    for (int64_t i = 0; i < y.elements(); ++i) acc[i] /= count;
  }
  out.Store();
}

template <typename Op, typename WideTypes>
std::unique_ptr<Kernel> MakeFold(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const DType dtype = context.Input(0).dtype();
    Shape shape = context.Input(0).shape();
    for (size_t k = 1; k < context.InputCount(); ++k) {
      Require(context.Input(k).dtype() == dtype, ErrorCode::kInvalidModel, "inputs 0 and ", k,
              " have different types: ", dtype, " and ", context.Input(k).dtype());
      shape = BroadcastShapes(shape, context.Input(k).shape());
    }
    Tensor& y = context.Output(0, dtype, shape);
    Dispatch<WideTypes>(WideDType(dtype), Op::kName,
                        [&](auto tag) { Fold<Op, typename decltype(tag)::type>(context, y); });
  });
}

}  // namespace

void AddVariadicMath(KernelTable& table) {
  using WideNumbers = Join<WideFloats, Integers>;
  table.Add("", "Max", {1, 6, 8, 12, 13}, &MakeFold<MaxOp, WideNumbers>);
  table.Add("", "Mean", {1, 6, 8, 13}, &MakeFold<MeanOp, WideFloats>);
  table.Add("", "Min", {1, 6, 8, 12, 13}, &MakeFold<MinOp, WideNumbers>);
  table.Add("", "Sum", {1, 6, 8, 13}, &MakeFold<SumOp, WideFloats>);
}

}  // namespace onnxforge::reference
