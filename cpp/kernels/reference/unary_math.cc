// Elementwise functions of one number: rounding, signs, exponentials, trigonometry, and tests for NaN and infinity.
#include <cmath>
#include <limits>
#include <type_traits>

#include "reference/elementwise.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

using SignedNumbers = Join<Floats, SignedIntegers>;
using Float8s = TypeList<Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ>;

/// -x without overflow: the least value of a signed type stays what it is.
template <typename T>
T Negated(T x) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(U{0} - static_cast<U>(x)));
  } else {
    return -x;
  }
}

struct AbsOp {
  static constexpr const char* kName = "Abs";
  template <typename T>
  static T Apply(T x) {
    if constexpr (std::is_floating_point_v<T>) {
      return std::abs(x);
    } else if constexpr (std::is_signed_v<T>) {
      return x < 0 ? Negated(x) : x;
    } else {
      return x;
    }
  }
};

struct NegOp {
  static constexpr const char* kName = "Neg";
  template <typename T>
  static T Apply(T x) {
    return Negated(x);
  }
};

struct SignOp {
  static constexpr const char* kName = "Sign";
  template <typename T>
  static T Apply(T x) {
    if (x > T{0}) return T{1};
    if constexpr (std::is_signed_v<T>) {
      if (x < T{0}) return T{-1};
    }
    return x == T{0} ? T{0} : x;  // NaN stays NaN
  }
};

struct RoundOp {
  static constexpr const char* kName = "Round";
  /// To the nearest integer, halves to even whatever the rounding mode of the process.
  template <typename T>
  static T Apply(T x) {
    const T down = std::floor(x);
    const T part = x - down;
    if (part < T(0.5)) return std::copysign(down, x);
    if (part > T(0.5)) return std::copysign(down + 1, x);
    if (part == T(0.5)) return std::copysign(std::fmod(down, T{2}) == 0 ? down : down + 1, x);
    return x;  // NaN and infinities
  }
};

struct ErfOp {
  static constexpr const char* kName = "Erf";
  template <typename T>
  static T Apply(T x) {
    if constexpr (std::is_floating_point_v<T>) {
      return std::erf(x);
    } else {
      return static_cast<T>(std::erf(static_cast<double>(x)));
    }
  }
};

#define ONNXFORGE_UNARY(Name, expression)       \
  struct Name##Op {                             \
    static constexpr const char* kName = #Name; \
    template <typename T>                       \
    static T Apply(T x) {                       \
      return expression;                        \
    }                                           \
  };
ONNXFORGE_UNARY(Acos, std::acos(x))
ONNXFORGE_UNARY(Acosh, std::acosh(x))
ONNXFORGE_UNARY(Asin, std::asin(x))
ONNXFORGE_UNARY(Asinh, std::asinh(x))
ONNXFORGE_UNARY(Atan, std::atan(x))
ONNXFORGE_UNARY(Atanh, std::atanh(x))
ONNXFORGE_UNARY(Ceil, std::ceil(x))
ONNXFORGE_UNARY(Cos, std::cos(x))
ONNXFORGE_UNARY(Cosh, std::cosh(x))
ONNXFORGE_UNARY(Exp, std::exp(x))
ONNXFORGE_UNARY(Floor, std::floor(x))
ONNXFORGE_UNARY(Log, std::log(x))
ONNXFORGE_UNARY(Reciprocal, T{1} / x)
ONNXFORGE_UNARY(Sin, std::sin(x))
ONNXFORGE_UNARY(Sinh, std::sinh(x))
ONNXFORGE_UNARY(Sqrt, std::sqrt(x))
ONNXFORGE_UNARY(Tan, std::tan(x))
ONNXFORGE_UNARY(Tanh, std::tanh(x))
#undef ONNXFORGE_UNARY

struct NotOp {
  static constexpr const char* kName = "Not";
  static bool Apply(bool x) { return !x; }
};

struct BitwiseNotOp {
  static constexpr const char* kName = "BitwiseNot";
  template <typename T>
  static T Apply(T x) {
    return static_cast<T>(~x);
  }
};

struct IsNaNOp {
  template <typename T>
  static bool Apply(T x) {
    return std::isnan(x);
  }
};

std::unique_ptr<Kernel> MakeIsNaN(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    Dispatch<Join<Floats, Float8s>>(context.Input(0).dtype(), "IsNaN", [&](auto tag) {
      RunUnary(context, DType::kBool, &UnaryLoopOf<typename decltype(tag)::type, bool, IsNaNOp>);
    });
  });
}

template <bool kNegative, bool kPositive>
struct IsInfOp {
  template <typename T>
  static bool Apply(T x) {
    return std::isinf(x) && (x < 0 ? kNegative : kPositive);
  }
};

template <typename Op>
void RunIsInf(KernelContext& context) {
  Dispatch<Join<Floats, Float8s>>(context.Input(0).dtype(), "IsInf", [&](auto tag) {
    RunUnary(context, DType::kBool, &UnaryLoopOf<typename decltype(tag)::type, bool, Op>);
  });
}

std::unique_ptr<Kernel> MakeIsInf(const NodeSpec& node) {
  const bool negative = node.attributes.Int("detect_negative", 1) != 0;
  const bool positive = node.attributes.Int("detect_positive", 1) != 0;
  if (negative && positive) return MakeKernel(&RunIsInf<IsInfOp<true, true>>);
  if (negative) return MakeKernel(&RunIsInf<IsInfOp<true, false>>);
  if (positive) return MakeKernel(&RunIsInf<IsInfOp<false, true>>);
  return MakeKernel(&RunIsInf<IsInfOp<false, false>>);
}

}  // namespace

void AddUnaryMath(KernelTable& table) {
  table.Add("", "Abs", {1, 6, 13}, &MakeUnary<AbsOp, Numbers>);
  table.Add("", "Acos", {7, 22}, &MakeUnary<AcosOp, Floats>);
  table.Add("", "Acosh", {9, 22}, &MakeUnary<AcoshOp, Floats>);
  table.Add("", "Asin", {7, 22}, &MakeUnary<AsinOp, Floats>);
  table.Add("", "Asinh", {9, 22}, &MakeUnary<AsinhOp, Floats>);
  table.Add("", "Atan", {7, 22}, &MakeUnary<AtanOp, Floats>);
  table.Add("", "Atanh", {9, 22}, &MakeUnary<AtanhOp, Floats>);
  table.Add("", "BitwiseNot", {18}, &MakeUnary<BitwiseNotOp, Integers>);
  table.Add("", "Ceil", {1, 6, 13}, &MakeUnary<CeilOp, Floats>);
  table.Add("", "Cos", {7, 22}, &MakeUnary<CosOp, Floats>);
  table.Add("", "Cosh", {9, 22}, &MakeUnary<CoshOp, Floats>);
  table.Add("", "Erf", {9, 13}, &MakeUnary<ErfOp, Numbers>);
  table.Add("", "Exp", {1, 6, 13}, &MakeUnary<ExpOp, Floats>);
  table.Add("", "Floor", {1, 6, 13}, &MakeUnary<FloorOp, Floats>);
  table.Add("", "IsInf", {10, 20}, &MakeIsInf);
  table.Add("", "IsNaN", {9, 13, 20}, &MakeIsNaN);
  table.Add("", "Log", {1, 6, 13}, &MakeUnary<LogOp, Floats>);
  table.Add("", "Neg", {1, 6, 13}, &MakeUnary<NegOp, SignedNumbers>);
  table.Add("", "Not", {1}, &MakeUnary<NotOp, TypeList<bool>>);
  table.Add("", "Reciprocal", {1, 6, 13}, &MakeUnary<ReciprocalOp, Floats>);
  table.Add("", "Round", {11, 22}, &MakeUnary<RoundOp, Floats>);
  table.Add("", "Sign", {9, 13}, &MakeUnary<SignOp, Numbers>);
  table.Add("", "Sin", {7, 22}, &MakeUnary<SinOp, Floats>);
  table.Add("", "Sinh", {9, 22}, &MakeUnary<SinhOp, Floats>);
  table.Add("", "Sqrt", {1, 6, 13}, &MakeUnary<SqrtOp, Floats>);
  table.Add("", "Tan", {7, 22}, &MakeUnary<TanOp, Floats>);
  table.Add("", "Tanh", {1, 6, 13}, &MakeUnary<TanhOp, Floats>);
}

}  // namespace onnxforge::reference
