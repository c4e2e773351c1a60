#pragma once

#include <cstdint>

#include "onnxforge/base/span.h"
#include "onnxforge/kernels/kernel.h"

namespace onnxforge::reference {

/// Output 0: the parts one after the other along an axis.
void ConcatInto(KernelContext& context, Span<const Tensor* const> parts, int64_t axis);

}  // namespace onnxforge::reference
