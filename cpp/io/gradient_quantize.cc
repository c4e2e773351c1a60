// The derivative of DequantizeLinear by its scales; what it dequantizes is whole numbers.
#include <string>
#include <vector>

#include "gradient_rules.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// A scale for each block of an axis: what is of a block, summed, in the shape of the scales.
std::string BlockSums(Pullback& p, const std::string& value, int64_t axis, int64_t block) {
  const int64_t behind = axis == -1 ? int64_t{1} << 31 : axis + 1;
  const std::string& scale = p.Input(1);
  const std::string blocks = Extents(p, scale, axis, behind);
  const std::string more = Minus(p, Times(p, blocks, p.Integers({block})), Extents(p, value, axis, behind));
  const std::string filled = p.Emit("Pad", {value, Joined(p, {p.Integers({0}), more}), "", p.Integers({axis})});
  const std::string shape =
      Joined(p, {Extents(p, value, 0, axis), blocks, p.Integers({block}), Extents(p, value, behind)});
  return p.Emit("ReduceSum", {p.Emit("Reshape", {filled, shape}), p.Integers({axis < 0 ? axis : axis + 1})},
                {MakeAttribute("keepdims", int64_t{0})});
}

/// One scale, or one for each element of an axis, as it lies over `value`.
std::string ScaleOver(Pullback& p, const std::string& value, int64_t axis) {
  const std::string& scale = p.Input(1);
  const std::string rank = p.Emit("Size", {p.ShapeOf(value)});
  const std::string at = axis < 0 ? Plus(p, rank, p.Integers({axis})) : p.Integers({axis});
  const std::string has = p.Emit("Equal", {UpTo(p, rank), at});
  return p.Emit("Reshape", {scale, p.Emit("Where", {has, p.Emit("Size", {scale}), p.Integers({1})})});
}

void PullDequantizeLinear(Pullback& p) {
  if (p.Wants(0) || p.Wants(2)) FailForm(p, "but by its scale");
  const std::string& scale = p.Input(1);
  std::vector<std::string> inputs(p.node().input().begin(), p.node().input().end());
  inputs[1] = p.ExpandTo(p.Number(1, scale), scale);
  const std::string slope = Times(p, p.gradient(), p.Repeat(inputs)[0]);
  const int64_t axis = p.Int("axis", 1);
  const int64_t block = p.Int("block_size", 0);
  const std::string sums =
      block > 0 ? BlockSums(p, slope, axis, block) : p.ReshapeTo(p.SumTo(slope, ScaleOver(p, slope, axis)), scale);
  p.Give(1, p.Emit("CastLike", {sums, scale}));
}

}  // namespace

const std::vector<GradientRow>& QuantizeGradients() {
  static const std::vector<GradientRow> rows = {
      {"DequantizeLinear", &PullDequantizeLinear},
  };
  return rows;
}

}  // namespace onnxforge::io
