#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace onnxforge::simd {

/// What is done to a sum before it is stored: x · alpha + row_bias[row] + col_bias[col] + residual[row, col], clipped
/// to [lo, hi].
struct Epilogue {
  const float* row_bias = nullptr;
  const float* col_bias = nullptr;
  const float* residual = nullptr;
  size_t residual_stride = 0;  // elements from row to row
  float alpha = 1.0f;
  float lo = -std::numeric_limits<float>::infinity();
  float hi = std::numeric_limits<float>::infinity();
};

/// C[m, n] = epilogue(A[m, k] · B[k, n]), with B in packed panels.
struct GemmCall {
  size_t m = 0;
  size_t n = 0;
  size_t k = 0;
  const float* a = nullptr;  // row-major
  size_t a_stride = 0;
  const float* b = nullptr;  // panels: [ceil(n / nr)][k][nr], zero-padded
  float* c = nullptr;
  size_t c_stride = 0;
  Epilogue epilogue;
};

/// Convolution as a matrix multiplication whose right-hand side is never written down: row k of it, from position p on,
/// lies at input + offsets[k] + p.
struct ConvCall {
  size_t out_channels = 0;
  size_t k = 0;                        // input channels × kernel extents
  const float* weights = nullptr;      // blocks of rows: [block][k][rows of that block], see ConvBlockRows
  const ptrdiff_t* offsets = nullptr;  // [k]
  const float* input = nullptr;        // of position first_tile · nr; readable for whole tiles
  size_t first_tile = 0;
  size_t positions = 0;         // columns to compute, those between output rows included
  size_t row_stride = 0;        // positions from one output row to the next
  size_t row_width = 0;         // those of them that are output
  float* output = nullptr;      // [out_channels][rows × row_width]
  size_t output_stride = 0;     // elements from channel to channel
  float* partial = nullptr;     // [out_channels][tiles × nr] when k > kConvDepth, for sums between depth blocks
  const float* bias = nullptr;  // [out_channels] or null
  float lo = -std::numeric_limits<float>::infinity();
  float hi = std::numeric_limits<float>::infinity();
};

/// Depths above this are summed in several goes, so that a block of weights stays in the first-level cache.
inline constexpr size_t kConvDepth = 640;

/// One channel with one filter. The input plane is padded already.
struct DepthwiseCall {
  const float* plane = nullptr;  // [.., plane_stride]; readable for a vector past the last column used
  size_t plane_stride = 0;
  const float* filter = nullptr;  // [kernel_h × kernel_w]
  size_t kernel_h = 0, kernel_w = 0;
  size_t stride_h = 0, stride_w = 0;
  size_t dilation_h = 0, dilation_w = 0;
  size_t out_h = 0, out_w = 0;
  float* output = nullptr;  // [out_h][out_w]
  float bias = 0.0f;
  float lo = -std::numeric_limits<float>::infinity();
  float hi = std::numeric_limits<float>::infinity();
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
  /// Blocks [block_begin, block_end) of output channels at position tiles [tile_begin, tile_end), nr positions each.
  void (*conv)(const ConvCall& call, size_t block_begin, size_t block_end, size_t tile_begin, size_t tile_end);
  void (*depthwise)(const DepthwiseCall& call);
};

/// The operations for a tier's target (0: the best one of this machine). Lives as long as the program.
const GemmOps& GemmOpsFor(int64_t target);

inline size_t CeilDiv(size_t a, size_t b) { return (a + b - 1) / b; }

inline size_t PackedSize(const GemmOps& ops, size_t k, size_t n) { return CeilDiv(n, ops.nr) * ops.nr * k; }

/// Output channels are cut into blocks that differ by at most one row: 64 becomes 11 + 11 + 11 + 11 + 10 + 10, not five
/// times 12 and a 4 that would waste the registers.
struct RowBlocks {
  size_t count;
  size_t rows;

  RowBlocks(size_t total, size_t most) : count(CeilDiv(total, most)), rows(total) {}
  size_t begin(size_t block) const { return rows * block / count; }
  size_t size(size_t block) const { return begin(block + 1) - begin(block); }
};

}  // namespace onnxforge::simd
