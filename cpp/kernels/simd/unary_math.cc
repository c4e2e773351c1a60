// Exp-1/6/13, Log-1/6/13, Tanh-1/6/13, Sigmoid-1/6/13 and Erf-9/13 for float32.

#include "simd/unary_math.h"

#include <cstddef>

#include "onnxforge/kernels/table.h"

#include "simd/list.h"

// clang-format off: the order matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/unary_math.cc"
#include "simd/disabled_targets.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "simd/dispatch.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace onnxforge::simd {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

struct ExpOp {
  static HWY_INLINE V Apply(D d, V x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, x)); }
};

struct LogOp {
  static HWY_INLINE V Apply(D d, V x) {
    const V zero = hn::Zero(d);
    const V y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(hn::Inf(d)), hn::Log(d, x));
    const auto as_is = hn::Or(hn::IsNaN(x), hn::Eq(x, hn::Inf(d)));
    return hn::IfThenElse(hn::Lt(x, zero), hn::NaN(d), hn::IfThenElse(as_is, x, y));
  }
};

struct TanhOp {
  static HWY_INLINE V Apply(D d, V x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(d, x)); }
};

struct SigmoidOp {
  static HWY_INLINE V Apply(D d, V x) {
    // Of e^-|x|, which does not overflow, so that both ends keep their relative accuracy.
    const V one = hn::Set(d, 1.0f);
    const V e = hn::Exp(d, hn::Neg(hn::Abs(x)));
    const V y = hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one), hn::Add(one, e));
    return hn::IfThenElse(hn::IsNaN(x), x, y);
  }
};

/// Below 1: x · P(x²). Above: 1 - e^Q(x), since erfc is close to an exponential there; from 4 on erf is 1 in float32. P
/// and Q are Chebyshev fits made in higher precision.
struct ErfOp {
  static HWY_INLINE V Apply(D d, V x) {
    const V one = hn::Set(d, 1.0f);
    const V a = hn::Abs(x);
    const V small = hn::Mul(
        x, Horner(d, hn::Mul(x, x),
                  {-9.673590284364764e-06f, 0.00011268253729213029f, -0.0008484396385028958f, 0.005221053492277861f,
                   -0.026865437626838684f, 0.11283782869577408f, -0.37612637877464294f, 1.128379225730896f}));
    const V q = Horner(d, hn::Min(a, hn::Set(d, 4.0f)),
                       {-4.986727830669224e-08f, 2.7258386126050027e-06f, -5.63469402550254e-05f,
                        0.0006519366288557649f, -0.004943775478750467f, 0.026818113401532173f, -0.11063101887702942f,
                        -0.6313521265983582f, -1.130462408065796f, 0.00036744691897183657f});
    const V large = hn::CopySign(hn::Sub(one, hn::Exp(d, q)), x);
    return hn::IfThenElse(hn::IsNaN(x), x, hn::IfThenElse(hn::Lt(a, one), small, large));
  }

 private:
  template <size_t kTerms>
  static HWY_INLINE V Horner(D d, V x, const float (&coefficients)[kTerms]) {
    V sum = hn::Set(d, coefficients[0]);
    for (size_t i = 1; i < kTerms; ++i) sum = hn::MulAdd(sum, x, hn::Set(d, coefficients[i]));
    return sum;
  }
};

template <class Op>
void Loop(const float* x, float* y, size_t n) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(Op::Apply(d, hn::LoadU(d, x + i)), d, y + i);
  if (i < n) hn::StoreN(Op::Apply(d, hn::LoadN(d, x + i, n - i)), d, y + i, n - i);
}

const UnaryMathOps* MathOps() {
  static const UnaryMathOps ops{Loop<ExpOp>, Loop<LogOp>, Loop<TanhOp>, Loop<SigmoidOp>, Loop<ErfOp>};
  return &ops;
}

}  // namespace HWY_NAMESPACE
}  // namespace onnxforge::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace onnxforge::simd {

HWY_EXPORT(MathOps);

const UnaryMathOps& UnaryMathOpsFor(int64_t target) { return *ONNXFORGE_SIMD_FOR(MathOps, target)(); }

namespace {

// Elements below which another thread does not pay.
constexpr int64_t kGrain = 16384;

template <FloatLoop UnaryMathOps::* kLoop>
std::unique_ptr<Kernel> MakeUnary(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32) return nullptr;
  return MakeKernel([loop = UnaryMathOpsFor(node.target).*kLoop](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const float* from = x.data<float>();
    Tensor& y = context.OutputInPlace(0, DType::kFloat32, x.shape(), {0});
    float* to = y.data<float>();
    context.Threads().ParallelFor(y.elements(), kGrain, [&](int64_t begin, int64_t end) {
      loop(from + begin, to + begin, static_cast<size_t>(end - begin));
    });
  });
}

}  // namespace

void AddUnaryMath(KernelTable& table) {
  table.Add("", "Exp", {1, 6, 13}, MakeUnary<&UnaryMathOps::exp>);
  table.Add("", "Log", {1, 6, 13}, MakeUnary<&UnaryMathOps::log>);
  table.Add("", "Tanh", {1, 6, 13}, MakeUnary<&UnaryMathOps::tanh>);
  table.Add("", "Sigmoid", {1, 6, 13}, MakeUnary<&UnaryMathOps::sigmoid>);
  table.Add("", "Erf", {9, 13}, MakeUnary<&UnaryMathOps::erf>);
}

}  // namespace onnxforge::simd
#endif
