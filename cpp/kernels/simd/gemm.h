#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "simd/functions.h"

namespace onnxforge::simd {

/// What is done to a sum before it is stored: x · alpha + row_bias[row] + col_bias[col] + residual[row, col], clipped
/// to [lo, hi]; then `activation`, where there is one. With `residual_last` the residual is added after that.
struct Epilogue {
  const float* row_bias = nullptr;
  const float* col_bias = nullptr;
  const float* residual = nullptr;
  size_t residual_stride = 0;  // elements from row to row
  bool residual_last = false;
  float alpha = 1.0f;
  float lo = -std::numeric_limits<float>::infinity();
  float hi = std::numeric_limits<float>::infinity();
  Function activation;
  float post_scale = 1.0f;  // after the activation: x · post_scale + post_shift
  float post_shift = 0.0f;

  bool HasPost() const { return post_scale != 1.0f || post_shift != 0.0f; }
  /// Whether something is left to do once the results are stored.
  bool TouchesStored() const { return activation || HasPost() || residual_last; }
};

/// The rows of the left-hand side of a convolution in [batch, height, width, pixel] layout: row r is output position r,
/// and its tap (ky, kx) lies at pixel (y + ky · dilation_h, x + kx · dilation_w).
struct WindowRows {
  size_t height = 0, width = 0;
  size_t pixel = 0;  // floats from pixel to pixel
  size_t out_h = 0, out_w = 0;
  size_t kernel_w = 1;
  size_t stride_h = 1, stride_w = 1;
  size_t dilation_h = 1, dilation_w = 1;
  size_t pad_top = 0, pad_left = 0;
  const float* zeros = nullptr;  // [depth]: what lies outside
};

/// C[m, n] = epilogue(A[m, taps · depth] · B[taps · depth, n]), with B in packed panels. A's rows lie `a_stride` apart
/// and have one tap, or are those of `window`. One row is multiplied with a B that is not packed, too.
struct GemmCall {
  size_t m = 0;
  size_t n = 0;
  size_t taps = 1;
  size_t depth = 0;  // of one tap
  const float* a = nullptr;
  size_t a_stride = 0;
  const WindowRows* window = nullptr;
  const float* b = nullptr;   // panels: [ceil(n / nr)][taps · depth][nr], zero-padded
  size_t b_stride = 0;        // not 0: b is no panels but [depth, n], with so many floats from row to row,
  bool b_transposed = false;  // or [n, depth]
  float* c = nullptr;
  size_t c_stride = 0;
  Epilogue epilogue;

  size_t k() const { return taps * depth; }
};

/// Convolution of every channel with a filter of its own, in [batch, height, width, channels] layout.
struct DepthwiseCall {
  const float* input = nullptr;
  WindowRows window;
  size_t channels = 0;
  size_t taps = 0;
  const float* filter = nullptr;  // [taps][channels]
  float* output = nullptr;
  Epilogue epilogue;
};

/// The float32 kernels of one instruction set.
struct GemmOps {
  size_t nr;  // columns of a panel
  size_t mr;  // most rows of a register block

  /// Packs columns [panel_begin · nr, panel_end · nr) of B. `transposed`: b is [n, k].
  void (*pack_b)(const float* b, size_t b_stride, bool transposed, size_t k, size_t n, size_t panel_begin,
                 size_t panel_end, float* packed);
  /// Rows [row_begin, row_end) of C, in the columns of panels [panel_begin, panel_end).
  void (*gemm)(const GemmCall& call, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end);
  /// Output positions [row_begin, row_end).
  void (*depthwise)(const DepthwiseCall& call, size_t row_begin, size_t row_end);
  /// One channel of a panel of 3 × 3 filters, [9][nr], to one row of each of 16 planes, `plane` floats apart.
  void (*winograd_filter)(const float* taps, float* to, size_t plane);
  /// One tile of 4 × 4 pixels to one row of each of 16 planes, `plane` floats apart.
  void (*winograd_input)(const float* const* pixels, size_t channels, float* to, size_t plane);
  /// One row of each of 16 planes to 2 × 2 pixels (null: not there); `residuals` may be null.
  void (*winograd_output)(const float* from, size_t plane, const Epilogue& epilogue, float* const* pixels,
                          const float* const* residuals, size_t channels);
};

/// The operations for a tier's target (0: the best one of this machine). Lives as long as the program.
const GemmOps& GemmOpsFor(int64_t target);

inline size_t CeilDiv(size_t a, size_t b) { return (a + b - 1) / b; }

inline size_t PackedSize(const GemmOps& ops, size_t k, size_t n) { return CeilDiv(n, ops.nr) * ops.nr * k; }

/// Rows are cut into blocks that differ by at most one row: 64 becomes 11 + 11 + 11 + 11 + 10 + 10, not five times 12
/// and a 4 that would waste the registers.
struct RowBlocks {
  size_t count;
  size_t rows;

  RowBlocks(size_t total, size_t most) : count(CeilDiv(total, most)), rows(total) {}
  size_t begin(size_t block) const { return rows * block / count; }
  size_t size(size_t block) const { return begin(block + 1) - begin(block); }
};

}  // namespace onnxforge::simd
