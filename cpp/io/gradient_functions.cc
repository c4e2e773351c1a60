// The derivatives of functions of one variable, and of PRelu.
#include <string>
#include <vector>

#include "gradient_rules.h"

namespace onnxforge::io {
namespace {

/// The gradient times the derivative.
template <std::string (*kDerivative)(Pullback& p)>
void Unary(Pullback& p) {
  p.Give(0, Times(p, p.gradient(), kDerivative(p)));
}

/// A number of the input's type.
std::string At(Pullback& p, float value) { return p.Number(value, p.Input(0)); }
std::string Square(Pullback& p, const std::string& x) { return Times(p, x, x); }
std::string SquareRoot(Pullback& p, const std::string& x) { return p.Emit("Sqrt", {x}); }
std::string Inverse(Pullback& p, const std::string& x) { return p.Emit("Reciprocal", {x}); }
std::string Negated(Pullback& p, const std::string& x) { return p.Emit("Neg", {x}); }
/// Whether the input is above (below) a number.
std::string Above(Pullback& p, float bound) { return p.Emit("Greater", {p.Input(0), At(p, bound)}); }
std::string Below(Pullback& p, float bound) { return p.Emit("Less", {p.Input(0), At(p, bound)}); }
std::string Choose(Pullback& p, const std::string& condition, const std::string& yes, const std::string& no) {
  return p.Emit("Where", {condition, yes, no});
}

std::string DAbs(Pullback& p) { return p.Emit("Sign", {p.Input(0)}); }
std::string DAcosh(Pullback& p) { return Inverse(p, SquareRoot(p, Minus(p, Square(p, p.Input(0)), At(p, 1)))); }
std::string DAsin(Pullback& p) { return Inverse(p, SquareRoot(p, Minus(p, At(p, 1), Square(p, p.Input(0))))); }
std::string DAcos(Pullback& p) { return Negated(p, DAsin(p)); }
std::string DAsinh(Pullback& p) { return Inverse(p, SquareRoot(p, Plus(p, Square(p, p.Input(0)), At(p, 1)))); }
std::string DAtan(Pullback& p) { return Inverse(p, Plus(p, Square(p, p.Input(0)), At(p, 1))); }
std::string DAtanh(Pullback& p) { return Inverse(p, Minus(p, At(p, 1), Square(p, p.Input(0)))); }
std::string DCos(Pullback& p) { return Negated(p, p.Emit("Sin", {p.Input(0)})); }
std::string DCosh(Pullback& p) { return p.Emit("Sinh", {p.Input(0)}); }
std::string DErf(Pullback& p) {
  const std::string density = p.Emit("Exp", {Negated(p, Square(p, p.Input(0)))});
  return Times(p, density, At(p, 1.1283791670955126f));
}
std::string DExp(Pullback& p) { return p.Output(0); }
std::string DLog(Pullback& p) { return Inverse(p, p.Input(0)); }
std::string DReciprocal(Pullback& p) { return Negated(p, Square(p, p.Output(0))); }
std::string DSigmoid(Pullback& p) { return Times(p, p.Output(0), Minus(p, At(p, 1), p.Output(0))); }
std::string DSin(Pullback& p) { return p.Emit("Cos", {p.Input(0)}); }
std::string DSinh(Pullback& p) { return p.Emit("Cosh", {p.Input(0)}); }
std::string DSoftplus(Pullback& p) { return p.Emit("Sigmoid", {p.Input(0)}); }
std::string DSoftsign(Pullback& p) { return Inverse(p, Square(p, Plus(p, At(p, 1), p.Emit("Abs", {p.Input(0)})))); }
std::string DSqrt(Pullback& p) { return Over(p, At(p, 0.5f), p.Output(0)); }
std::string DTan(Pullback& p) { return Plus(p, Square(p, p.Output(0)), At(p, 1)); }
std::string DTanh(Pullback& p) { return Minus(p, At(p, 1), Square(p, p.Output(0))); }

std::string DElu(Pullback& p) {
  return Choose(p, Above(p, 0), At(p, 1), Plus(p, p.Output(0), At(p, p.Float("alpha", 1))));
}
std::string DCelu(Pullback& p) {
  const std::string bent = Plus(p, Over(p, p.Output(0), At(p, p.Float("alpha", 1))), At(p, 1));
  return Choose(p, Above(p, 0), At(p, 1), bent);
}
std::string DSelu(Pullback& p) {
  const float alpha = p.Float("alpha", 1.67326319217681884765625f);
  const float gamma = p.Float("gamma", 1.05070102214813232421875f);
  const std::string bent = Plus(p, p.Output(0), Times(p, At(p, alpha), At(p, gamma)));
  return Choose(p, Above(p, 0), At(p, gamma), bent);
}

/// Exact, or by the tangent that stands in for it: x times a share that grows from 0 to 1.
std::string DGelu(Pullback& p) {
  const std::string& x = p.Input(0);
  const auto* approximate = p.Find("approximate");
  const std::string half = At(p, 0.5f);
  if (approximate != nullptr && approximate->s() == "tanh") {
    const std::string factor = SquareRoot(p, Over(p, At(p, 2), At(p, 3.14159265358979323846f)));
    const std::string cubic = Times(p, At(p, 0.044715f), Square(p, x));
    const std::string inner = Times(p, Times(p, factor, x), Plus(p, At(p, 1), cubic));
    const std::string t = p.Emit("Tanh", {inner});
    const std::string slope = Times(p, factor, Plus(p, At(p, 1), Times(p, At(p, 3), cubic)));
    const std::string share = Times(p, half, Plus(p, At(p, 1), t));
    const std::string growth = Times(p, half, Times(p, Minus(p, At(p, 1), Square(p, t)), slope));
    return Plus(p, share, Times(p, x, growth));
  }
  const std::string share = Times(p, half, Plus(p, At(p, 1), p.Emit("Erf", {Times(p, x, SquareRoot(p, half))})));
  const std::string bell = p.Emit("Exp", {Negated(p, Times(p, half, Square(p, x)))});
  const std::string width = SquareRoot(p, Times(p, At(p, 2), At(p, 3.14159265358979323846f)));
  return Plus(p, share, Times(p, x, Over(p, bell, width)));
}

std::string DSwish(Pullback& p) {
  const std::string scaled = Times(p, p.Input(0), At(p, p.Float("alpha", 1)));
  const std::string share = p.Emit("Sigmoid", {scaled});
  const std::string growth = Times(p, share, Minus(p, At(p, 1), share));
  return Plus(p, share, Times(p, scaled, growth));
}

std::string DMish(Pullback& p) {
  const std::string t = p.Emit("Tanh", {p.Emit("Softplus", {p.Input(0)})});
  const std::string growth = Times(p, Minus(p, At(p, 1), Square(p, t)), p.Emit("Sigmoid", {p.Input(0)}));
  return Plus(p, t, Times(p, p.Input(0), growth));
}

std::string DHardSwish(Pullback& p) {
  const std::string line = Plus(p, Over(p, p.Input(0), At(p, 3)), At(p, 0.5f));
  return Choose(p, Above(p, 3), At(p, 1), Choose(p, Below(p, -3), At(p, 0), line));
}

/// The gradient where `condition` holds, 0 elsewhere.
std::string Gate(Pullback& p, const std::string& condition) {
  return Choose(p, condition, p.gradient(), p.Number(0, p.gradient()));
}

void Relu(Pullback& p) { p.Give(0, Gate(p, Above(p, 0))); }
/// What is cut off counts for the bound that did it; the upper one goes first where they are crossed.
void Clip(Pullback& p) {
  const std::string& x = p.Input(0);
  if (p.Wants(size_t{0})) p.Give(0, Gate(p, p.Emit("Equal", {x, p.Output(0)})));
  const auto bound = [&](size_t input) { return p.Emit("Equal", {p.Input(input), p.Output(0)}); };
  const auto cut = [&](const std::string& side) {
    return p.Emit("And", {side, p.Emit("Not", {p.Emit("Equal", {x, p.Output(0)})})});
  };
  std::string upper;
  if (p.HasInput(2)) upper = cut(bound(2));
  if (p.Wants(2)) p.Give(2, p.SumTo(Gate(p, upper), p.Input(2)));
  if (!p.Wants(1)) return;
  std::string lower = cut(bound(1));
  if (p.HasInput(2)) lower = p.Emit("And", {lower, p.Emit("Not", {upper})});
  p.Give(1, p.SumTo(Gate(p, lower), p.Input(1)));
}

void ThresholdedRelu(Pullback& p) { p.Give(0, Gate(p, Above(p, p.Float("alpha", 1)))); }

void HardSigmoid(Pullback& p) {
  const std::string within = p.Emit("And", {p.Emit("Greater", {p.Output(0), At(p, 0)}),  //
                                            p.Emit("Less", {p.Output(0), At(p, 1)})});
  p.Give(0, Times(p, Gate(p, within), At(p, p.Float("alpha", 0.2f))));
}

void Shrink(Pullback& p) {
  const float bound = p.Float("lambd", 0.5f);
  p.Give(0, Gate(p, p.Emit("Or", {Above(p, bound), Below(p, -bound)})));
}

void LeakyRelu(Pullback& p) {
  const std::string falling = Times(p, p.gradient(), p.Number(p.Float("alpha", 0.01f), p.gradient()));
  p.Give(0, Choose(p, Below(p, 0), falling, p.gradient()));
}

void PRelu(Pullback& p) {
  if (p.opset() < 7) FailForm(p, "before opset 7");
  if (p.Wants(0)) p.Give(0, Choose(p, Below(p, 0), Times(p, p.gradient(), p.Input(1)), p.gradient()));
  if (p.Wants(1)) p.Give(1, p.SumTo(Times(p, Gate(p, Below(p, 0)), p.Input(0)), p.Input(1)));
}

}  // namespace

const std::vector<GradientRow>& FunctionGradients() {
  static const std::vector<GradientRow> rows = {
      {"Abs", &Unary<DAbs>},
      {"Acos", &Unary<DAcos>},
      {"Acosh", &Unary<DAcosh>},
      {"Asin", &Unary<DAsin>},
      {"Asinh", &Unary<DAsinh>},
      {"Atan", &Unary<DAtan>},
      {"Atanh", &Unary<DAtanh>},
      {"Celu", &Unary<DCelu>},
      {"Clip", &Clip},
      {"Cos", &Unary<DCos>},
      {"Cosh", &Unary<DCosh>},
      {"Elu", &Unary<DElu>},
      {"Erf", &Unary<DErf>},
      {"Exp", &Unary<DExp>},
      {"Gelu", &Unary<DGelu>},
      {"HardSigmoid", &HardSigmoid},
      {"HardSwish", &Unary<DHardSwish>},
      {"LeakyRelu", &LeakyRelu},
      {"Log", &Unary<DLog>},
      {"Mish", &Unary<DMish>},
      {"PRelu", &PRelu},
      {"Reciprocal", &Unary<DReciprocal>},
      {"Relu", &Relu},
      {"Selu", &Unary<DSelu>},
      {"Shrink", &Shrink},
      {"Sigmoid", &Unary<DSigmoid>},
      {"Sin", &Unary<DSin>},
      {"Sinh", &Unary<DSinh>},
      {"Softplus", &Unary<DSoftplus>},
      {"Softsign", &Unary<DSoftsign>},
      {"Sqrt", &Unary<DSqrt>},
      {"Swish", &Unary<DSwish>},
      {"Tan", &Unary<DTan>},
      {"Tanh", &Unary<DTanh>},
      {"ThresholdedRelu", &ThresholdedRelu},
  };
  return rows;
}

}  // namespace onnxforge::io
