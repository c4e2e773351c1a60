#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string_view>

namespace onnxforge {

/// Element types. The values are those of ONNX's TensorProto.DataType.
enum class DType : uint8_t {
  kUndefined = 0,
  kFloat32 = 1,
  kUInt8 = 2,
  kInt8 = 3,
  kUInt16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kFloat64 = 11,
  kUInt32 = 12,
  kUInt64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBFloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUInt4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUInt2 = 25,
  kInt2 = 26,
  kFloat6E2M3 = 27,
  kFloat6E3M2 = 28,
};

/// Bytes of one element in a Tensor's memory. Types below eight bits take one byte each in memory (the value in the low
/// bits, sign-extended for the signed ones), as ml_dtypes arrays do; only files pack them. kString elements are
/// std::string.
size_t ElementSize(DType dtype);

/// Bits of one element in a file's raw data: 2, 4, 6, 8, …; 0 for kString and kUndefined.
size_t PackedBits(DType dtype);

/// Bytes of so many elements in a file's raw data, the last one filled up. Of a type of eight bits and more there must
/// not be more elements than bytes can be counted; below, there may be any number.
size_t PackedBytes(DType dtype, int64_t elements);

/// NumPy's (or ml_dtypes') name: "float32", "bfloat16", "float8_e4m3fn", "int4", "str".
std::string_view DTypeName(DType dtype);

/// The inverse of DTypeName; kUndefined for an unknown name.
DType DTypeFromName(std::string_view name);

bool IsValid(DType dtype);     // a member of the enum other than kUndefined
bool IsFloating(DType dtype);  // every real floating-point type, float4 to float64
bool IsInteger(DType dtype);   // signed or unsigned, two to 64 bits; not bool
bool IsSignedInteger(DType dtype);

std::ostream& operator<<(std::ostream& out, DType dtype);

}  // namespace onnxforge
