#pragma once

#include <complex>
#include <cstdint>
#include <string>
#include <string_view>

#include "onnxforge/base/dtype.h"
#include "onnxforge/base/error.h"
#include "onnxforge/base/float_types.h"

namespace onnxforge {

/// Carries a C++ type as a value: `[](auto tag) { using T = typename decltype(tag)::type; … }`.
template <typename T>
struct TypeTag {
  using type = T;
};

template <typename... Ts>
struct TypeList {};

template <typename A, typename B>
struct JoinLists;
template <typename... As, typename... Bs>
struct JoinLists<TypeList<As...>, TypeList<Bs...>> {
  using type = TypeList<As..., Bs...>;
};
template <typename A, typename B>
using Join = typename JoinLists<A, B>::type;

template <typename T>
inline constexpr DType kDTypeOf = DType::kUndefined;
template <>
inline constexpr DType kDTypeOf<float> = DType::kFloat32;
template <>
inline constexpr DType kDTypeOf<double> = DType::kFloat64;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::kUInt8;
template <>
inline constexpr DType kDTypeOf<int8_t> = DType::kInt8;
template <>
inline constexpr DType kDTypeOf<uint16_t> = DType::kUInt16;
template <>
inline constexpr DType kDTypeOf<int16_t> = DType::kInt16;
template <>
inline constexpr DType kDTypeOf<uint32_t> = DType::kUInt32;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::kInt32;
template <>
inline constexpr DType kDTypeOf<uint64_t> = DType::kUInt64;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kInt64;
template <>
inline constexpr DType kDTypeOf<std::string> = DType::kString;
template <>
inline constexpr DType kDTypeOf<bool> = DType::kBool;
template <>
inline constexpr DType kDTypeOf<Float16> = DType::kFloat16;
template <>
inline constexpr DType kDTypeOf<BFloat16> = DType::kBFloat16;
template <>
inline constexpr DType kDTypeOf<std::complex<float>> = DType::kComplex64;
template <>
inline constexpr DType kDTypeOf<std::complex<double>> = DType::kComplex128;
template <>
inline constexpr DType kDTypeOf<Float8E4M3FN> = DType::kFloat8E4M3FN;
template <>
inline constexpr DType kDTypeOf<Float8E4M3FNUZ> = DType::kFloat8E4M3FNUZ;
template <>
inline constexpr DType kDTypeOf<Float8E5M2> = DType::kFloat8E5M2;
template <>
inline constexpr DType kDTypeOf<Float8E5M2FNUZ> = DType::kFloat8E5M2FNUZ;
template <>
inline constexpr DType kDTypeOf<Float8E8M0> = DType::kFloat8E8M0;
template <>
inline constexpr DType kDTypeOf<Float4E2M1> = DType::kFloat4E2M1;
template <>
inline constexpr DType kDTypeOf<Float6E2M3> = DType::kFloat6E2M3;
template <>
inline constexpr DType kDTypeOf<Float6E3M2> = DType::kFloat6E3M2;
template <>
inline constexpr DType kDTypeOf<Int4> = DType::kInt4;
template <>
inline constexpr DType kDTypeOf<UInt4> = DType::kUInt4;
template <>
inline constexpr DType kDTypeOf<Int2> = DType::kInt2;
template <>
inline constexpr DType kDTypeOf<UInt2> = DType::kUInt2;

using WideFloats = TypeList<float, double>;
using HalfFloats = TypeList<Float16, BFloat16>;
using Floats = Join<WideFloats, HalfFloats>;
using SignedIntegers = TypeList<int8_t, int16_t, int32_t, int64_t>;
using UnsignedIntegers = TypeList<uint8_t, uint16_t, uint32_t, uint64_t>;
using Integers = Join<SignedIntegers, UnsignedIntegers>;
/// What ONNX calls "all numeric tensor types": the arithmetic operators' T.
using Numbers = Join<Floats, Integers>;
using Complexes = TypeList<std::complex<float>, std::complex<double>>;
using SmallFloats =
    TypeList<Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float8E8M0, Float6E2M3, Float6E3M2, Float4E2M1>;
using SmallIntegers = TypeList<Int4, UInt4, Int2, UInt2>;
/// Everything with a fixed-size element.
using FixedSizeTypes = Join<Join<Numbers, TypeList<bool>>, Join<Complexes, Join<SmallFloats, SmallIntegers>>>;
using AllTypes = Join<FixedSizeTypes, TypeList<std::string>>;

namespace internal {
template <typename F, typename... Ts>
bool TryDispatch(DType dtype, F&& f, TypeList<Ts...>) {
  return ((kDTypeOf<Ts> == dtype ? (f(TypeTag<Ts>{}), true) : false) || ...);
}
}  // namespace internal

/// Calls `f(TypeTag<T>{})` for the member T of `List` that `dtype` names; fails with kUnsupported, naming `what`, where
/// there is none.
template <typename List, typename F>
void Dispatch(DType dtype, std::string_view what, F&& f) {
  if (!internal::TryDispatch(dtype, static_cast<F&&>(f), List{})) {
    Fail(ErrorCode::kUnsupported, what, " is not defined for tensors of ", DTypeName(dtype));
  }
}

}  // namespace onnxforge
