#include "onnxforge/base/packed.h"

#include <cstddef>
#include <cstring>

namespace onnxforge {

void UnpackElements(DType dtype, const unsigned char* packed, int64_t count, void* elements) {
  const size_t bits = PackedBits(dtype);
  const bool crosses = 8 % bits != 0;
  const unsigned mask = (1u << bits) - 1;
  const unsigned sign = IsSignedInteger(dtype) ? 1u << (bits - 1) : 0;
  auto* to = static_cast<unsigned char*>(elements);
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    // The place of an element among the eight that fill whole bytes.
    const size_t bit = i % 8 * bits;
    const unsigned char* from = packed + i / 8 * bits + bit / 8;
    unsigned value = static_cast<unsigned>(*from) >> bit % 8;
    if (crosses && bit % 8 + bits > 8) value |= static_cast<unsigned>(from[1]) << (8 - bit % 8);
    value &= mask;
    to[i] = static_cast<unsigned char>((value & sign) != 0 ? value | ~mask : value);
  }
}

void PackElements(DType dtype, const void* elements, int64_t count, unsigned char* packed) {
  const size_t bits = PackedBits(dtype);
  const unsigned mask = (1u << bits) - 1;
  const auto* from = static_cast<const unsigned char*>(elements);
  std::memset(packed, 0, PackedBytes(dtype, count));
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const size_t bit = i % 8 * bits;
    unsigned char* to = packed + i / 8 * bits + bit / 8;
    const unsigned value = (from[i] & mask) << bit % 8;
    to[0] = static_cast<unsigned char>(to[0] | value);
    // Where nothing is left for it, the next byte may be behind the end.
    if (value > 0xFF) to[1] = static_cast<unsigned char>(to[1] | value >> 8);
  }
}

}  // namespace onnxforge
