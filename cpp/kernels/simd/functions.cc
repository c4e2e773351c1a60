#include "simd/functions.h"

// clang-format off: the order matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/functions.cc"
#include "simd/disabled_targets.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "simd/dispatch.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace onnxforge::simd {
namespace HWY_NAMESPACE {
namespace {  // the same names stand for other things in other files

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// The parameters of a function, in every lane.
struct Parameters {
  V alpha;
  V beta;
};

template <size_t kTerms>
HWY_INLINE V Horner(D d, V x, const float (&coefficients)[kTerms]) {
  V sum = hn::Set(d, coefficients[0]);
  for (size_t i = 1; i < kTerms; ++i) sum = hn::MulAdd(sum, x, hn::Set(d, coefficients[i]));
  return sum;
}

/// f(x) where x is a number, x itself where it is NaN.
HWY_INLINE V KeepNaN(V x, V y) { return hn::IfThenElse(hn::IsNaN(x), x, y); }

struct AbsOp {
  static HWY_INLINE V Apply(D, V x, Parameters) { return hn::Abs(x); }
};

struct CeilOp {
  static HWY_INLINE V Apply(D, V x, Parameters) { return hn::Ceil(x); }
};

struct ClipOp {  // the order of operands keeps a NaN, see Clip in gemm.cc
  static HWY_INLINE V Apply(D, V x, Parameters p) { return hn::Min(p.beta, hn::Max(p.alpha, x)); }
};

struct EluOp {
  static HWY_INLINE V Apply(D d, V x, Parameters p) {
    const V negative = hn::Mul(p.alpha, hn::Sub(hn::Exp(d, hn::Min(x, hn::Zero(d))), hn::Set(d, 1.0f)));
    // Close to 0 the difference cancels; the series does not.
    const V series = hn::Mul(p.alpha, hn::Mul(x, Horner(d, x, {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f})));
    const V y = hn::IfThenElse(hn::Gt(x, hn::Set(d, -0.1f)), series, negative);
    return KeepNaN(x, hn::IfThenElse(hn::Lt(x, hn::Zero(d)), y, x));
  }
};

/// Below 1: x · P(x²). Above: 1 - e^Q(x), since erfc is close to an exponential there; from 4 on erf is 1 in float32. P
/// and Q are Chebyshev fits made in higher precision.
struct ErfOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) {
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
    return KeepNaN(x, hn::IfThenElse(hn::Lt(a, one), small, large));
  }
};

struct ExpOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) {
    // Highway's has a range, and what is beyond it does not become infinity.
    return KeepNaN(x, hn::Exp(d, hn::Min(x, hn::Set(d, 104.0f))));
  }
};

/// Quantised to [kLeast, kGreatest] with scale alpha and zero point beta, and back; NaN becomes the number that 0
/// stands for, as an integer cannot hold it.
template <int kLeast, int kGreatest>
struct FakeQuantizeOp {
  static HWY_INLINE V Apply(D d, V x, Parameters p) {
    const V rounded = hn::Add(hn::Round(hn::Div(x, p.alpha)), p.beta);
    const V kept =
        hn::Min(hn::Max(rounded, hn::Set(d, static_cast<float>(kLeast))), hn::Set(d, static_cast<float>(kGreatest)));
    return hn::Mul(hn::Sub(hn::IfThenZeroElse(hn::IsNaN(x), kept), p.beta), p.alpha);
  }
};
using FakeQuantizeInt8Op = FakeQuantizeOp<-128, 127>;
using FakeQuantizeUInt8Op = FakeQuantizeOp<0, 255>;

struct FloorOp {
  static HWY_INLINE V Apply(D, V x, Parameters) { return hn::Floor(x); }
};

struct GeluOp {
  static HWY_INLINE V Apply(D d, V x, Parameters p) {
    const V half = hn::Set(d, 0.5f);
    const V erf = ErfOp::Apply(d, hn::Mul(x, hn::Set(d, 0.70710678118654752440f)), p);
    return hn::Mul(hn::Mul(half, x), hn::Add(hn::Set(d, 1.0f), erf));
  }
};

struct TanhOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) { return KeepNaN(x, hn::Tanh(d, x)); }
};

struct GeluTanhOp {
  static HWY_INLINE V Apply(D d, V x, Parameters p) {
    const V cubic = hn::MulAdd(hn::Mul(hn::Set(d, 0.044715f), hn::Mul(x, x)), x, x);
    const V tanh = TanhOp::Apply(d, hn::Mul(hn::Set(d, 0.79788456080286535588f), cubic), p);
    return hn::Mul(hn::Mul(hn::Set(d, 0.5f), x), hn::Add(hn::Set(d, 1.0f), tanh));
  }
};

struct HardSigmoidOp {
  static HWY_INLINE V Apply(D d, V x, Parameters p) {
    return hn::Min(hn::Set(d, 1.0f), hn::Max(hn::Zero(d), hn::MulAdd(p.alpha, x, p.beta)));
  }
};

struct HardSwishOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) {
    return hn::Mul(x, HardSigmoidOp::Apply(d, x, {hn::Set(d, 1.0f / 6), hn::Set(d, 0.5f)}));
  }
};

struct LeakyReluOp {
  static HWY_INLINE V Apply(D d, V x, Parameters p) {
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(p.alpha, x), x);
  }
};

struct LogOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) {
    const V zero = hn::Zero(d);
    const V y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(hn::Inf(d)), hn::Log(d, x));
    const auto as_is = hn::Or(hn::IsNaN(x), hn::Eq(x, hn::Inf(d)));
    return hn::IfThenElse(hn::Lt(x, zero), hn::NaN(d), hn::IfThenElse(as_is, x, y));
  }
};

struct NegOp {
  static HWY_INLINE V Apply(D, V x, Parameters) { return hn::Neg(x); }
};

struct ReciprocalOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) { return hn::Div(hn::Set(d, 1.0f), x); }
};

struct ReluOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) { return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x); }
};

struct RoundOp {
  static HWY_INLINE V Apply(D, V x, Parameters) { return hn::Round(x); }
};

struct SigmoidOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) {
    // Of e^-|x|, which does not overflow, so that both ends keep their relative accuracy.
    const V one = hn::Set(d, 1.0f);
    const V e = hn::Exp(d, hn::Neg(hn::Abs(x)));
    const V y = hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one), hn::Add(one, e));
    return KeepNaN(x, y);
  }
};

struct SoftplusOp {
  static HWY_INLINE V Apply(D d, V x, Parameters) {
    const V y = hn::Add(hn::Max(x, hn::Zero(d)), hn::Log1p(d, hn::Exp(d, hn::Neg(hn::Abs(x)))));
    return KeepNaN(x, y);
  }
};

struct MishOp {
  static HWY_INLINE V Apply(D d, V x, Parameters p) {
    return KeepNaN(x, hn::Mul(x, hn::Tanh(d, SoftplusOp::Apply(d, x, p))));
  }
};

struct SqrtOp {
  static HWY_INLINE V Apply(D, V x, Parameters) { return hn::Sqrt(x); }
};

struct SwishOp {
  static HWY_INLINE V Apply(D d, V x, Parameters p) { return hn::Mul(x, SigmoidOp::Apply(d, hn::Mul(p.alpha, x), p)); }
};

template <class Op>
void Loop(const float* x, float* y, size_t n, float alpha, float beta) {
  const D d;
  const Parameters p{hn::Set(d, alpha), hn::Set(d, beta)};
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(Op::Apply(d, hn::LoadU(d, x + i), p), d, y + i);
  if (i < n) hn::StoreN(Op::Apply(d, hn::LoadN(d, x + i, n - i), p), d, y + i, n - i);
}

FloatLoop LoopFor(FunctionId id) {
  switch (id) {
#define ONNXFORGE_FUNCTION(Name) \
  case FunctionId::k##Name:      \
    return Loop<Name##Op>;
    ONNXFORGE_FUNCTION(Abs)
    ONNXFORGE_FUNCTION(Ceil)
    ONNXFORGE_FUNCTION(Clip)
    ONNXFORGE_FUNCTION(Elu)
    ONNXFORGE_FUNCTION(Erf)
    ONNXFORGE_FUNCTION(Exp)
    ONNXFORGE_FUNCTION(FakeQuantizeInt8)
    ONNXFORGE_FUNCTION(FakeQuantizeUInt8)
    ONNXFORGE_FUNCTION(Floor)
    ONNXFORGE_FUNCTION(Gelu)
    ONNXFORGE_FUNCTION(GeluTanh)
    ONNXFORGE_FUNCTION(HardSigmoid)
    ONNXFORGE_FUNCTION(HardSwish)
    ONNXFORGE_FUNCTION(LeakyRelu)
    ONNXFORGE_FUNCTION(Log)
    ONNXFORGE_FUNCTION(Mish)
    ONNXFORGE_FUNCTION(Neg)
    ONNXFORGE_FUNCTION(Reciprocal)
    ONNXFORGE_FUNCTION(Relu)
    ONNXFORGE_FUNCTION(Round)
    ONNXFORGE_FUNCTION(Sigmoid)
    ONNXFORGE_FUNCTION(Softplus)
    ONNXFORGE_FUNCTION(Sqrt)
    ONNXFORGE_FUNCTION(Swish)
    ONNXFORGE_FUNCTION(Tanh)
#undef ONNXFORGE_FUNCTION
    case FunctionId::kCount:
      break;
  }
  return nullptr;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace onnxforge::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace onnxforge::simd {

HWY_EXPORT(LoopFor);

FloatLoop FloatLoopFor(FunctionId id, int64_t target) { return ONNXFORGE_SIMD_FOR(LoopFor, target)(id); }

}  // namespace onnxforge::simd
#endif
