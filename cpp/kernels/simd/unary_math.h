#pragma once

#include <cstddef>
#include <cstdint>

namespace onnxforge::simd {

/// y[i] = f(x[i]) for n floats; x and y may be the same.
using FloatLoop = void (*)(const float* x, float* y, size_t n);

/// The transcendental functions of one instruction set. Largest errors in units of the last place: exp 1, log 4, tanh
/// 4, sigmoid 4, erf 3; NaN stays NaN, and infinities give the limits.
struct UnaryMathOps {
  FloatLoop exp;
  FloatLoop log;
  FloatLoop tanh;
  FloatLoop sigmoid;
  FloatLoop erf;
};

/// The operations for a tier's target (0: the best one of this machine).
const UnaryMathOps& UnaryMathOpsFor(int64_t target);

}  // namespace onnxforge::simd
