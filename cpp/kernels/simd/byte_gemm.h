#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "simd/functions.h"
#include "simd/gemm.h"

namespace onnxforge::simd {

/// What becomes of the int32 sums of a product of bytes. The arrays have an element for every column and are padded
/// with anything to whole panels.
struct ByteResult {
  enum class Kind { kInt32, kFloat32, kByte };
  Kind kind = Kind::kInt32;
  void* c = nullptr;
  size_t stride = 0;              // elements from row to row
  const int32_t* base = nullptr;  // is added to the sums
  /// What stands for 0 in the packed B, where that is not 0; with `a_zero`, the same of A's bytes as they are
  /// multiplied.
  const int32_t* b_zeros = nullptr;
  int32_t a_zero = 0;
  const float* scales = nullptr;  // kFloat32 and kByte: the sums are multiplied with these
  /// kByte: rounded to the nearest, halves to even; then + zero, clipped to [lo, hi], the low eight bits stored.
  int32_t zero = 0, lo = 0, hi = 0;
  /// kFloat32: + bias, where there is one; then clipped, then the activation.
  const float* bias = nullptr;
  float least = -std::numeric_limits<float>::infinity();
  float most = std::numeric_limits<float>::infinity();
  Function activation;
};

/// result(A[m, taps · depth] · B[taps · depth, n]) as in GemmCall, for bytes. All sums are modulo 2³².
struct ByteGemmCall {
  size_t m = 0;
  size_t n = 0;
  size_t taps = 1;
  size_t depth = 0;
  const uint8_t* a = nullptr;
  size_t a_stride = 0;
  const WindowRows* window = nullptr;
  const uint8_t* outside = nullptr;  // [depth]: what A has outside of the window's image
  uint8_t flip = 0;                  // is xored to A's bytes
  const void* b = nullptr;           // packed
  ByteResult result;

  size_t k() const { return taps * depth; }
};

/// A right-hand side of int8 (after `flip` is xored to it) that is still to be packed: where element (tap, depth,
/// column) lies.
struct ByteMatrix {
  const uint8_t* data = nullptr;
  uint8_t flip = 0;
  size_t taps = 1, depth = 0, columns = 0;
  size_t tap_stride = 0, depth_stride = 0, column_stride = 0;
};

/// Every channel with a filter of its own, in [batch, height, width, channels] layout.
struct ByteDepthwiseCall {
  const uint8_t* input = nullptr;
  WindowRows window;
  const uint8_t* outside = nullptr;  // [channels]
  uint8_t flip = 0;                  // makes the input unsigned
  size_t channels = 0;
  size_t taps = 0;
  const int16_t* filter = nullptr;  // [pair of taps][channel, padded][2]
  ByteResult result;                // b_zeros is null
};

/// The kernels for bytes of one instruction set.
struct ByteGemmOps {
  size_t nr;        // columns of a panel
  size_t mr;        // most rows of a register block
  size_t group;     // how much of the depth a 32-bit word of a packed panel holds: 4 bytes or 2 int16
  bool signed_a;    // A is multiplied as int8, else as uint8
  size_t channels;  // to what a multiple the channels of depthwise filters are padded

  /// Packs panels of B and stores what their columns add up to.
  void (*pack_b)(const ByteMatrix& b, size_t panel_begin, size_t panel_end, void* packed, int32_t* column_sums);
  /// Rows [row_begin, row_end) in the columns of panels [panel_begin, panel_end).
  void (*gemm)(const ByteGemmCall& call, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end);
  /// Output positions [row_begin, row_end).
  void (*depthwise)(const ByteDepthwiseCall& call, size_t row_begin, size_t row_end);

  size_t packed_words(size_t k) const { return CeilDiv(k, group); }  // of a column
  size_t padded(size_t n) const { return CeilDiv(n, nr) * nr; }
  size_t packed_bytes(size_t k, size_t n) const { return packed_words(k) * padded(n) * sizeof(int32_t); }
};

/// The operations for a tier's target (0: the best one of this machine). `dot_products` = false leaves out instructions
/// that are not in every processor with that target.
const ByteGemmOps& ByteGemmOpsFor(int64_t target, bool dot_products = true);

}  // namespace onnxforge::simd
