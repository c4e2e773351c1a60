#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "onnxforge/base/dispatch.h"
#include "onnxforge/base/tensor.h"
#include "onnxforge/kernels/kernel.h"

namespace onnxforge::reference {

/// The type arithmetic on T is done in: float for the half and smaller formats, T itself otherwise.
template <typename T>
struct WideOf {
  using type = T;
};
template <>
struct WideOf<Float16> {
  using type = float;
};
template <>
struct WideOf<BFloat16> {
  using type = float;
};
template <>
struct WideOf<Float8E4M3FN> {
  using type = float;
};
template <>
struct WideOf<Float8E4M3FNUZ> {
  using type = float;
};
template <>
struct WideOf<Float8E5M2> {
  using type = float;
};
template <>
struct WideOf<Float8E5M2FNUZ> {
  using type = float;
};
template <>
struct WideOf<Float8E8M0> {
  using type = float;
};
template <>
struct WideOf<Float6E2M3> {
  using type = float;
};
template <>
struct WideOf<Float6E3M2> {
  using type = float;
};
template <>
struct WideOf<Float4E2M1> {
  using type = float;
};
template <>
struct WideOf<Int4> {
  using type = int8_t;
};
template <>
struct WideOf<UInt4> {
  using type = uint8_t;
};
template <>
struct WideOf<Int2> {
  using type = int8_t;
};
template <>
struct WideOf<UInt2> {
  using type = uint8_t;
};
template <typename T>
using Wide = typename WideOf<T>::type;

struct ConvertOptions {
  bool saturate = true;  // to the float8 formats
  Float8E8M0::Rounding rounding = Float8E8M0::Rounding::kUp;
};

/// Converts `n` numbers between any two of the numeric types and bool, as Cast does: floating point to the nearest
/// (ties to even), to integers towards zero, integers modulo the width, numbers to bool as "is not 0".
void ConvertElements(DType from, const void* x, DType to, void* y, int64_t n, const ConvertOptions& options = {});

/// `t`'s elements as C: its own memory when it has that type, a converted copy that lives until the node is done
/// otherwise.
template <typename C>
const C* ReadAs(KernelContext& context, const Tensor& t) {
  if (t.dtype() == kDTypeOf<C>) return t.data<C>();
  C* copy = context.Scratch<C>(static_cast<size_t>(t.elements()));
  ConvertElements(t.dtype(), t.raw(), kDTypeOf<C>, copy, t.elements());
  return copy;
}

/// The same as a tensor.
Tensor ConvertedTo(KernelContext& context, const Tensor& t, DType dtype);

/// Float32 for the half types, `dtype` itself otherwise: what they are computed in.
DType WideDType(DType dtype);

/// An output that is computed as C and stored as its own type by Store().
template <typename C>
class WideOutput {
 public:
  WideOutput(KernelContext& context, Tensor& tensor)
      : tensor_(tensor),
        data_(tensor.dtype() == kDTypeOf<C> ? tensor.data<C>()
                                            : context.Scratch<C>(static_cast<size_t>(tensor.elements()))) {}

  C* data() { return data_; }
  void Store() {
    if (tensor_.dtype() != kDTypeOf<C>) {
      ConvertElements(kDTypeOf<C>, data_, tensor_.dtype(), tensor_.raw(), tensor_.elements());
    }
  }

 private:
  Tensor& tensor_;
  C* data_;
};

/// Calls `f(TypeTag<C>{})` with the type that arithmetic on a floating-point `dtype` is done in.
template <typename F>
void DispatchFloat(DType dtype, std::string_view what, F&& f) {
  Dispatch<WideFloats>(WideDType(dtype), what, static_cast<F&&>(f));
}

/// An element that is only moved: so many bytes, copied whatever they mean.
template <size_t kBytes>
struct alignas(kBytes < 8 ? kBytes : 8) Opaque {
  unsigned char bytes[kBytes];
};

/// Calls `f(TypeTag<E>{})` with a type to move elements of `dtype` with: Opaque, or std::string.
template <typename F>
void DispatchMove(DType dtype, F&& f) {
  if (dtype == DType::kString) return f(TypeTag<std::string>{});
  switch (ElementSize(dtype)) {
    case 1:
      return f(TypeTag<Opaque<1>>{});
    case 2:
      return f(TypeTag<Opaque<2>>{});
    case 4:
      return f(TypeTag<Opaque<4>>{});
    case 8:
      return f(TypeTag<Opaque<8>>{});
    case 16:
      return f(TypeTag<Opaque<16>>{});
    default:
      Fail(ErrorCode::kInternal, "no element of ", DTypeName(dtype));
  }
}

/// The elements of a tensor to be moved.
template <typename E>
const E* MoveData(const Tensor& t) {
  return static_cast<const E*>(t.raw());
}
template <typename E>
E* MoveData(Tensor& t) {
  return static_cast<E*>(t.raw());
}

/// Copies `n` elements of `dtype` between element offsets of two tensors' memory.
void CopyElements(DType dtype, const void* x, int64_t x_offset, void* y, int64_t y_offset, int64_t n);

/// Sets `n` elements of `dtype`, from `y_offset` on, to the element at `value`.
void FillElements(DType dtype, const void* value, void* y, int64_t y_offset, int64_t n);

}  // namespace onnxforge::reference
