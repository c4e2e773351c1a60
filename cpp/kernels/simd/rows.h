#pragma once

#include <cstddef>
#include <cstdint>

namespace onnxforge::simd {

/// y[i] = a[i · a_stride] op b[i · b_stride]; strides are 0 or 1.
using BinaryRowLoop = void (*)(const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* y, int64_t n);

/// What the kernels do to rows of adjacent float32, for one instruction set. Sums are taken in several parts.
struct RowOps {
  /// y[i] = the greatest of rows[0][i] … rows[count - 1][i], NaN where one is; count ≥ 1.
  void (*max_of)(const float* const* rows, size_t count, size_t n, float* y);
  /// y[i] = (rows[0][i] + …) · factor.
  void (*sum_of)(const float* const* rows, size_t count, size_t n, float factor, float* y);
  /// y = clip(x · scale + shift, lo, hi).
  void (*affine)(const float* x, const float* scale, const float* shift, float lo, float hi, size_t n, float* y);
  /// y = x · scale + shift, with one number each.
  void (*affine1)(const float* x, float scale, float shift, size_t n, float* y);
  /// y = (x - mean) · factor · scale + bias; scale and bias may be null.
  void (*normalize)(const float* x, float mean, float factor, const float* scale, const float* bias, size_t n,
                    float* y);
  float (*sum)(const float* x, size_t n);
  /// The sum of (x - mean)².
  float (*squares)(const float* x, float mean, size_t n);
  /// -infinity for n = 0; NaN where an element is.
  float (*max)(const float* x, size_t n);
  /// y = e^(x - shift); returns the sum of y.
  float (*exponentials)(const float* x, float shift, size_t n, float* y);

  BinaryRowLoop add, sub, mul, div, max2, min2;
};

/// The operations for a tier's target (0: the best one of this machine).
const RowOps& RowOpsFor(int64_t target);

}  // namespace onnxforge::simd
