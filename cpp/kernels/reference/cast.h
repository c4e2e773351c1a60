#pragma once

#include "reference/compute.h"

namespace onnxforge::reference {

/// y = x as y's element type, strings included: the rules of Cast. Both have the same number of elements.
void CastElements(ThreadPool& threads, const Tensor& x, Tensor& y, const ConvertOptions& options);

}  // namespace onnxforge::reference
