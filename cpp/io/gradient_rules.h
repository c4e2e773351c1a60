#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradient.h"

namespace onnxforge::io {

/// Writes the nodes that carry a gradient from the outputs of one node back to its inputs.
class Pullback {
 public:
  using Attributes = std::vector<onnx::AttributeProto>;

  /// Appends what it writes to `nodes`; new values are called `prefix` and a number.
  Pullback(const PlacedNode& forward, std::string prefix, int& counter, std::vector<PlacedNode>& nodes)
      : forward_(forward), prefix_(std::move(prefix)), counter_(counter), nodes_(nodes), given_(inputs()) {}

  static constexpr int kOpset = 21;  // that the new nodes are written in

  const onnx::NodeProto& node() const { return forward_.node; }
  int opset() const { return forward_.opset; }
  size_t inputs() const { return static_cast<size_t>(node().input_size()); }
  const std::string& Input(size_t i) const { return node().input(static_cast<int>(i)); }
  const std::string& Output(size_t i) const { return node().output(static_cast<int>(i)); }
  bool HasInput(size_t i) const { return i < inputs() && !Input(i).empty(); }
  const onnx::AttributeProto* Find(std::string_view name) const;
  int64_t Int(std::string_view name, int64_t fallback) const;
  float Float(std::string_view name, float fallback) const;

  /// Whether a gradient of input `i` is asked for.
  bool Wants(size_t i) const { return HasInput(i) && wanted_[i]; }
  void Want(std::vector<bool> wanted) { wanted_ = std::move(wanted); }
  /// The gradient of an output; fails where that has none, which means that another output has.
  const std::string& gradient(size_t output = 0);
  bool HasGradient(size_t output) const { return output < gradients_.size() && !gradients_[output].empty(); }
  /// The gradients of all outputs, empty where there is none.
  void SetGradients(std::vector<std::string> names);
  /// Fails where an output has a gradient that the rule has not asked for.
  void RequireAllRead() const;
  /// Says what the gradient of input `i` is.
  void Give(size_t i, std::string name) { given_[i] = std::move(name); }
  const std::string& given(size_t i) const { return given_[i]; }

  /// Adds a node with one output and returns the output's name.
  std::string Emit(const char* op, std::vector<std::string> inputs, Attributes attributes = {});
  /// The same with several outputs.
  std::vector<std::string> EmitMany(const char* op, std::vector<std::string> inputs, size_t outputs,
                                    Attributes attributes);
  /// Adds the forward node once more, on other inputs.
  std::vector<std::string> Repeat(std::vector<std::string> inputs);
  std::string Integers(const std::vector<int64_t>& values);
  /// A number of the type of `like`.
  std::string Number(float value, const std::string& like);
  std::string ShapeOf(const std::string& value) { return Emit("Shape", {value}); }
  /// `value` summed over the axes along which `like` was broadcast to its shape.
  std::string SumTo(const std::string& value, const std::string& like);
  /// `value` in the shape of `like`, which has as many elements.
  std::string ReshapeTo(const std::string& value, const std::string& like);
  /// `value` repeated to the shape of `like`.
  std::string ExpandTo(const std::string& value, const std::string& like) {
    return Emit("Expand", {value, ShapeOf(like)});
  }
  std::string Zeros(const std::string& like);

 private:
  const PlacedNode& forward_;
  std::string prefix_;
  int& counter_;
  std::vector<PlacedNode>& nodes_;
  std::vector<bool> wanted_;
  std::vector<std::string> gradients_;
  std::vector<bool> read_;
  std::vector<std::string> given_;
};

using GradientRule = void (*)(Pullback& p);

struct GradientRow {
  const char* op_type;
  GradientRule rule;
};

/// The rules by family, one file each.
const std::vector<GradientRow>& FunctionGradients();   // of one variable
const std::vector<GradientRow>& SelectionGradients();  // what takes elements and moves them
const std::vector<GradientRow>& LayerGradients();      // convolutions, pools, normalisations, losses

/// Fails: this use of the forward node's operator has no derivative.
[[noreturn]] void FailForm(const Pullback& p, std::string_view what);

/// The attribute, or `count` times `fallback`.
std::vector<int64_t> IntsOf(const Pullback& p, std::string_view name, size_t count, int64_t fallback);

/// `value`, of which each output is the mean of as many inputs as there are of these for each of those, in parts.
std::string OverCount(Pullback& p, const std::string& value);

/// What rules write again and again.
inline std::string Plus(Pullback& p, const std::string& a, const std::string& b) { return p.Emit("Add", {a, b}); }
inline std::string Minus(Pullback& p, const std::string& a, const std::string& b) { return p.Emit("Sub", {a, b}); }
inline std::string Times(Pullback& p, const std::string& a, const std::string& b) { return p.Emit("Mul", {a, b}); }
inline std::string Over(Pullback& p, const std::string& a, const std::string& b) { return p.Emit("Div", {a, b}); }

/// The rule of an operator of ai.onnx; null where there is none.
GradientRule FindGradientRule(const std::string& op_type);

/// Whether an operator's outputs do not change with small changes of its inputs, or are no real numbers at all: no
/// gradient passes through it.
bool IsPiecewiseConstant(const std::string& op_type);

}  // namespace onnxforge::io
