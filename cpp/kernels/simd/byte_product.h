#pragma once

#include <cstddef>
#include <cstdint>

#include "onnxforge/base/tensor.h"
#include "onnxforge/kernels/kernel.h"

#include "simd/byte_gemm.h"

namespace onnxforge::simd {

/// What the products of quantised tensors have in common: matrices of int8 or uint8, and the terms that their zero
/// points and scales add to a result.

inline bool IsByte(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUInt8; }

inline const uint8_t* BytesOf(const Tensor& t) { return static_cast<const uint8_t*>(t.raw()); }

/// Element `i` of a tensor of int8 or uint8.
int32_t ByteAt(const Tensor& t, int64_t i);

/// The left-hand side as it is multiplied: its bytes are flipped where the processor takes the other kind.
struct LeftBytes {
  const uint8_t* data = nullptr;
  uint8_t flip = 0;
  uint8_t outside = 0;  // the byte that stands for 0, before it is flipped
  int32_t zero = 0;     // the same as it is multiplied

  /// `zero_point`: one element, or null.
  LeftBytes(const Tensor& a, const Tensor* zero_point, bool signed_a);
};

/// Right-hand sides of one shape, packed one after the other.
struct PackedBytes {
  size_t k = 0;
  size_t n = 0;
  size_t padded = 0;  // columns
  size_t count = 0;
  size_t matrix_bytes = 0;
  const char* packed = nullptr;
  const int32_t* column_sums = nullptr;  // [count][padded]
  bool was_unsigned = false;
  Storage storage;  // owns what was packed ahead

  const void* matrix(size_t i) const { return packed + i * matrix_bytes; }

  static size_t Bytes(const ByteGemmOps& ops, size_t k, size_t n, size_t count);
  /// `first` of `count` matrices that lie `distance` bytes apart, packed to `memory`.
  static PackedBytes Pack(const ByteGemmOps& ops, ByteMatrix first, size_t distance, size_t count, bool is_unsigned,
                          void* memory, ThreadPool& threads);
  /// The same to memory of its own.
  static PackedBytes PackAhead(const NodeSpec& node, const ByteGemmOps& ops, const ByteMatrix& first, size_t distance,
                               size_t count, bool is_unsigned);
};

/// ByteResult's arrays for every matrix, [count][padded], in scratch memory. Parameters have one element for all, one
/// for each column of a matrix, or one for each column of every matrix.
class ByteTerms {
 public:
  /// `bias` and `b_zero` may be null.
  ByteTerms(KernelContext& context, const PackedBytes& b, const LeftBytes& a, const Tensor* bias, const Tensor* b_zero);

  /// The scales a · b / y, or a · b where `y` is null.
  void SetScales(KernelContext& context, float a, const Tensor& b, const float* y);
  void SetBias(KernelContext& context, const Tensor& bias);

  /// The result with the arrays of matrix `i`; all matrices of a stack have the columns of the first where
  /// `per_matrix` is false.
  ByteResult Of(ByteResult result, size_t i) const;

 private:
  size_t n_;
  size_t padded_;
  size_t count_;
  int32_t a_zero_;
  const int32_t* base_ = nullptr;
  const int32_t* b_zeros_ = nullptr;
  const float* scales_ = nullptr;
  const float* bias_ = nullptr;
};

/// Sets kind, zero point and bounds for a result of y_zero's type.
void SetByteKind(ByteResult& result, const Tensor& y_zero);

}  // namespace onnxforge::simd
