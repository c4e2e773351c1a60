// Softmax, LogSoftmax and Hardmax.
#include <algorithm>
#include <cmath>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

/// Calls f(begin of a line, step, length) for every line the operator works along: from version 13 on the axis, before
/// it all axes from that one on, flattened.
template <typename F>
void ForLines(const Shape& shape, int64_t attribute, bool flatten, F f) {
  if (shape.elements() == 0) return;
  if (shape.rank() == 0) return f(int64_t{0}, int64_t{1}, int64_t{1});
  AxisSplit s;
  if (flatten) {
    const auto rank = static_cast<int64_t>(shape.rank());
    Require(attribute >= -rank && attribute <= rank, ErrorCode::kInvalidArgument, "axis ", attribute,
            " is out of range for a tensor of rank ", rank);
    const auto axis = static_cast<size_t>(attribute < 0 ? attribute + rank : attribute);
    s = {shape.elements(0, axis), shape.elements(axis, shape.rank()), 1};
  } else {
    s = SplitAt(shape, NormalizeAxis(attribute, shape.rank()));
  }
  for (int64_t i = 0; i < s.outer; ++i) {
    for (int64_t j = 0; j < s.inner; ++j) f(i * s.extent * s.inner + j, s.inner, s.extent);
  }
}

/// T: the tensor's own type. The standard's function body is ReduceMax, Sub, Exp, ReduceSum and Div, and each of these
/// rounds to it.
template <typename T, typename C>
void SoftmaxLine(const C* x, C* y, int64_t step, int64_t n) {
  const auto rounded = [](C value) { return static_cast<C>(static_cast<T>(value)); };
  C greatest = x[0];
  for (int64_t i = 1; i < n; ++i) greatest = std::max(greatest, x[i * step]);
  C sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += y[i * step] = rounded(std::exp(rounded(x[i * step] - greatest)));
  sum = rounded(sum);
  for (int64_t i = 0; i < n; ++i) y[i * step] /= sum;
}

template <typename C>
void LogSoftmaxLine(const C* x, C* y, int64_t step, int64_t n) {
  C greatest = x[0];
  for (int64_t i = 1; i < n; ++i) greatest = std::max(greatest, x[i * step]);
  C sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i * step] - greatest);
  const C offset = std::log(sum);
  for (int64_t i = 0; i < n; ++i) y[i * step] = x[i * step] - greatest - offset;
}

/// 1 at the first greatest element, 0 elsewhere; NaN goes before everything, as in ArgMax.
template <typename C>
void HardmaxLine(const C* x, C* y, int64_t step, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n && !std::isnan(x[best * step]); ++i) {
    const C v = x[i * step];
    if (v > x[best * step] || std::isnan(v)) best = i;
  }
  for (int64_t i = 0; i < n; ++i) y[i * step] = i == best ? C{1} : C{0};
}

struct SoftmaxOp {
  static constexpr const char* kName = "Softmax";
  template <typename T, typename C>
  static void Apply(const C* x, C* y, int64_t step, int64_t n) {
    SoftmaxLine<T>(x, y, step, n);
  }
};
struct LogSoftmaxOp {
  static constexpr const char* kName = "LogSoftmax";
  template <typename T, typename C>
  static void Apply(const C* x, C* y, int64_t step, int64_t n) {
    LogSoftmaxLine(x, y, step, n);
  }
};
struct HardmaxOp {
  static constexpr const char* kName = "Hardmax";
  template <typename T, typename C>
  static void Apply(const C* x, C* y, int64_t step, int64_t n) {
    HardmaxLine(x, y, step, n);
  }
};

template <typename Op>
std::unique_ptr<Kernel> MakeLines(const NodeSpec& node) {
  const bool flatten = node.since_version < 13;
  return MakeKernel([flatten, axis = node.attributes.Int("axis", flatten ? 1 : -1)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    Dispatch<Floats>(x.dtype(), Op::kName, [&](auto tag) {
      using T = typename decltype(tag)::type;
      using C = Wide<T>;
      const C* in = ReadAs<C>(context, x);
      WideOutput<C> out(context, y);
      ForLines(x.shape(), axis, flatten, [&](int64_t begin, int64_t step, int64_t n) {
        Op::template Apply<T>(in + begin, out.data() + begin, step, n);
      });
      out.Store();
    });
  });
}

}  // namespace

void AddSoftmax(KernelTable& table) {
  table.Add("", "Hardmax", {1, 11, 13}, &MakeLines<HardmaxOp>);
  table.Add("", "LogSoftmax", {1, 11, 13}, &MakeLines<LogSoftmaxOp>);
  table.Add("", "Softmax", {1, 11, 13}, &MakeLines<SoftmaxOp>);
}

}  // namespace onnxforge::reference
