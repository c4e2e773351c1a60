#pragma once

#include <cstdint>
#include <vector>

#include "onnxforge/kernels/kernel.h"

namespace onnxforge::reference {

/// In an axis map: the element is the fill value.
inline constexpr int64_t kFill = -1;

/// y[i0, i1, …] = x[sources[0][i0], sources[1][i1], …], and `fill` (one element, or null for zero) where a source is
/// kFill. y's extents are the maps' lengths; x has at least one axis.
void GatherAxes(ThreadPool& threads, const Tensor& x, const std::vector<std::vector<int64_t>>& sources,
                const void* fill, Tensor& y);

}  // namespace onnxforge::reference
