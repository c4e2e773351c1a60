#pragma once

#include <cstddef>
#include <cstdint>

namespace onnxforge::simd {

/// Functions of one float32 with up to two parameters.
enum class FunctionId : uint8_t {
  kAbs,
  kCeil,
  kClip,  // to [alpha, beta]
  kElu,
  kErf,
  kExp,
  kFakeQuantizeInt8,  // quantised with scale alpha and zero point beta, and back
  kFakeQuantizeUInt8,
  kFloor,
  kGelu,
  kGeluTanh,
  kHardSigmoid,  // clip(alpha · x + beta, 0, 1)
  kHardSwish,
  kLeakyRelu,
  kLog,
  kMish,
  kNeg,
  kReciprocal,
  kRelu,
  kRound,
  kSigmoid,
  kSoftplus,
  kSqrt,
  kSwish,  // x · sigmoid(alpha · x)
  kTanh,
  kCount,
};

/// y[i] = f(x[i]) for n floats; x and y may be the same.
using FloatLoop = void (*)(const float* x, float* y, size_t n, float alpha, float beta);

/// A function with its parameters, compiled for one instruction set; null where there is none.
struct Function {
  FloatLoop loop = nullptr;
  float alpha = 0.0f;
  float beta = 0.0f;

  void operator()(const float* x, float* y, size_t n) const { loop(x, y, n, alpha, beta); }
  explicit operator bool() const { return loop != nullptr; }
};

/// The loop for a tier's target (0: the best one of this machine). Largest errors in units of the last place: exp 1,
/// erf 3, log, tanh and sigmoid 4, those made of them 8; NaN stays NaN, and infinities give the limits.
FloatLoop FloatLoopFor(FunctionId id, int64_t target);

}  // namespace onnxforge::simd
