#pragma once

#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/kernel.h"

#include "simd/gemm.h"

namespace onnxforge::simd {

/// The loop of an activation by its name (kInternal where there is none).
Function FunctionFor(const Activation& activation, int64_t target);

/// What the attributes of a fused node ask for, see fused.h.
Epilogue ReadEpilogue(const NodeSpec& node);

}  // namespace onnxforge::simd
