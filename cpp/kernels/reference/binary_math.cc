// Elementwise functions of two numbers, with broadcasting: arithmetic, comparison, logic, bits.
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "reference/broadcast.h"
#include "reference/elementwise.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

// Integer arithmetic is modulo the width; it is done in uint64_t because signed overflow is undefined in C++.
template <typename T>
uint64_t Bits(T x) {
  return static_cast<uint64_t>(x);
}

#define ONNXFORGE_ARITHMETIC(Name, operation)             \
  struct Name##Op {                                       \
    static constexpr const char* kName = #Name;           \
    template <typename T>                                 \
    static T Apply(T a, T b) {                            \
      if constexpr (std::is_integral_v<T>)                \
        return static_cast<T>(Bits(a) operation Bits(b)); \
      else                                                \
        return a operation b;                             \
    }                                                     \
  };
ONNXFORGE_ARITHMETIC(Add, +)
ONNXFORGE_ARITHMETIC(Sub, -)
ONNXFORGE_ARITHMETIC(Mul, *)
#undef ONNXFORGE_ARITHMETIC

struct DivOp {
  static constexpr const char* kName = "Div";
  /// Integers: towards zero; by zero gives 0, because the standard leaves it open and a trap would end the process.
  template <typename T>
  static T Apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return static_cast<T>(uint64_t{0} - Bits(a));
      }
      return static_cast<T>(a / b);
    } else {
      return a / b;
    }
  }
};

/// The remainder with the divisor's sign, as Python's %.
struct ModOp {
  static constexpr const char* kName = "Mod";
  template <typename T>
  static T Apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return 0;
        const T r = static_cast<T>(a % b);
        return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
      } else {
        return static_cast<T>(a % b);
      }
    } else {
      const T r = std::fmod(a, b);
      if (r == 0) return std::copysign(r, b);
      return (r < 0) != (b < 0) ? r + b : r;
    }
  }
};

/// The remainder with the dividend's sign, as C's fmod.
struct FmodOp {
  static constexpr const char* kName = "Mod";
  template <typename T>
  static T Apply(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (b == -1) return 0;
      }
      return static_cast<T>(a % b);
    } else {
      return std::fmod(a, b);
    }
  }
};

#define ONNXFORGE_BINARY(Name, expression)      \
  struct Name##Op {                             \
    static constexpr const char* kName = #Name; \
    template <typename T>                       \
    static auto Apply(const T& a, const T& b) { \
      return expression;                        \
    }                                           \
  };
ONNXFORGE_BINARY(Equal, a == b)
ONNXFORGE_BINARY(Less, a < b)
ONNXFORGE_BINARY(LessOrEqual, a <= b)
ONNXFORGE_BINARY(Greater, a > b)
ONNXFORGE_BINARY(GreaterOrEqual, a >= b)
ONNXFORGE_BINARY(And, a&& b)
ONNXFORGE_BINARY(Or, a || b)
ONNXFORGE_BINARY(Xor, a != b)
ONNXFORGE_BINARY(BitwiseAnd, static_cast<T>(a& b))
ONNXFORGE_BINARY(BitwiseOr, static_cast<T>(a | b))
ONNXFORGE_BINARY(BitwiseXor, static_cast<T>(a ^ b))
#undef ONNXFORGE_BINARY

struct ShiftLeftOp {
  static constexpr const char* kName = "BitShift";
  template <typename T>
  static T Apply(T a, T b) {
    constexpr uint64_t kWidth = sizeof(T) * 8;
    return Bits(b) >= kWidth ? T{0} : static_cast<T>(Bits(a) << Bits(b));
  }
};

struct ShiftRightOp {
  static constexpr const char* kName = "BitShift";
  /// Signed numbers keep their sign.
  template <typename T>
  static T Apply(T a, T b) {
    constexpr uint64_t kWidth = sizeof(T) * 8;
    if (Bits(b) < kWidth) return static_cast<T>(a >> b);
    if constexpr (std::is_signed_v<T>) return a < 0 ? T{-1} : T{0};
    return T{0};
  }
};

void RequireSameType(const Tensor& a, const Tensor& b) {
  Require(a.dtype() == b.dtype(), ErrorCode::kInvalidModel, "the inputs have different types: ", a.dtype(), " and ",
          b.dtype());
}

template <typename Op, typename List>
std::unique_ptr<Kernel> MakeArithmetic(const NodeSpec& node) {
  return MakeKernel([legacy = LegacyBroadcast(node)](KernelContext& context) {
    const Tensor& a = context.Input(0);
    const Tensor b = legacy.Align(a, context.Input(1));
    RequireSameType(a, b);
    Dispatch<List>(a.dtype(), Op::kName, [&](auto tag) {
      using T = typename decltype(tag)::type;
      RunBinary(context, a, b, a.dtype(), &BinaryLoopOf<T, T, Op>, {0, 1});
    });
  });
}

template <typename Op, typename List>
std::unique_ptr<Kernel> MakePredicate(const NodeSpec& node) {
  return MakeKernel([legacy = LegacyBroadcast(node)](KernelContext& context) {
    const Tensor& a = context.Input(0);
    const Tensor b = legacy.Align(a, context.Input(1));
    RequireSameType(a, b);
    Dispatch<List>(a.dtype(), Op::kName, [&](auto tag) {
      using T = typename decltype(tag)::type;
      RunBinary(context, a, b, DType::kBool, &BinaryLoopOf<T, bool, Op>, {0, 1});
    });
  });
}

std::unique_ptr<Kernel> MakeMod(const NodeSpec& node) {
  return node.attributes.Int("fmod", 0) != 0 ? MakeArithmetic<FmodOp, Numbers>(node)
                                             : MakeArithmetic<ModOp, Numbers>(node);
}

std::unique_ptr<Kernel> MakeBitShift(const NodeSpec& node) {
  const auto& direction = node.attributes.Get<std::string>("direction");
  if (direction == "LEFT") return MakeArithmetic<ShiftLeftOp, Integers>(node);
  Require(direction == "RIGHT", ErrorCode::kInvalidModel, "attribute 'direction' must be 'LEFT' or 'RIGHT', not '",
          direction, "'");
  return MakeArithmetic<ShiftRightOp, Integers>(node);
}

/// base^exponent modulo the width; a negative exponent gives 1 / base^-exponent towards zero.
template <typename T, typename E>
T IntegerPower(T base, E exponent) {
  if constexpr (std::is_signed_v<E>) {
    if (exponent < 0) {
      if (base == 1) return 1;
      if (base == T(-1)) return exponent % 2 == 0 ? T{1} : T(-1);
      return 0;
    }
  }
  uint64_t result = 1;
  for (uint64_t square = Bits(base); exponent != 0; exponent >>= 1, square *= square) {
    if ((exponent & 1) != 0) result *= square;
  }
  return static_cast<T>(result);
}

template <typename T, typename E>
void PowLoop(const void* a, int64_t a_stride, const void* b, int64_t b_stride, void* y, int64_t n) {
  const T* base = static_cast<const T*>(a);
  const E* exponent = static_cast<const E*>(b);
  T* out = static_cast<T*>(y);
  for (int64_t i = 0; i < n; ++i) {
    const T x = base[i * a_stride];
    const E e = exponent[i * b_stride];
    if constexpr (std::is_integral_v<T> && std::is_integral_v<E>) {
      out[i] = IntegerPower(x, e);
    } else {
      const double power = std::pow(static_cast<double>(x), static_cast<double>(e));
      ConvertElements(DType::kFloat64, &power, kDTypeOf<T>, &out[i], 1);
    }
  }
}

std::unique_ptr<Kernel> MakePow(const NodeSpec& node) {
  return MakeKernel([legacy = LegacyBroadcast(node)](KernelContext& context) {
    const Tensor& a = context.Input(0);
    const Tensor b = legacy.Align(a, context.Input(1));
    using Bases = Join<Floats, TypeList<int32_t, int64_t>>;
    Dispatch<Bases>(a.dtype(), "Pow", [&](auto tag) {
      using T = typename decltype(tag)::type;
      const bool integers = IsInteger(b.dtype()) && std::is_integral_v<T>;
      // No type holds both ends: negative exponents, and those from 2^63 on.
      const bool huge = integers && b.dtype() == DType::kUInt64;
      const Tensor exponent = huge ? b : ConvertedTo(context, b, integers ? DType::kInt64 : DType::kFloat64);
      const BinaryLoop loop = huge ? &PowLoop<T, uint64_t> : integers ? &PowLoop<T, int64_t> : &PowLoop<T, double>;
      RunBinary(context, a, exponent, a.dtype(), loop, {0});
    });
  });
}

}  // namespace

void AddBinaryMath(KernelTable& table) {
  using Comparable = Join<Join<Numbers, TypeList<bool>>, TypeList<std::string>>;
  table.Add("", "Add", {1, 6, 7, 13, 14}, &MakeArithmetic<AddOp, Numbers>);
  table.Add("", "And", {1, 7}, &MakePredicate<AndOp, TypeList<bool>>);
  table.Add("", "BitShift", {11, 28}, &MakeBitShift);
  table.Add("", "BitwiseAnd", {18}, &MakeArithmetic<BitwiseAndOp, Integers>);
  table.Add("", "BitwiseOr", {18}, &MakeArithmetic<BitwiseOrOp, Integers>);
  table.Add("", "BitwiseXor", {18}, &MakeArithmetic<BitwiseXorOp, Integers>);
  table.Add("", "Div", {1, 6, 7, 13, 14}, &MakeArithmetic<DivOp, Numbers>);
  table.Add("", "Equal", {1, 7, 11, 13, 19}, &MakePredicate<EqualOp, Comparable>);
  table.Add("", "Greater", {1, 7, 9, 13}, &MakePredicate<GreaterOp, Numbers>);
  table.Add("", "GreaterOrEqual", {12, 16}, &MakePredicate<GreaterOrEqualOp, Numbers>);
  table.Add("", "Less", {1, 7, 9, 13}, &MakePredicate<LessOp, Numbers>);
  table.Add("", "LessOrEqual", {12, 16}, &MakePredicate<LessOrEqualOp, Numbers>);
  table.Add("", "Mod", {10, 13, 28}, &MakeMod);
  table.Add("", "Mul", {1, 6, 7, 13, 14}, &MakeArithmetic<MulOp, Numbers>);
  table.Add("", "Or", {1, 7}, &MakePredicate<OrOp, TypeList<bool>>);
  table.Add("", "Pow", {1, 7, 12, 13, 15}, &MakePow);
  table.Add("", "Sub", {1, 6, 7, 13, 14}, &MakeArithmetic<SubOp, Numbers>);
  table.Add("", "Xor", {1, 7}, &MakePredicate<XorOp, TypeList<bool>>);
}

}  // namespace onnxforge::reference
