#pragma once

#include <cstdint>

#include "onnxforge/base/threads.h"

#include "reference/window.h"

namespace onnxforge::reference {

/// The sizes of a convolution besides its window.
struct ConvSizes {
  int64_t batch = 0;
  int64_t groups = 1;
  int64_t in_channels = 0;   // of all groups
  int64_t out_channels = 0;  // of all groups
};

/// Checks x [N, C, …] against w [M, C/group, …].
ConvSizes ConvSizesOf(const Shape& x, const Shape& w, int64_t groups);

/// y[N, M, output…] += x[N, C, input…] convolved with w[M, C/groups, kernel…]. T: float, double, or uint32_t for int32
/// arithmetic.
template <typename T>
void Convolve(ThreadPool& threads, const ConvSizes& sizes, const Window& window, const T* x, const T* w, T* y);

/// The transpose: y[N, M, window.input…] += x[N, C, window.output…] spread with w[C, M/groups, kernel…].
template <typename T>
void ConvolveTransposed(ThreadPool& threads, const ConvSizes& sizes, const Window& window, const T* x, const T* w,
                        T* y);

}  // namespace onnxforge::reference
