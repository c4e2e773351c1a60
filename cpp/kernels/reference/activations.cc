// Activations: elementwise functions with parameters, and the gated units.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "reference/activation_functions.h"
#include "reference/broadcast.h"
#include "reference/elementwise.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

struct Parameters {
  float alpha = 0;
  float beta = 0;
};

/// y = Op::Apply(x, parameters), computed in Wide<T>.
template <typename Op, typename List>
class Activation final : public Kernel {
 public:
  explicit Activation(Parameters parameters) : parameters_(parameters) {}

  void Run(KernelContext& context) const override {
    const Tensor x = context.Input(0);
    Tensor& y = context.OutputInPlace(0, x.dtype(), x.shape(), {0});
    Dispatch<List>(x.dtype(), Op::kName, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = x.data<T>();
      T* out = y.template data<T>();
      context.Threads().ParallelFor(x.elements(), kElementwiseGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          out[i] = static_cast<T>(Op::Apply(static_cast<Wide<T>>(in[i]), parameters_));
      });
    });
  }

 private:
  Parameters parameters_;
};

#define ONNXFORGE_ACTIVATION(Name, expression)                  \
  struct Name##Op {                                             \
    static constexpr const char* kName = #Name;                 \
    template <typename T>                                       \
    static T Apply(T x, [[maybe_unused]] const Parameters& p) { \
      return expression;                                        \
    }                                                           \
  };
ONNXFORGE_ACTIVATION(Relu, x < T{0} ? T{0} : x)
ONNXFORGE_ACTIVATION(Sigmoid, activation::Sigmoid(x))
ONNXFORGE_ACTIVATION(HardSigmoid, activation::HardSigmoid(x, T(p.alpha), T(p.beta)))
ONNXFORGE_ACTIVATION(HardSwish, x* activation::HardSigmoid(x, T{1} / T{6}, T(0.5)))
ONNXFORGE_ACTIVATION(Softplus, activation::Softplus(x))
ONNXFORGE_ACTIVATION(Softsign, activation::Softsign(x))
ONNXFORGE_ACTIVATION(LeakyRelu, activation::LeakyRelu(x, T(p.alpha)))
ONNXFORGE_ACTIVATION(ThresholdedRelu, activation::ThresholdedRelu(x, T(p.alpha)))
ONNXFORGE_ACTIVATION(Elu, activation::Elu(x, T(p.alpha)))
ONNXFORGE_ACTIVATION(Selu, x <= T{0} ? T(p.beta) * (T(p.alpha) * std::exp(x) - T(p.alpha)) : T(p.beta) * x)
ONNXFORGE_ACTIVATION(Celu, x <= T{0} ? T(p.alpha) * std::expm1(x / T(p.alpha)) : x)
ONNXFORGE_ACTIVATION(Gelu, T(0.5) * x * (T{1} + std::erf(x * T(0.70710678118654752440))))
ONNXFORGE_ACTIVATION(GeluTanh,
                     T(0.5) * x * (T{1} + std::tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x))))
ONNXFORGE_ACTIVATION(Mish, x* std::tanh(activation::Softplus(x)))
ONNXFORGE_ACTIVATION(Swish, x* activation::Sigmoid(T(p.alpha) * x))
#undef ONNXFORGE_ACTIVATION

struct ShrinkOp {
  static constexpr const char* kName = "Shrink";
  template <typename T>
  static T Apply(T x, const Parameters& p) {
    if constexpr (std::is_floating_point_v<T>) {
      return x < T(-p.alpha) ? x + T(p.beta) : x > T(p.alpha) ? x - T(p.beta) : T{0};
    } else {
      const auto lambda = static_cast<double>(p.alpha);
      const auto v = static_cast<double>(x);
      if (!(v < -lambda) && !(v > lambda)) return 0;
      const auto shift = static_cast<double>(v < -lambda ? p.beta : -p.beta);
      // double does not hold all of 64 bits: a whole shift is added as an integer, modulo the width.
      constexpr double kLimit = 9223372036854775808.0;
      if (std::trunc(shift) == shift && std::abs(shift) < kLimit) {
        return static_cast<T>(static_cast<uint64_t>(x) + static_cast<uint64_t>(static_cast<int64_t>(shift)));
      }
      const double y = v + shift;
      T out;
      ConvertElements(DType::kFloat64, &y, kDTypeOf<T>, &out, 1);
      return out;
    }
  }
};

template <typename Op, typename List = Floats>
std::unique_ptr<Kernel> MakePlain(const NodeSpec&) {
  return std::make_unique<Activation<Op, List>>(Parameters{});
}

std::unique_ptr<Kernel> MakeHardSigmoid(const NodeSpec& node) {
  return std::make_unique<Activation<HardSigmoidOp, Floats>>(
      Parameters{node.attributes.Float("alpha", 0.2f), node.attributes.Float("beta", 0.5f)});
}

std::unique_ptr<Kernel> MakeLeakyRelu(const NodeSpec& node) {
  return std::make_unique<Activation<LeakyReluOp, Floats>>(Parameters{node.attributes.Float("alpha", 0.01f), 0});
}

/// Operators whose only parameter is alpha, 1 by default.
template <typename Op>
std::unique_ptr<Kernel> MakeWithAlpha(const NodeSpec& node) {
  return std::make_unique<Activation<Op, Floats>>(Parameters{node.attributes.Float("alpha", 1.0f), 0});
}

std::unique_ptr<Kernel> MakeSelu(const NodeSpec& node) {
  // Version 1 had these constants with fewer digits.
  const float alpha = node.since_version < 6 ? 1.6732f : 1.67326319217681884765625f;
  const float gamma = node.since_version < 6 ? 1.0507f : 1.05070102214813232421875f;
  return std::make_unique<Activation<SeluOp, Floats>>(
      Parameters{node.attributes.Float("alpha", alpha), node.attributes.Float("gamma", gamma)});
}

std::unique_ptr<Kernel> MakeGelu(const NodeSpec& node) {
  const std::string approximate = node.attributes.String("approximate", "none");
  if (approximate == "none") return std::make_unique<Activation<GeluOp, Floats>>(Parameters{});
  Require(approximate == "tanh", ErrorCode::kInvalidModel, "attribute 'approximate' must be 'none' or 'tanh', not '",
          approximate, "'");
  return std::make_unique<Activation<GeluTanhOp, Floats>>(Parameters{});
}

std::unique_ptr<Kernel> MakeShrink(const NodeSpec& node) {
  return std::make_unique<Activation<ShrinkOp, Numbers>>(
      Parameters{node.attributes.Float("lambd", 0.5f), node.attributes.Float("bias", 0.0f)});
}

struct PReluOp {
  template <typename T>
  static T Apply(T x, T slope) {
    if constexpr (std::is_integral_v<T>) {
      // Modulo the width: signed overflow is undefined in C++.
      return x < T{0} ? static_cast<T>(static_cast<uint64_t>(x) * static_cast<uint64_t>(slope)) : x;
    } else {
      return x < T{0} ? x * slope : x;
    }
  }
};

std::unique_ptr<Kernel> MakePRelu(const NodeSpec& node) {
  return MakeKernel([version = node.since_version](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Tensor slope = context.Input(1);
    // Before version 7 a slope per channel is a vector.
    if (version < 7 && slope.rank() == 1 && x.rank() > 2 && slope.dim(0) == x.dim(1)) {
      Shape shape = Shape::Filled(x.rank() - 1, 1);
      shape[0] = slope.dim(0);
      slope = slope.Reshaped(shape);
    }
    BroadcastStrides(slope.shape(), x.shape());  // the slope must broadcast to x, not the other way round
    using Types = Join<Floats, TypeList<int32_t, int64_t, uint32_t, uint64_t>>;
    Dispatch<Types>(x.dtype(), "PRelu", [&](auto tag) {
      using T = typename decltype(tag)::type;
      RunBinary(context, x, slope, x.dtype(), &BinaryLoopOf<T, T, PReluOp>, {0});
    });
  });
}

std::unique_ptr<Kernel> MakeSwiGlu(const NodeSpec& node) {
  return MakeKernel([alpha = node.attributes.Float("alpha", 1.0f)](KernelContext& context) {
    const Tensor& a = context.Input(0);
    const Tensor& b = context.Input(1);
    Require(a.shape() == b.shape(), ErrorCode::kInvalidArgument, "the inputs have different shapes: ", a.shape(),
            " and ", b.shape());
    Tensor& y = context.Output(0, a.dtype(), a.shape());
    Dispatch<Floats>(a.dtype(), "SwiGLU", [&](auto tag) {
      using T = typename decltype(tag)::type;
      using W = Wide<T>;
      const T* gate = a.data<T>();
      const T* value = b.data<T>();
      T* out = y.data<T>();
      for (int64_t i = 0; i < a.elements(); ++i) {
        const W g = gate[i];
        out[i] = static_cast<T>(g * activation::Sigmoid(W(alpha) * g) * static_cast<W>(value[i]));
      }
    });
  });
}

}  // namespace

void AddActivations(KernelTable& table) {
  table.Add("", "Celu", {12, 28}, &MakeWithAlpha<CeluOp>);
  table.Add("", "Elu", {1, 6, 22}, &MakeWithAlpha<EluOp>);
  table.Add("", "Gelu", {20}, &MakeGelu);
  table.Add("", "HardSigmoid", {1, 6, 22}, &MakeHardSigmoid);
  table.Add("", "HardSwish", {14, 22}, &MakePlain<HardSwishOp>);
  table.Add("", "LeakyRelu", {1, 6, 16}, &MakeLeakyRelu);
  table.Add("", "Mish", {18, 22}, &MakePlain<MishOp>);
  table.Add("", "PRelu", {1, 6, 7, 9, 16}, &MakePRelu);
  table.Add("", "Relu", {1, 6, 13, 14}, &MakePlain<ReluOp, Join<Floats, SignedIntegers>>);
  table.Add("", "Selu", {1, 6, 22}, &MakeSelu);
  table.Add("", "Shrink", {9}, &MakeShrink);
  table.Add("", "Sigmoid", {1, 6, 13}, &MakePlain<SigmoidOp>);
  table.Add("", "Softplus", {1, 22}, &MakePlain<SoftplusOp>);
  table.Add("", "Softsign", {1, 22}, &MakePlain<SoftsignOp>);
  table.Add("", "SwiGLU", {28}, &MakeSwiGlu);
  table.Add("", "Swish", {24}, &MakeWithAlpha<SwishOp>);
  table.Add("", "ThresholdedRelu", {10, 22}, &MakeWithAlpha<ThresholdedReluOp>);
}

}  // namespace onnxforge::reference
