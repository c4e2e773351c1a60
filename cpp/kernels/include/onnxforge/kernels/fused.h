#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "onnxforge/base/attribute.h"
#include "onnxforge/base/span.h"
#include "onnxforge/base/tensor.h"

namespace onnxforge {

/// The domain of the operators that passes make and files cannot name. Only the SIMD tier has kernels for them; their
/// tensors are float32 unless said otherwise. Layout: channels last, [N, spatial…, C].
///
///   Conv(X, W, bias?, residual?)   as ONNX's, W [M, C / group, kernel…]
///   MatMul(A, B, bias?, residual?) alpha · A · B (transB: Bᵀ) + bias [N] + residual
///   Gemm(A, B, C?)                 as ONNX's
///   Affine(X, scale, shift)        X · scale[C] + shift[C]
///   MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool, LRN   as ONNX's; MaxPool of int8 and uint8, too
///   FakeQuantize(X)                DequantizeLinear(QuantizeLinear(X)), as its activation
///   Attention(Q, K, V, mask?)      MatMul(Softmax(alpha · Q · Kᵀ + mask), V), broadcast as these are. Q, K, V and Y
///   are
///                                  [batch, heads, length, width], or [batch, length, heads, width] where Q_swapped …
///                                  is 1
///
/// On int8 or uint8 operands, each followed by its scale and zero point; what begins with QLinear is clipped to [least,
/// most], numbers of Y's type:
///
///   QLinearConv(X, W, Y, bias?)           as ONNX's
///   QLinearMatMul(A, B, Y, bias?)         transB: Bᵀ; bias [N] of int32. Of Y there are the scale and zero point only
///   QLinearAdd(A, B, Y)                   of one shape
///   MatMulIntegerToFloat(A, B, bias?)     the float32 product + bias [N], clipped to [lo, hi], then `activation`
///   Lookup(X)                             table[X], the attribute `table` having 256 bytes
///
/// The first four go on with the attributes: clip to [lo, hi], then `activation`, the name of an Activation below, with
/// the parameters activation_alpha and activation_beta, then · post_scale + post_shift; with residual_last = 1 the
/// residual is added after that.
inline constexpr std::string_view kInternalDomain = "onnxforge.internal";

/// An operator that is a function of one number.
struct Activation {
  /// Clip: to [alpha, beta]; GeluTanh: Gelu with approximate = "tanh"; FakeQuantizeInt8 and FakeQuantizeUInt8: with
  /// scale alpha and zero point beta; else the operator's.
  std::string name;
  float alpha = 0.0f;
  float beta = 0.0f;
};

/// The activation that an operator of the default domain is for float32; nothing where it is none, or where its
/// parameters are not constant. `constants`: its inputs, undefined where they are not constant.
std::optional<Activation> ActivationOf(std::string_view op_type, int since_version, const Attributes& attributes,
                                       size_t input_count, Span<const Tensor> constants);

}  // namespace onnxforge
