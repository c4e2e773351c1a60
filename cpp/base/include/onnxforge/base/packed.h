#pragma once

#include <cstdint>

#include "onnxforge/base/dtype.h"

namespace onnxforge {

// Elements below eight bits as files and DLPack hold them: one stream of bits, the first element in the lowest bits of
// the first byte. Six bits go across bytes: four elements take three. Bits behind the last element are 0.

/// `count` elements, one byte each at `elements` as in a Tensor, from the PackedBytes() at `packed`.
void UnpackElements(DType dtype, const unsigned char* packed, int64_t count, void* elements);

/// The inverse. Of each byte at `elements` only the bits of the type count.
void PackElements(DType dtype, const void* elements, int64_t count, unsigned char* packed);

}  // namespace onnxforge
