#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient.h"

namespace onnxforge::io {

using ValueNames = std::unordered_set<std::string>;

/// Where nodes are written: at the end of `nodes`, with new values called `prefix` and a number.
struct Pen {
  static constexpr int kOpset = 21;

  std::string prefix;
  int& counter;
  std::vector<PlacedNode>& nodes;
  const FindFunctionBody& find_body;
  int opset = kOpset;    // that new nodes are written in
  bool in_body = false;  // of another node: all nodes are written in that opset

  std::string Fresh() const { return StrCat(prefix, counter++); }
};

/// Writes the nodes that carry a gradient from the outputs of one node back to its inputs.
class Pullback {
 public:
  using Attributes = std::vector<onnx::AttributeProto>;

  Pullback(const PlacedNode& forward, Pen pen) : forward_(forward), pen_(std::move(pen)) {}

  const PlacedNode& placed() const { return forward_; }
  const onnx::NodeProto& node() const { return forward_.node; }
  int opset() const { return forward_.opset; }
  size_t inputs() const { return static_cast<size_t>(node().input_size()); }
  const std::string& Input(size_t i) const { return node().input(static_cast<int>(i)); }
  const std::string& Output(size_t i) const { return node().output(static_cast<int>(i)); }
  bool HasInput(size_t i) const { return i < inputs() && !Input(i).empty(); }
  const onnx::AttributeProto* Find(std::string_view name) const;
  int64_t Int(std::string_view name, int64_t fallback) const;
  float Float(std::string_view name, float fallback) const;
  std::string String(std::string_view name, const char* fallback) const;

  const Pen& pen() const { return pen_; }

  /// Whether a gradient of input `i` is asked for.
  bool Wants(size_t i) const { return HasInput(i) && Wants(Input(i)); }
  /// The same of a value that the node, or one of its bodies, reads.
  bool Wants(const std::string& value) const { return dependent_ != nullptr && dependent_->count(value) != 0; }
  void SetDependent(const ValueNames& dependent) { dependent_ = &dependent; }
  /// The gradient of an output; fails where that has none, which means that another output has.
  const std::string& gradient(size_t output = 0);
  bool HasGradient(size_t output) const { return output < gradients_.size() && !gradients_[output].empty(); }
  /// The gradients of all outputs, empty where there is none.
  void SetGradients(std::vector<std::string> names);
  /// Fails where an output has a gradient that the rule has not asked for.
  void RequireAllRead() const;
  /// Says what the gradient of input `i` is.
  void Give(size_t i, std::string name) { Give(Input(i), std::move(name)); }
  /// The same of a value; what is said of one adds up.
  void Give(const std::string& value, std::string name) { given_.emplace_back(value, std::move(name)); }
  const std::vector<std::pair<std::string, std::string>>& given() const { return given_; }

  /// Adds a node with one output and returns the output's name.
  std::string Emit(const char* op, std::vector<std::string> inputs, Attributes attributes = {});
  /// The same with several outputs.
  std::vector<std::string> EmitMany(const char* op, std::vector<std::string> inputs, size_t outputs,
                                    Attributes attributes);
  /// Adds the forward node once more, on other inputs, and with other attributes.
  std::vector<std::string> Repeat(std::vector<std::string> inputs);
  std::vector<std::string> Repeat(std::vector<std::string> inputs, Attributes attributes);
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
  Pen pen_;
  const ValueNames* dependent_ = nullptr;
  std::vector<std::string> gradients_;
  std::vector<bool> read_;
  std::vector<std::pair<std::string, std::string>> given_;
};

using GradientRule = void (*)(Pullback& p);

struct GradientRow {
  const char* op_type;
  GradientRule rule;
};

/// The rules by family, one file each.
const std::vector<GradientRow>& FunctionGradients();   // of one variable
const std::vector<GradientRow>& SelectionGradients();  // what takes elements and moves them
const std::vector<GradientRow>& BodyGradients();       // If, Loop, Scan
const std::vector<GradientRow>& LayerGradients();      // normalisations, losses
const std::vector<GradientRow>& ProductGradients();    // CumProd, Det
const std::vector<GradientRow>& QuantizeGradients();   // DequantizeLinear
const std::vector<GradientRow>& RecurrentGradients();  // RNN, GRU, LSTM
const std::vector<GradientRow>& RegionGradients();     // RoiAlign, MaxRoiPool
const std::vector<GradientRow>& ResizeGradients();     // Resize, Upsample
const std::vector<GradientRow>& SamplingGradients();   // AffineGrid, DeformConv, GridSample
const std::vector<GradientRow>& SignalGradients();     // DFT, STFT
const std::vector<GradientRow>& WindowGradients();     // convolutions, pools

/// Fails: this use of the forward node's operator has no derivative.
[[noreturn]] void FailForm(const Pullback& p, std::string_view what);

/// The attribute, or `count` times `fallback`.
std::vector<int64_t> IntsOf(const Pullback& p, std::string_view name, size_t count, int64_t fallback);

/// `value`, of which each output is the mean of as many inputs as there are of these for each of those, in parts.
std::string OverCount(Pullback& p, const std::string& value);

/// Extents of a shape, from `start` to before `end`.
std::string Extents(Pullback& p, const std::string& value, int64_t start, int64_t end = int64_t{1} << 31);

/// Lists of numbers one behind the other.
std::string Joined(Pullback& p, std::vector<std::string> parts);

/// Tensors side by side along an axis of their own.
std::string Stacked(Pullback& p, const std::vector<std::string>& parts, int64_t axis);

/// Ones of the type of `like`.
std::string Ones(Pullback& p, const std::string& shape, const std::string& like);

/// The axes from `first` on, which counts from the front where it is not negative.
std::string AxesFrom(Pullback& p, const std::string& x, int64_t first);

/// A whole number, as a scalar.
std::string Integer(Pullback& p, int64_t value);

/// The numbers from 0 to before `count`, which is one.
std::string UpTo(Pullback& p, const std::string& count);

std::string Gathered(Pullback& p, const std::string& values, const std::string& indices, int64_t axis);

/// `value` as whole numbers.
std::string Whole(Pullback& p, const std::string& value);

/// The rule of an operator with such attributes whose outputs' elements are those of input 0, or zeros.
void PullSelection(Pullback& p, Pullback::Attributes attributes);

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
