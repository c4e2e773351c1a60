#include "onnxforge/kernels/fused.h"

#include <algorithm>
#include <limits>

namespace onnxforge {
namespace {

constexpr std::string_view kPlain[] = {"Abs", "Ceil",       "Erf",  "Exp",   "Floor",   "HardSwish", "Log",  "Mish",
                                       "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Softplus",  "Sqrt", "Tanh"};

struct Parameterised {
  std::string_view name;
  float alpha;
  float beta;
};
constexpr Parameterised kParameterised[] = {
    {"Elu", 1.0f, 0.0f}, {"HardSigmoid", 0.2f, 0.5f}, {"LeakyRelu", 0.01f, 0.0f}, {"Swish", 1.0f, 0.0f}};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// One float32 that is known, or the fallback where the input is left out; nothing where it is not known.
std::optional<float> Bound(size_t i, size_t input_count, Span<const Tensor> constants, float fallback) {
  if (i >= input_count) return fallback;
  if (i >= constants.size() || !constants[i].defined()) return std::nullopt;
  if (constants[i].dtype() != DType::kFloat32 || constants[i].elements() != 1) return std::nullopt;
  return *constants[i].data<float>();
}

std::optional<Activation> ClipOf(int since_version, const Attributes& attributes, size_t input_count,
                                 Span<const Tensor> constants) {
  if (since_version >= 11) {
    const auto low = Bound(1, input_count, constants, -kInfinity);
    const auto high = Bound(2, input_count, constants, kInfinity);
    if (!low || !high) return std::nullopt;
    return Activation{"Clip", *low, *high};
  }
  const float limit = since_version >= 6 ? std::numeric_limits<float>::max() : kInfinity;
  return Activation{"Clip", attributes.Float("min", -limit), attributes.Float("max", limit)};
}

}  // namespace

std::optional<Activation> ActivationOf(std::string_view op_type, int since_version, const Attributes& attributes,
                                       size_t input_count, Span<const Tensor> constants) {
  if (op_type == "Clip") return ClipOf(since_version, attributes, input_count, constants);
  if (std::find(std::begin(kPlain), std::end(kPlain), op_type) != std::end(kPlain)) {
    return Activation{std::string(op_type), 0.0f, 0.0f};
  }
  if (op_type == "Gelu") {
    const std::string approximate = attributes.String("approximate", "none");
    if (approximate != "none" && approximate != "tanh") return std::nullopt;
    return Activation{approximate == "none" ? "Gelu" : "GeluTanh", 0.0f, 0.0f};
  }
  for (const Parameterised& p : kParameterised) {
    if (p.name == op_type) {
      return Activation{std::string(op_type), attributes.Float("alpha", p.alpha), attributes.Float("beta", p.beta)};
    }
  }
  return std::nullopt;
}

}  // namespace onnxforge
