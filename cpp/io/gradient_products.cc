// The derivatives of products of many elements, by the products of all others: no division, so that an element may be
// 0.
#include <string>
#include <vector>

#include "gradient_rules.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// The product of each place by each element: that of the line in which the element is 1, where the place's product has
/// it at all. Elements are an axis in front of the others.
void PullCumProd(Pullback& p) {
  const Pullback::Attributes attributes = {MakeAttribute("exclusive", p.Int("exclusive", 0)),
                                           MakeAttribute("reverse", p.Int("reverse", 0))};
  const std::string& x = p.Input(0);
  const std::string axes = UpTo(p, p.Emit("Size", {p.ShapeOf(x)}));
  const std::string given = Whole(p, p.Emit("Reshape", {p.Input(1), p.Integers({1})}));
  const std::string axis = p.Emit("Mod", {given, p.ShapeOf(p.ShapeOf(x))});  // which takes the divisor's sign
  const std::string extent = Gathered(p, p.ShapeOf(x), axis, 0);
  const std::string line = p.Emit("Where", {p.Emit("Equal", {axes, axis}), extent, p.Integers({1})});
  const std::string unit = p.Emit("EyeLike", {Ones(p, Joined(p, {extent, extent}), x)});
  const std::string chosen =
      p.Emit("Reshape", {unit, Joined(p, {extent, line})}, {MakeAttribute("allowzero", int64_t{1})});
  const std::string behind = Plus(p, axis, p.Integers({1}));
  const std::string along = p.Emit("Squeeze", {behind});
  const std::string is_chosen = p.Emit("Greater", {chosen, p.Number(0, x)});
  const std::string product = p.Repeat({p.Emit("Where", {is_chosen, p.Number(1, x), x}), along}, attributes)[0];
  const std::string has = p.Emit("CumSum", {chosen, along}, attributes);
  const std::string sums = p.Emit("ReduceSum", {Times(p, Times(p, product, has), p.gradient()), behind});
  const std::string placed = Times(p, sums, chosen);
  p.Give(0, p.Emit("ReduceSum", {placed, p.Integers({0})}, {MakeAttribute("keepdims", int64_t{0})}));
}

/// The determinant by each element is its cofactor: that of the other rows and columns, and a sign.
void PullDet(Pullback& p) {
  const std::string& x = p.Input(0);
  const std::string size = Extents(p, x, -1);
  const std::string all = UpTo(p, size);
  const std::string down = p.Emit("Unsqueeze", {all, p.Integers({1})});
  const std::string fewer = UpTo(p, Minus(p, size, p.Integers({1})));
  const std::string shift = p.Emit("CastLike", {p.Emit("GreaterOrEqual", {fewer, down}), size});
  const std::string others = Plus(p, fewer, shift);  // of each number those that are not it
  const std::string rows = Gathered(p, x, others, -2);
  const std::string minors =
      p.Emit("Einsum", {Gathered(p, rows, others, -1)}, {MakeAttribute("equation", std::string("...rasb->...rsab"))});
  const std::string odd = p.Emit("Mod", {Plus(p, all, down), p.Integers({2})});
  const std::string sign = p.Emit("CastLike", {Minus(p, p.Integers({1}), Plus(p, odd, odd)), x});
  const std::string cofactors = Times(p, p.Emit("Det", {minors}), sign);
  p.Give(0, Times(p, p.Emit("Unsqueeze", {p.gradient(), p.Integers({-2, -1})}), cofactors));
}

}  // namespace

const std::vector<GradientRow>& ProductGradients() {
  static const std::vector<GradientRow> rows = {
      {"CumProd", &PullCumProd},
      {"Det", &PullDet},
  };
  return rows;
}

}  // namespace onnxforge::io
