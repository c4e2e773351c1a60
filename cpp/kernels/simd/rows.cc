#include "simd/rows.h"

// clang-format off: the order matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/rows.cc"
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

/// Calls `f(i, load, store)` for whole vectors from i on, and once for what is left.
template <class F>
HWY_INLINE void ForVectors(size_t n, const F& f) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const auto load = [](const float* from) HWY_ATTR { return hn::LoadU(D(), from); };
  const auto store = [](V v, float* to) HWY_ATTR { hn::StoreU(v, D(), to); };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) f(i, load, store);
  if (i == n) return;
  const size_t rest = n - i;
  f(
      i, [rest](const float* from) HWY_ATTR { return hn::LoadN(D(), from, rest); },
      [rest](V v, float* to) HWY_ATTR { hn::StoreN(v, D(), to, rest); });
}

/// The greater one, or NaN where either is.
HWY_INLINE V Greater(V a, V b) {
  const V m = hn::Max(a, b);
  return hn::IfThenElse(hn::IsNaN(a), a, hn::IfThenElse(hn::IsNaN(b), b, m));
}

HWY_INLINE V Lesser(V a, V b) {
  const V m = hn::Min(a, b);
  return hn::IfThenElse(hn::IsNaN(a), a, hn::IfThenElse(hn::IsNaN(b), b, m));
}

void MaxOf(const float* const* rows, size_t count, size_t n, float* y) {
  ForVectors(n, [&](size_t i, const auto& load, const auto& store) HWY_ATTR {
    V best = load(rows[0] + i);
    // The first operand is the one that is lost to a NaN on either side; the running one, checked at the end, is not.
    auto nan = hn::IsNaN(best);
    for (size_t r = 1; r < count; ++r) {
      const V v = load(rows[r] + i);
      nan = hn::Or(nan, hn::IsNaN(v));
      best = hn::Max(best, v);
    }
    store(hn::IfThenElse(nan, hn::NaN(D()), best), y + i);
  });
}

void SumOf(const float* const* rows, size_t count, size_t n, float factor, float* y) {
  ForVectors(n, [&](size_t i, const auto& load, const auto& store) HWY_ATTR {
    V sum = hn::Zero(D());
    for (size_t r = 0; r < count; ++r) sum = hn::Add(sum, load(rows[r] + i));
    store(hn::Mul(sum, hn::Set(D(), factor)), y + i);
  });
}

void Affine(const float* x, const float* scale, const float* shift, float lo, float hi, size_t n, float* y) {
  const V low = hn::Set(D(), lo);
  const V high = hn::Set(D(), hi);
  ForVectors(n, [&](size_t i, const auto& load, const auto& store) HWY_ATTR {
    const V v = hn::MulAdd(load(x + i), load(scale + i), load(shift + i));
    store(hn::Min(high, hn::Max(low, v)), y + i);
  });
}

void AffineOfOne(const float* x, float scale, float shift, size_t n, float* y) {
  const V a = hn::Set(D(), scale);
  const V b = hn::Set(D(), shift);
  ForVectors(
      n, [&](size_t i, const auto& load, const auto& store) HWY_ATTR { store(hn::MulAdd(load(x + i), a, b), y + i); });
}

void Normalize(const float* x, float mean, float factor, const float* scale, const float* bias, size_t n, float* y) {
  const V m = hn::Set(D(), mean);
  const V f = hn::Set(D(), factor);
  ForVectors(n, [&](size_t i, const auto& load, const auto& store) HWY_ATTR {
    V v = hn::Mul(hn::Sub(load(x + i), m), f);
    if (scale != nullptr) v = hn::Mul(v, load(scale + i));
    if (bias != nullptr) v = hn::Add(v, load(bias + i));
    store(v, y + i);
  });
}

/// The sum of f(x) in four parts.
template <class F>
HWY_INLINE float SumBy(const float* x, size_t n, const F& f) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = hn::Add(s0, f(hn::LoadU(d, x + i)));
    s1 = hn::Add(s1, f(hn::LoadU(d, x + i + lanes)));
    s2 = hn::Add(s2, f(hn::LoadU(d, x + i + 2 * lanes)));
    s3 = hn::Add(s3, f(hn::LoadU(d, x + i + 3 * lanes)));
  }
  for (; i + lanes <= n; i += lanes) s0 = hn::Add(s0, f(hn::LoadU(d, x + i)));
  if (i < n) s1 = hn::Add(s1, hn::IfThenElseZero(hn::FirstN(d, n - i), f(hn::LoadN(d, x + i, n - i))));
  return hn::ReduceSum(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

float Sum(const float* x, size_t n) {
  return SumBy(x, n, [](V v) HWY_ATTR { return v; });
}

float Squares(const float* x, float mean, size_t n) {
  const V m = hn::Set(D(), mean);
  return SumBy(x, n, [m](V v) HWY_ATTR {
    const V difference = hn::Sub(v, m);
    return hn::Mul(difference, difference);
  });
}

float Max(const float* x, size_t n) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const V least = hn::Neg(hn::Inf(d));
  V best = least;
  auto nan = hn::IsNaN(best);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V v = hn::LoadU(d, x + i);
    nan = hn::Or(nan, hn::IsNaN(v));
    best = hn::Max(best, v);
  }
  if (i < n) {
    const V v = hn::IfThenElse(hn::FirstN(d, n - i), hn::LoadN(d, x + i, n - i), least);
    nan = hn::Or(nan, hn::IsNaN(v));
    best = hn::Max(best, v);
  }
  if (!hn::AllFalse(d, nan)) return hn::GetLane(hn::NaN(d));
  return hn::ReduceMax(d, best);
}

float Exponentials(const float* x, float shift, size_t n, float* y) {
  const D d;
  const V s = hn::Set(d, shift);
  V sum = hn::Zero(d);
  const size_t lanes = hn::Lanes(d);
  const auto exponential = [&](V v) HWY_ATTR {
    const V z = hn::Sub(v, s);
    return hn::IfThenElse(hn::IsNaN(z), z, hn::Exp(d, z));
  };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V e = exponential(hn::LoadU(d, x + i));
    hn::StoreU(e, d, y + i);
    sum = hn::Add(sum, e);
  }
  if (i < n) {
    const V e = exponential(hn::LoadN(d, x + i, n - i));
    hn::StoreN(e, d, y + i, n - i);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, n - i), e));
  }
  return hn::ReduceSum(d, sum);
}

struct AddOp {
  static HWY_INLINE V Apply(V a, V b) { return hn::Add(a, b); }
};
struct SubOp {
  static HWY_INLINE V Apply(V a, V b) { return hn::Sub(a, b); }
};
struct MulOp {
  static HWY_INLINE V Apply(V a, V b) { return hn::Mul(a, b); }
};
struct DivOp {
  static HWY_INLINE V Apply(V a, V b) { return hn::Div(a, b); }
};
struct MaxOp {
  static HWY_INLINE V Apply(V a, V b) { return Greater(a, b); }
};
struct MinOp {
  static HWY_INLINE V Apply(V a, V b) { return Lesser(a, b); }
};

template <class Op>
void Binary(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* y, int64_t count) {
  if (count <= 0) return;
  const auto n = static_cast<size_t>(count);
  if (a_stride == 1 && b_stride == 1) {
    ForVectors(n, [&](size_t i, const auto& load, const auto& store)
                      HWY_ATTR { store(Op::Apply(load(a + i), load(b + i)), y + i); });
  } else if (a_stride == 1) {
    const V v = hn::Set(D(), *b);
    ForVectors(
        n, [&](size_t i, const auto& load, const auto& store) HWY_ATTR { store(Op::Apply(load(a + i), v), y + i); });
  } else {
    const V v = hn::Set(D(), *a);
    if (b_stride == 1) {
      ForVectors(
          n, [&](size_t i, const auto& load, const auto& store) HWY_ATTR { store(Op::Apply(v, load(b + i)), y + i); });
    } else {
      const V result = Op::Apply(v, hn::Set(D(), *b));
      ForVectors(n, [&](size_t i, const auto&, const auto& store) HWY_ATTR { store(result, y + i); });
    }
  }
}

const RowOps* Ops() {
  static const RowOps ops{MaxOf,         SumOf,         Affine,        AffineOfOne,   Normalize,
                          Sum,           Squares,       Max,           Exponentials,  Binary<AddOp>,
                          Binary<SubOp>, Binary<MulOp>, Binary<DivOp>, Binary<MaxOp>, Binary<MinOp>};
  return &ops;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace onnxforge::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace onnxforge::simd {

HWY_EXPORT(Ops);

const RowOps& RowOpsFor(int64_t target) { return *ONNXFORGE_SIMD_FOR(Ops, target)(); }

}  // namespace onnxforge::simd
#endif
