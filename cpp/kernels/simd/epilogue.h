#pragma once

#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/kernel.h"

#include "simd/gemm.h"

namespace onnxforge::simd {

/// The loop of an activation by its name (kInternal where there is none).
Function FunctionFor(const Activation& activation, int64_t target);

/// The activation that the attributes of a fused node name: as bounds where it is one of those, else as a function.
Epilogue ReadEpilogue(const NodeSpec& node);


}  // namespace onnxforge::simd
