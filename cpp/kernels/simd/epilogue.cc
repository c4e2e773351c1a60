#include "simd/epilogue.h"

#include <string_view>

#include "onnxforge/base/error.h"

namespace onnxforge::simd {
namespace {

struct Named {
  std::string_view name;
  FunctionId id;
};

constexpr Named kFunctions[] = {
    {"Abs", FunctionId::kAbs},
    {"Ceil", FunctionId::kCeil},
    {"Clip", FunctionId::kClip},
    {"Elu", FunctionId::kElu},
    {"Erf", FunctionId::kErf},
    {"Exp", FunctionId::kExp},
    {"FakeQuantizeInt8", FunctionId::kFakeQuantizeInt8},
    {"FakeQuantizeUInt8", FunctionId::kFakeQuantizeUInt8},
    {"Floor", FunctionId::kFloor},
    {"Gelu", FunctionId::kGelu},
    {"GeluTanh", FunctionId::kGeluTanh},
    {"HardSigmoid", FunctionId::kHardSigmoid},
    {"HardSwish", FunctionId::kHardSwish},
    {"LeakyRelu", FunctionId::kLeakyRelu},
    {"Log", FunctionId::kLog},
    {"Mish", FunctionId::kMish},
    {"Neg", FunctionId::kNeg},
    {"Reciprocal", FunctionId::kReciprocal},
    {"Relu", FunctionId::kRelu},
    {"Round", FunctionId::kRound},
    {"Sigmoid", FunctionId::kSigmoid},
    {"Softplus", FunctionId::kSoftplus},
    {"Sqrt", FunctionId::kSqrt},
    {"Swish", FunctionId::kSwish},
    {"Tanh", FunctionId::kTanh},
};

}  // namespace

Function FunctionFor(const Activation& activation, int64_t target) {
  for (const Named& named : kFunctions) {
    if (named.name == activation.name) return {FloatLoopFor(named.id, target), activation.alpha, activation.beta};
  }
  Fail(ErrorCode::kInternal, "no function '", activation.name, "'");
}

Epilogue ReadEpilogue(const NodeSpec& node) {
  Epilogue e;
  e.lo = node.attributes.Float("lo", e.lo);
  e.hi = node.attributes.Float("hi", e.hi);
  e.residual_last = node.attributes.Int("residual_last", 0) != 0;
  e.post_scale = node.attributes.Float("post_scale", 1.0f);
  e.post_shift = node.attributes.Float("post_shift", 0.0f);
  const std::string name = node.attributes.String("activation", "");
  if (!name.empty()) {
    e.activation = FunctionFor(
        {name, node.attributes.Float("activation_alpha", 0.0f), node.attributes.Float("activation_beta", 0.0f)},
        node.target);
  }
  return e;
}

}  // namespace onnxforge::simd
