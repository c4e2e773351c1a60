// The derivatives of Fourier transforms.
#include <string>
#include <utility>
#include <vector>

#include "gradient_reverse.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

constexpr int kAxisIsInput = 20;  // of DFT

/// `value` cut off or filled with zeros at the end of an axis.
std::string WithLength(Pullback& p, const std::string& value, const std::string& axis, const std::string& length) {
  const std::string more = Minus(p, length, p.Emit("Gather", {p.ShapeOf(value), axis}));
  return p.Emit("Pad", {value, Joined(p, {Minus(p, more, more), more}), "", axis});
}

/// The transform is a symmetric matrix but for signs, so its way back is the inverse transform without its divisor, and
/// the other way around. Of an input that is real the real part is left; what the transform left out of its output, or
/// of its input, counts as zeros.
void PullDft(Pullback& p) {
  if (p.pen().opset < kAxisIsInput) FailForm(p, StrCat("in a body of opset ", p.pen().opset));
  const std::string& x = p.Input(0);
  const bool inverse = p.Int("inverse", 0) != 0;
  if (inverse && p.Int("onesided", 0) != 0) FailForm(p, "that is inverse and one-sided");
  std::string axis = p.Integers({p.opset() < 20 ? p.Int("axis", 1) : -2});
  if (p.HasInput(2)) axis = p.Emit("Reshape", {p.Input(2), p.Integers({1})});
  const std::string extent = p.Emit("Gather", {p.ShapeOf(x), axis});
  const std::string length = p.HasInput(1) ? p.Emit("Reshape", {p.Input(1), p.Integers({1})}) : extent;
  const std::string whole = WithLength(p, p.gradient(), axis, length);
  const std::string scalar = p.Emit("Squeeze", {axis});
  const std::string back = p.Emit("DFT", {whole, "", scalar}, {MakeAttribute("inverse", int64_t{inverse ? 0 : 1})});
  const std::string count = p.Emit("CastLike", {length, x});
  const std::string scaled = inverse ? Over(p, back, count) : Times(p, back, count);
  const std::string parts = p.Emit("Slice", {scaled, p.Integers({0}), Extents(p, x, -1), p.Integers({-1})});
  p.Give(0, WithLength(p, parts, axis, extent));
}

/// The transform of each frame, after the window was laid over it.
std::string WriteStft(Pullback& p) {
  const auto one = [&](size_t input) { return p.Emit("Reshape", {p.Input(input), p.Integers({1})}); };
  const std::string whole = Joined(p, {Extents(p, p.Input(0), 0, 2), p.Integers({-1})});  // parts are an axis
  const std::string signal = p.Emit("Reshape", {p.Input(0), whole});
  const std::string length = p.HasInput(3)   ? one(3)
                             : p.HasInput(2) ? p.Emit("Size", {p.Input(2)})
                                             : Extents(p, signal, 1, 2);
  const std::string frames = Extents(p, p.Output(0), 1, 2);
  const std::string starts = Times(p, Whole(p, one(1)), UpTo(p, frames));
  const std::string at = Plus(p, p.Emit("Unsqueeze", {starts, p.Integers({1})}), UpTo(p, Whole(p, length)));
  std::string taken = Gathered(p, signal, at, 1);  // [batch, frame, element, part]
  if (p.HasInput(2)) taken = Times(p, taken, p.Emit("Unsqueeze", {p.Input(2), p.Integers({1})}));
  return p.Emit("DFT", {taken, "", Integer(p, 2)}, {MakeAttribute("onesided", p.Int("onesided", 1))});
}

void PullStft(Pullback& p) {
  if (p.pen().opset < kAxisIsInput) FailForm(p, StrCat("in a body of opset ", p.pen().opset));
  PullThrough(p, [](Pullback& written) { return std::vector<std::string>{WriteStft(written)}; });
}

}  // namespace

const std::vector<GradientRow>& SignalGradients() {
  static const std::vector<GradientRow> rows = {
      {"DFT", &PullDft},
      {"STFT", &PullStft},
  };
  return rows;
}

}  // namespace onnxforge::io
