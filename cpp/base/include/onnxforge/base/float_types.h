#pragma once

#include <cstdint>

namespace onnxforge {

// Storage types of the small floating-point formats. Each holds its bit pattern, converts to float exactly, and from
// float with round-to-nearest-even. Arithmetic is done in float. Conversions follow the ONNX "Float stored in 8 bits"
// and "Float stored in 4 bits" technical pages, without saturation, too: values out of range become NaN or infinity as
// those say. The six-bit formats are E2M3 and E3M2 of the OCP's Microscaling Formats (MX) specification.

struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  explicit Float16(float value);
  operator float() const;
};

struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value);
  operator float() const;
};

/// The 8-bit formats. `saturate` clips finite values out of range (and infinities, except where the format has them and
/// saturation is off) to the largest finite value.
#define ONNXFORGE_FLOAT8(Name)                                   \
  struct Name {                                                  \
    uint8_t bits = 0;                                            \
    Name() = default;                                            \
    explicit Name(float value) : Name(FromFloat(value, true)) {} \
    static Name FromFloat(float value, bool saturate);           \
    operator float() const;                                      \
  };
ONNXFORGE_FLOAT8(Float8E4M3FN)
ONNXFORGE_FLOAT8(Float8E4M3FNUZ)
ONNXFORGE_FLOAT8(Float8E5M2)
ONNXFORGE_FLOAT8(Float8E5M2FNUZ)
#undef ONNXFORGE_FLOAT8

/// A power of two: exponent only, no sign, no zero; 0xFF is NaN.
struct Float8E8M0 {
  enum class Rounding { kUp, kDown, kNearest };
  uint8_t bits = 0;
  Float8E8M0() = default;
  explicit Float8E8M0(float value) : Float8E8M0(FromFloat(value, true, Rounding::kUp)) {}
  static Float8E8M0 FromFloat(float value, bool saturate, Rounding rounding);
  operator float() const;
};

/// The formats below eight bits, in the low six or four; what the others hold says nothing. They have neither
/// infinities nor NaN: all that is out of range saturates, and NaN becomes -0.
#define ONNXFORGE_FLOAT_BELOW_8(Name) \
  struct Name {                       \
    uint8_t bits = 0;                 \
    Name() = default;                 \
    explicit Name(float value);       \
    operator float() const;           \
  };
ONNXFORGE_FLOAT_BELOW_8(Float6E2M3)
ONNXFORGE_FLOAT_BELOW_8(Float6E3M2)
ONNXFORGE_FLOAT_BELOW_8(Float4E2M1)
#undef ONNXFORGE_FLOAT_BELOW_8

// Integers below eight bits: one value per byte in memory; construction wraps modulo 2^bits.

struct Int4 {
  int8_t value = 0;
  Int4() = default;
  explicit Int4(int64_t v) : value(static_cast<int8_t>(static_cast<int8_t>(static_cast<uint8_t>(v) << 4) >> 4)) {}
  operator int8_t() const { return value; }
};

struct UInt4 {
  uint8_t value = 0;
  UInt4() = default;
  explicit UInt4(int64_t v) : value(static_cast<uint8_t>(v) & 0x0F) {}
  operator uint8_t() const { return value; }
};

struct Int2 {
  int8_t value = 0;
  Int2() = default;
  explicit Int2(int64_t v) : value(static_cast<int8_t>(static_cast<int8_t>(static_cast<uint8_t>(v) << 6) >> 6)) {}
  operator int8_t() const { return value; }
};

struct UInt2 {
  uint8_t value = 0;
  UInt2() = default;
  explicit UInt2(int64_t v) : value(static_cast<uint8_t>(v) & 0x03) {}
  operator uint8_t() const { return value; }
};

}  // namespace onnxforge
