#pragma once

#include <cstddef>
#include <cstdint>

namespace onnxforge::simd {

/// Numbers as bytes: byte = round(x / scale) + zero, to the nearest and halves to even, clipped to [lo, hi]; 0 for NaN.
struct ByteGrid {
  float scale = 1.0f;
  int32_t zero = 0;
  int32_t lo = 0;
  int32_t hi = 255;
  bool is_signed = false;
};

/// What the kernels do to adjacent numbers and bytes, for one instruction set.
struct ByteRowOps {
  void (*quantize)(const float* x, const ByteGrid& grid, size_t n, uint8_t* y);
  void (*dequantize)(const uint8_t* x, const ByteGrid& grid, size_t n, float* y);
  /// y = a + b, each on its own grid.
  void (*add)(const uint8_t* a, const ByteGrid& a_grid, const uint8_t* b, const ByteGrid& b_grid, size_t n, uint8_t* y,
              const ByteGrid& y_grid);
  /// Widens [*least, *greatest] to what is in x, besides NaN.
  void (*range)(const float* x, size_t n, float* least, float* greatest);
  /// y[i] = the greatest of rows[0][i] … rows[count - 1][i]; count ≥ 1.
  void (*max_of)(const uint8_t* const* rows, size_t count, bool is_signed, size_t n, uint8_t* y);
};

/// The operations for a tier's target (0: the best one of this machine).
const ByteRowOps& ByteRowOpsFor(int64_t target);

}  // namespace onnxforge::simd
