#include "onnxforge/base/dtype.h"

#include <complex>
#include <ostream>
#include <string>

namespace onnxforge {
namespace {

struct DTypeFacts {
  std::string_view name;
  uint8_t element_size;
  uint8_t packed_bits;
  enum Kind : uint8_t { kOther, kFloat, kSigned, kUnsigned } kind;
};

// Indexed by the enum's value.
constexpr DTypeFacts kFacts[] = {
    {"undefined", 0, 0, DTypeFacts::kOther},
    {"float32", 4, 32, DTypeFacts::kFloat},
    {"uint8", 1, 8, DTypeFacts::kUnsigned},
    {"int8", 1, 8, DTypeFacts::kSigned},
    {"uint16", 2, 16, DTypeFacts::kUnsigned},
    {"int16", 2, 16, DTypeFacts::kSigned},
    {"int32", 4, 32, DTypeFacts::kSigned},
    {"int64", 8, 64, DTypeFacts::kSigned},
    {"str", sizeof(std::string), 0, DTypeFacts::kOther},
    {"bool", 1, 8, DTypeFacts::kOther},
    {"float16", 2, 16, DTypeFacts::kFloat},
    {"float64", 8, 64, DTypeFacts::kFloat},
    {"uint32", 4, 32, DTypeFacts::kUnsigned},
    {"uint64", 8, 64, DTypeFacts::kUnsigned},
    {"complex64", sizeof(std::complex<float>), 64, DTypeFacts::kOther},
    {"complex128", sizeof(std::complex<double>), 128, DTypeFacts::kOther},
    {"bfloat16", 2, 16, DTypeFacts::kFloat},
    {"float8_e4m3fn", 1, 8, DTypeFacts::kFloat},
    {"float8_e4m3fnuz", 1, 8, DTypeFacts::kFloat},
    {"float8_e5m2", 1, 8, DTypeFacts::kFloat},
    {"float8_e5m2fnuz", 1, 8, DTypeFacts::kFloat},
    {"uint4", 1, 4, DTypeFacts::kUnsigned},
    {"int4", 1, 4, DTypeFacts::kSigned},
    {"float4_e2m1fn", 1, 4, DTypeFacts::kFloat},
    {"float8_e8m0fnu", 1, 8, DTypeFacts::kFloat},
    {"uint2", 1, 2, DTypeFacts::kUnsigned},
    {"int2", 1, 2, DTypeFacts::kSigned},
    {"float6_e2m3fn", 1, 6, DTypeFacts::kFloat},
    {"float6_e3m2fn", 1, 6, DTypeFacts::kFloat},
};
constexpr size_t kCount = sizeof(kFacts) / sizeof(kFacts[0]);
static_assert(kCount == static_cast<size_t>(DType::kFloat6E3M2) + 1, "one row per member of DType");

const DTypeFacts& Facts(DType dtype) {
  const auto i = static_cast<size_t>(dtype);
  return kFacts[i < kCount ? i : 0];
}

}  // namespace

size_t ElementSize(DType dtype) { return Facts(dtype).element_size; }

size_t PackedBits(DType dtype) { return Facts(dtype).packed_bits; }

size_t PackedBytes(DType dtype, int64_t elements) {
  const size_t bits = PackedBits(dtype);
  const auto count = static_cast<size_t>(elements);
  // By eights, which fill whole bytes: the bits of all of them may be too many to count.
  return count / 8 * bits + (count % 8 * bits + 7) / 8;
}

std::string_view DTypeName(DType dtype) { return Facts(dtype).name; }

DType DTypeFromName(std::string_view name) {
  for (size_t i = 1; i < kCount; ++i) {
    if (kFacts[i].name == name) return static_cast<DType>(i);
  }
  return DType::kUndefined;
}

bool IsValid(DType dtype) { return dtype != DType::kUndefined && static_cast<size_t>(dtype) < kCount; }

bool IsFloating(DType dtype) { return Facts(dtype).kind == DTypeFacts::kFloat; }

bool IsInteger(DType dtype) { return IsSignedInteger(dtype) || Facts(dtype).kind == DTypeFacts::kUnsigned; }

bool IsSignedInteger(DType dtype) { return Facts(dtype).kind == DTypeFacts::kSigned; }

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << DTypeName(dtype); }

}  // namespace onnxforge
