// The Reduce* operators.
#include "reference/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {

ReduceAxes::ReduceAxes(const NodeSpec& node, int axes_input_since)
    : by_input_(node.since_version >= axes_input_since),
      noop_with_empty_axes_(node.attributes.Int("noop_with_empty_axes", 0) != 0),
      keep_dims_(node.attributes.Int("keepdims", 1) != 0),
      axes_(node.attributes.Ints("axes")) {}

bool ReduceAxes::IsNoop(const KernelContext& context) const {
  if (!by_input_ || !noop_with_empty_axes_) return false;
  const Tensor* axes = context.OptionalInput(1);
  return axes == nullptr || axes->elements() == 0;
}

std::vector<bool> ReduceAxes::Reduced(const KernelContext& context, size_t rank) const {
  std::vector<bool> reduced(rank, false);
  if (IsNoop(context)) return reduced;
  const Tensor* input = by_input_ ? context.OptionalInput(1) : nullptr;
  const std::vector<int64_t> axes = input != nullptr ? input->To<int64_t>() : axes_;
  for (size_t axis : NormalizeAxes(axes, rank)) reduced[axis] = true;
  if (axes.empty()) reduced.assign(rank, true);
  return reduced;
}

Shape ReducedShape(const Shape& shape, const std::vector<bool>& reduced, bool keep_dims) {
  Shape out;
  for (size_t i = 0; i < shape.rank(); ++i) {
    if (!reduced[i]) {
      out.Append(shape[i]);
    } else if (keep_dims) {
      out.Append(1);
    }
  }
  return out;
}

namespace {

/// What a reduction is made of: a start, a step that takes one element in, and an end that knows how many there were.
/// `T` is float, double or an integer; integer sums are modulo the width, by way of uint64_t.
template <typename T>
T WrappedSum(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}

template <typename T>
T WrappedProduct(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else
    return a * b;
}

template <typename T>
T Magnitude(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return std::abs(x);
  else if constexpr (std::is_signed_v<T>)
    return x < 0 ? static_cast<T>(uint64_t{0} - static_cast<uint64_t>(x)) : x;
  else
    return x;
}

struct SumStep {
  template <typename T>
  static constexpr T Start() {
    return T{0};
  }
  template <typename T>
  static T Take(T acc, T x) {
    return WrappedSum(acc, x);
  }
  template <typename T>
  static T End(T acc, int64_t) {
    return acc;
  }
};

struct MeanStep : SumStep {
  template <typename T>
  static T End(T acc, int64_t n) {
    if constexpr (std::is_integral_v<T>)
      return n == 0 ? T{0} : static_cast<T>(acc / static_cast<T>(n));
    else
      return acc / static_cast<T>(n);
  }
};

struct ProdStep : SumStep {
  template <typename T>
  static constexpr T Start() {
    return T{1};
  }
  template <typename T>
  static T Take(T acc, T x) {
    return WrappedProduct(acc, x);
  }
};

struct L1Step : SumStep {
  template <typename T>
  static T Take(T acc, T x) {
    return WrappedSum(acc, Magnitude(x));
  }
};

struct SumSquareStep : SumStep {
  template <typename T>
  static T Take(T acc, T x) {
    return WrappedSum(acc, WrappedProduct(x, x));
  }
};

struct L2Step : SumSquareStep {
  template <typename T>
  static T End(T acc, int64_t) {
    return static_cast<T>(std::sqrt(acc));
  }
};

struct LogSumStep : SumStep {
  template <typename T>
  static T End(T acc, int64_t) {
    if constexpr (std::is_integral_v<T>)
      return acc <= 0 ? T{0} : static_cast<T>(std::log(static_cast<double>(acc)));
    else
      return std::log(acc);
  }
};

/// NaN wins; of nothing the least there is.
struct MaxStep : SumStep {
  template <typename T>
  static constexpr T Start() {
    return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                : std::numeric_limits<T>::lowest();
  }
  template <typename T>
  static T Take(T acc, T x) {
    if constexpr (std::is_floating_point_v<T>)
      return x > acc || std::isnan(x) ? x : acc;
    else
      return x > acc ? x : acc;
  }
};

struct MinStep : SumStep {
  template <typename T>
  static constexpr T Start() {
    return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  }
  template <typename T>
  static T Take(T acc, T x) {
    if constexpr (std::is_floating_point_v<T>)
      return x < acc || std::isnan(x) ? x : acc;
    else
      return x < acc ? x : acc;
  }
};

/// The axes of a reduction: those that are kept first, then those that are reduced, with the strides in the input.
struct ReducePlan {
  Shape kept, kept_strides, reduced, reduced_strides;

  ReducePlan(const Shape& shape, const std::vector<bool>& flags) {
    const Shape strides = RowMajorStrides(shape);
    for (size_t i = 0; i < shape.rank(); ++i) {
      (flags[i] ? reduced : kept).Append(shape[i]);
      (flags[i] ? reduced_strides : kept_strides).Append(strides[i]);
    }
  }
};

/// Takes one line's result in: sums are added whatever was summed.
template <typename Step, typename T>
T Combine(T acc, T part) {
  constexpr bool kOwnStep =
      std::is_same_v<Step, ProdStep> || std::is_same_v<Step, MaxStep> || std::is_same_v<Step, MinStep>;
  if constexpr (kOwnStep)
    return Step::template Take<T>(acc, part);
  else
    return WrappedSum(acc, part);
}

/// Whether the reduction of each single element is that element, so that no axes mean no work.
template <typename Step>
inline constexpr bool kPassesUnchanged =
    std::is_same_v<Step, SumStep> || std::is_same_v<Step, MeanStep> || std::is_same_v<Step, ProdStep> ||
    std::is_same_v<Step, MaxStep> || std::is_same_v<Step, MinStep>;

template <typename Step, typename T>
void ReduceElements(ThreadPool& threads, const ReducePlan& plan, const T* x, T* y) {
  const StridedPlan kept(plan.kept, Span<const Shape>(&plan.kept_strides, 1));
  const StridedPlan reduced(plan.reduced, Span<const Shape>(&plan.reduced_strides, 1));
  const int64_t count = plan.reduced.elements();
  kept.ForEach(threads, kElementwiseGrain / std::max<int64_t>(count, 1) + 1, [&](const StridedPlan::Run& run) {
    for (int64_t i = 0; i < run.count; ++i) {
      const T* from = x + run.offset[0] + i * kept.inner_stride(0);
      T acc = Step::template Start<T>();
      reduced.ForRange(0, count, [&](const StridedPlan::Run& line) {
        // A partial sum per line: less rounding error than one long sum.
        T part = Step::template Start<T>();
        const T* at = from + line.offset[0];
        for (int64_t j = 0; j < line.count; ++j) part = Step::template Take<T>(part, at[j * reduced.inner_stride(0)]);
        acc = Combine<Step, T>(acc, part);
      });
      y[run.position + i] = Step::template End<T>(acc, count);
    }
  });
}

/// log(Σ exp(x)), shifted by the greatest element so that nothing overflows.
template <typename T>
void LogSumExpElements(const ReducePlan& plan, const T* x, T* y) {
  const StridedPlan kept(plan.kept, Span<const Shape>(&plan.kept_strides, 1));
  const StridedPlan reduced(plan.reduced, Span<const Shape>(&plan.reduced_strides, 1));
  const int64_t count = plan.reduced.elements();
  const auto each = [&](const T* from, auto f) {
    reduced.ForRange(0, count, [&](const StridedPlan::Run& line) {
      for (int64_t j = 0; j < line.count; ++j)
        f(static_cast<double>(from[line.offset[0] + j * reduced.inner_stride(0)]));
    });
  };
  kept.ForRange(0, plan.kept.elements(), [&](const StridedPlan::Run& run) {
    for (int64_t i = 0; i < run.count; ++i) {
      const T* from = x + run.offset[0] + i * kept.inner_stride(0);
      double greatest = -std::numeric_limits<double>::infinity();
      each(from, [&](double v) { greatest = MaxStep::Take(greatest, v); });
      double sum = 0;
      const double shift = std::isinf(greatest) ? 0 : greatest;
      each(from, [&](double v) { sum += std::exp(v - shift); });
      const double result = std::log(sum) + shift;
      ConvertElements(DType::kFloat64, &result, kDTypeOf<T>, &y[run.position + i], 1);
    }
  });
}

struct LogSumExpStep {};

/// What a reduction of `dtype` is computed in. A norm or a mean of integers is one of them even where the sum on the
/// way to it is not.
template <typename Step>
DType ComputedIn(DType dtype) {
  if (dtype == DType::kBool) return DType::kUInt8;
  if (std::is_same_v<Step, L2Step> && IsInteger(dtype)) return DType::kFloat64;
  if (std::is_same_v<Step, MeanStep> && IsInteger(dtype) && ElementSize(dtype) < 8) return DType::kInt64;
  return WideDType(dtype);
}

std::string NameOf(const NodeSpec& node) { return std::string(node.op_type); }

/// Bool, where a version has it, reduces as 0 and 1.
template <typename Step>
std::unique_ptr<Kernel> MakeReduceSince(const NodeSpec& node, int axes_input_since) {
  return MakeKernel([axes = ReduceAxes(node, axes_input_since), name = NameOf(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const std::vector<bool> reduced = axes.Reduced(context, x.rank());
    if (axes.IsNoop(context) && kPassesUnchanged<Step>) {
      context.SetOutput(0, x);
      return;
    }
    const ReducePlan plan(x.shape(), reduced);
    Tensor& y = context.Output(0, x.dtype(), ReducedShape(x.shape(), reduced, axes.keep_dims()));
    const bool is_bool = x.dtype() == DType::kBool;
    using Types = Join<WideFloats, Integers>;
    Dispatch<Types>(ComputedIn<Step>(x.dtype()), name, [&](auto tag) {
      using T = typename decltype(tag)::type;
      Tensor same_bits = is_bool ? y.Reinterpreted(DType::kUInt8) : y;
      const T* in = is_bool ? static_cast<const T*>(x.raw()) : ReadAs<T>(context, x);
      WideOutput<T> out(context, same_bits);
      if constexpr (std::is_same_v<Step, LogSumExpStep>) {
        LogSumExpElements<T>(plan, in, out.data());
      } else {
        ReduceElements<Step, T>(context.Threads(), plan, in, out.data());
      }
      out.Store();
    });
  });
}

template <typename Step>
std::unique_ptr<Kernel> MakeReduce(const NodeSpec& node) {
  return MakeReduceSince<Step>(node, 18);
}

/// ReduceSum had its axes as an input five versions before the others.
std::unique_ptr<Kernel> MakeReduceSum(const NodeSpec& node) { return MakeReduceSince<SumStep>(node, 13); }

}  // namespace

void AddReduce(KernelTable& table) {
  table.Add("", "ReduceL1", {1, 11, 13, 18}, &MakeReduce<L1Step>);
  table.Add("", "ReduceL2", {1, 11, 13, 18}, &MakeReduce<L2Step>);
  table.Add("", "ReduceLogSum", {1, 11, 13, 18, 28}, &MakeReduce<LogSumStep>);
  table.Add("", "ReduceLogSumExp", {1, 11, 13, 18, 28}, &MakeReduce<LogSumExpStep>);
  table.Add("", "ReduceMax", {1, 11, 12, 13, 18, 20}, &MakeReduce<MaxStep>);
  table.Add("", "ReduceMean", {1, 11, 13, 18}, &MakeReduce<MeanStep>);
  table.Add("", "ReduceMin", {1, 11, 12, 13, 18, 20}, &MakeReduce<MinStep>);
  table.Add("", "ReduceProd", {1, 11, 13, 18}, &MakeReduce<ProdStep>);
  table.Add("", "ReduceSum", {1, 11, 13}, &MakeReduceSum);
  table.Add("", "ReduceSumSquare", {1, 11, 13, 18}, &MakeReduce<SumSquareStep>);
}

}  // namespace onnxforge::reference
