#include "onnxforge/base/float_types.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace onnxforge {
namespace {

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// What sets the small formats with a sign, an exponent and a fraction apart.
struct Format {
  int exponent_bits;
  int fraction_bits;
  int bias;
  uint32_t max_finite;  // magnitude bits of the largest finite value
  uint32_t infinity;    // magnitude bits, 0 where the format has none
  uint32_t nan;         // all bits; the pattern of negative zero for the "uz" formats and those that have no NaN
  bool negative_zero;
};

constexpr Format kHalf{5, 10, 15, 0x7BFF, 0x7C00, 0x7E00, true};
constexpr Format kE4M3FN{4, 3, 7, 0x7E, 0, 0x7F, true};
constexpr Format kE4M3FNUZ{4, 3, 8, 0x7F, 0, 0x80, false};
constexpr Format kE5M2{5, 2, 15, 0x7B, 0x7C, 0x7E, true};
constexpr Format kE5M2FNUZ{5, 2, 16, 0x7F, 0, 0x80, false};
constexpr Format kE2M3{2, 3, 1, 0x1F, 0, 0x20, true};
constexpr Format kE3M2{3, 2, 3, 0x1F, 0, 0x20, true};
constexpr Format kE2M1{2, 1, 1, 0x7, 0, 0x8, true};

uint32_t SignMask(const Format& f) { return 1u << (f.exponent_bits + f.fraction_bits); }

/// Shifts right, rounding to nearest, ties to even.
uint32_t ShiftRounded(uint32_t value, int shift) {
  if (shift > 31) return 0;
  const uint32_t kept = value >> shift;
  const uint32_t rest = value & ((1u << shift) - 1);
  const uint32_t half = 1u << (shift - 1);
  return kept + static_cast<uint32_t>(rest > half || (rest == half && (kept & 1u) != 0));
}

/// The magnitude bits of a finite value, which may come out above max_finite.
uint32_t RoundMagnitude(uint32_t float_bits, const Format& f) {
  const int float_exponent = static_cast<int>((float_bits >> 23) & 0xFF);
  if (float_exponent == 0) return 0;  // below half of the smallest subnormal of every format here
  const int exponent = float_exponent - 127 + f.bias;
  const uint32_t fraction = float_bits & 0x7FFFFF;
  if (exponent > 0) {
    const uint32_t joined = (static_cast<uint32_t>(exponent) << 23) | fraction;  // a carry moves into the exponent
    return ShiftRounded(joined, 23 - f.fraction_bits);
  }
  return ShiftRounded(fraction | 0x800000u, 24 - f.fraction_bits - exponent);
}

uint32_t Encode(float value, const Format& f, bool saturate) {
  const uint32_t bits = BitsOf(value);
  const uint32_t sign = (bits >> 31) != 0 ? SignMask(f) : 0;
  const auto overflow = [&]() -> uint32_t {
    if (saturate) return sign | f.max_finite;
    if (f.infinity != 0) return sign | f.infinity;
    return f.negative_zero ? sign | f.nan : f.nan;
  };
  if (std::isnan(value)) return f.negative_zero ? sign | f.nan : f.nan;
  if (std::isinf(value)) return overflow();
  const uint32_t magnitude = RoundMagnitude(bits & 0x7FFFFFFFu, f);
  if (magnitude > f.max_finite) return overflow();
  return magnitude == 0 && !f.negative_zero ? 0 : sign | magnitude;
}

float Decode(uint32_t bits, const Format& f) {
  const uint32_t sign_mask = SignMask(f);
  const uint32_t magnitude = bits & (sign_mask - 1);
  const bool negative = (bits & sign_mask) != 0;
  if (!f.negative_zero && bits == sign_mask) return std::numeric_limits<float>::quiet_NaN();
  if (magnitude > f.max_finite) {
    const float special = f.infinity != 0 && magnitude == f.infinity ? std::numeric_limits<float>::infinity()
                                                                     : std::numeric_limits<float>::quiet_NaN();
    return negative ? -special : special;
  }
  const int exponent = static_cast<int>(magnitude >> f.fraction_bits);
  const uint32_t fraction = magnitude & ((1u << f.fraction_bits) - 1);
  const float value = exponent == 0 ? std::ldexp(static_cast<float>(fraction), 1 - f.bias - f.fraction_bits)
                                    : std::ldexp(static_cast<float>(fraction | (1u << f.fraction_bits)),
                                                 exponent - f.bias - f.fraction_bits);
  return negative ? -value : value;
}

}  // namespace

Float16::Float16(float value) : bits(static_cast<uint16_t>(Encode(value, kHalf, false))) {}

Float16::operator float() const {
  // The common case without ldexp: half and float differ in the width of the exponent and in its bias.
  const uint32_t magnitude = bits & 0x7FFFu;
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  if (magnitude >= 0x0400u && magnitude < 0x7C00u) return FromBits(sign | ((magnitude << 13) + (112u << 23)));
  return Decode(bits, kHalf);
}

BFloat16::BFloat16(float value) {
  const uint32_t b = BitsOf(value);
  bits = std::isnan(value) ? static_cast<uint16_t>((b >> 16) | 0x0040u)
                           : static_cast<uint16_t>((b + 0x7FFFu + ((b >> 16) & 1u)) >> 16);
}

BFloat16::operator float() const { return FromBits(static_cast<uint32_t>(bits) << 16); }

#define ONNXFORGE_DEFINE_FLOAT8(Name, format)                         \
  Name Name::FromFloat(float value, bool saturate) {                  \
    Name out;                                                         \
    out.bits = static_cast<uint8_t>(Encode(value, format, saturate)); \
    return out;                                                       \
  }                                                                   \
  Name::operator float() const { return Decode(bits, format); }
ONNXFORGE_DEFINE_FLOAT8(Float8E4M3FN, kE4M3FN)
ONNXFORGE_DEFINE_FLOAT8(Float8E4M3FNUZ, kE4M3FNUZ)
ONNXFORGE_DEFINE_FLOAT8(Float8E5M2, kE5M2)
ONNXFORGE_DEFINE_FLOAT8(Float8E5M2FNUZ, kE5M2FNUZ)
#undef ONNXFORGE_DEFINE_FLOAT8

Float8E8M0 Float8E8M0::FromFloat(float value, bool saturate, Rounding rounding) {
  Float8E8M0 out;
  if (std::isnan(value)) {
    out.bits = 0xFF;
    return out;
  }
  const uint32_t bits = BitsOf(value) & 0x7FFFFFFFu;  // the format has no sign
  uint32_t exponent = bits >> 23;
  const uint32_t fraction = bits & 0x7FFFFFu;
  if (exponent == 0xFF) {
    out.bits = saturate ? 0xFE : 0xFF;
    return out;
  }
  const bool up = rounding == Rounding::kUp        ? fraction != 0
                  : rounding == Rounding::kNearest ? fraction >= 0x400000u
                                                   : false;
  // Exponent field 0 of a float is 2^-126 times the fraction; the value 2^-127 is the fraction 0x400000.
  if (exponent == 0) {
    out.bits = fraction > 0x400000u && rounding == Rounding::kUp
                   ? 1
                   : (fraction > 0x600000u && rounding == Rounding::kNearest ? 1 : 0);
    return out;
  }
  exponent += static_cast<uint32_t>(up);
  out.bits = exponent < 0xFF ? static_cast<uint8_t>(exponent) : static_cast<uint8_t>(saturate ? 0xFE : 0xFF);
  return out;
}

Float8E8M0::operator float() const {
  if (bits == 0xFF) return std::numeric_limits<float>::quiet_NaN();
  return bits == 0 ? FromBits(0x00400000u) : FromBits(static_cast<uint32_t>(bits) << 23);
}

// NaN becomes -0, as in ml_dtypes and in the expected results of the standard's own tests of Cast.
#define ONNXFORGE_DEFINE_FLOAT_BELOW_8(Name, format)                                   \
  Name::Name(float value) : bits(static_cast<uint8_t>(Encode(value, format, true))) {} \
  Name::operator float() const { return Decode(bits, format); }
ONNXFORGE_DEFINE_FLOAT_BELOW_8(Float6E2M3, kE2M3)
ONNXFORGE_DEFINE_FLOAT_BELOW_8(Float6E3M2, kE3M2)
ONNXFORGE_DEFINE_FLOAT_BELOW_8(Float4E2M1, kE2M1)
#undef ONNXFORGE_DEFINE_FLOAT_BELOW_8

}  // namespace onnxforge
