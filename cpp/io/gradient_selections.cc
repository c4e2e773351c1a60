// The derivatives of what takes elements of a tensor, and of what puts elements into one.
#include <string>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_rules.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// 1, 2, 3, … in the shape of `like`. Done to these, what an operator does to elements says where each came from; what
/// it fills in is 0.
std::string Positions(Pullback& p, const std::string& like) {
  const std::string one = p.Emit("Constant", {}, {MakeAttribute("value", onnx::ToTensor(int64_t{1}))});
  const std::string end = p.Emit("Add", {p.Emit("Size", {like}), one});
  return p.ReshapeTo(p.Emit("Range", {one, end, one}), like);
}

/// What an output's gradient is for an input from which the output's elements were taken.
std::string ScatterBack(Pullback& p, const std::string& positions, const std::string& gradient, size_t input = 0) {
  const std::string flat = p.Integers({-1});
  const std::string count = p.Emit("Add", {p.Emit("Size", {p.Input(input)}), p.Integers({1})});
  const std::string slots = p.Emit("CastLike", {p.Emit("ConstantOfShape", {count}), gradient});
  const std::string sums =
      p.Emit("ScatterElements", {slots, p.Emit("Reshape", {positions, flat}), p.Emit("Reshape", {gradient, flat})},
             {MakeAttribute("reduction", std::string("add"))});
  return p.ReshapeTo(p.Emit("Slice", {sums, p.Integers({1}), count}), p.Input(input));
}

void Selection(Pullback& p) { PullSelection(p, {p.node().attribute().begin(), p.node().attribute().end()}); }

void PullPad(Pullback& p) {
  if (p.opset() < 11) FailForm(p, StrCat("of opset ", p.opset(), ", whose kernel takes real numbers alone"));
  std::vector<std::string> inputs(p.node().input().begin(), p.node().input().end());
  inputs[0] = Positions(p, p.Input(0));
  if (inputs.size() > 2) inputs[2].clear();  // what is filled in
  const std::string positions = p.Repeat(inputs)[0];
  if (p.Wants(size_t{0})) p.Give(0, ScatterBack(p, positions, p.gradient()));
  if (!p.Wants(2)) return;
  const std::string filled = p.Emit("Equal", {positions, Integer(p, 0)});
  const std::string part = p.Emit("Where", {filled, p.gradient(), p.Number(0, p.gradient())});
  p.Give(2, p.ReshapeTo(p.Emit("ReduceSum", {part}), p.Input(2)));
}

/// The parts of an output that is not used are zeros.
void PullSplit(Pullback& p) {
  std::vector<std::string> parts;
  for (int i = 0; i < p.node().output_size(); ++i) {
    const auto output = static_cast<size_t>(i);
    if (p.Output(output).empty()) return Selection(p);
    parts.push_back(p.HasGradient(output) ? p.gradient(output) : p.Zeros(p.Output(output)));
  }
  p.Give(0, p.Emit("Concat", parts, {MakeAttribute("axis", p.Int("axis", 0))}));
}

void PullTopK(Pullback& p) {
  if (p.node().output_size() < 2 || p.Output(1).empty()) FailForm(p, "without its indices");
  const std::string taken =
      p.Emit("GatherElements", {Positions(p, p.Input(0)), p.Output(1)}, {MakeAttribute("axis", p.Int("axis", -1))});
  p.Give(0, ScatterBack(p, taken, p.gradient()));
}

/// MaxPool's own second output counts through the whole tensor.
void PullMaxPool(Pullback& p) {
  Pullback::Attributes attributes;
  for (const auto& attribute : p.node().attribute()) {
    if (attribute.name() != "storage_order") attributes.push_back(attribute);
  }
  const std::string indices = p.EmitMany("MaxPool", {p.Input(0)}, 2, attributes)[1];
  p.Give(0, ScatterBack(p, Plus(p, indices, p.Integers({1})), p.gradient()));
}

/// The first row of a table is the usual case: the gradient's rows are added up where they came from.
void PullGather(Pullback& p) {
  if (p.Int("axis", 0) != 0) return Selection(p);
  const std::string rows = p.Emit("Unsqueeze", {p.Input(1), p.Integers({-1})});
  p.Give(0, p.Emit("ScatterND", {p.Zeros(p.Input(0)), rows, p.gradient()},
                   {MakeAttribute("reduction", std::string("add"))}));
}

/// `data` keeps the gradient where nothing was put, or everywhere where what was put was added.
void PullScatter(Pullback& p, const char* scatter, const char* gather, const Pullback::Attributes& axis) {
  const auto* found = p.Find("reduction");
  const std::string reduction = found == nullptr ? "none" : found->s();
  if (reduction != "none" && reduction != "add") FailForm(p, StrCat("with the reduction '", reduction, "'"));
  if (p.Wants(0)) {
    const std::string nothing = p.Zeros(p.Input(2));
    p.Give(0, reduction == "add" ? p.gradient() : p.Emit(scatter, {p.gradient(), p.Input(1), nothing}, axis));
  }
  if (p.Wants(2)) p.Give(2, p.Emit(gather, {p.gradient(), p.Input(1)}, axis));
}

void PullScatterElements(Pullback& p) {
  PullScatter(p, "ScatterElements", "GatherElements", {MakeAttribute("axis", p.Int("axis", 0))});
}
void PullScatterNd(Pullback& p) { PullScatter(p, "ScatterND", "GatherND", {}); }

/// A cache of which some places get other values.
void PullTensorScatter(Pullback& p) {
  std::vector<std::string> inputs(p.node().input().begin(), p.node().input().end());
  for (size_t i : {0, 1}) {
    if (!p.Wants(i)) continue;
    inputs[i] = Positions(p, p.Input(i));
    inputs[1 - i] = p.Emit("ConstantOfShape", {p.ShapeOf(p.Input(1 - i))},
                           {MakeAttribute("value", onnx::ToTensor(std::vector<int64_t>{0}))});
    p.Give(i, ScatterBack(p, p.Repeat(inputs)[0], p.gradient(), i));
  }
}

/// The two values that indices choose from are the last input.
void PullOneHot(Pullback& p) {
  if (!p.Wants(2)) return;
  const std::string zero = p.Number(0, p.Input(2));
  const std::string choice = Stacked(p, {zero, p.Number(1, p.Input(2))}, 0);
  const std::string hot = p.Repeat({p.Input(0), p.Input(1), choice})[0];
  const auto sum = [&](const std::string& value) {
    return p.Emit("ReduceSum", {value}, {MakeAttribute("keepdims", int64_t{0})});
  };
  const std::string on = sum(Times(p, p.gradient(), hot));
  p.Give(2, Stacked(p, {Minus(p, sum(p.gradient()), on), on}, 0));
}

/// Outside of training it passes everything on; in training, what the mask has.
void PullDropout(Pullback& p) {
  if (p.opset() < 7 && p.Int("is_test", 0) == 0) FailForm(p, StrCat("of opset ", p.opset(), " in training"));
  if (p.Wants(1)) FailForm(p, "with respect to its ratio");
  if (!p.HasInput(2)) return p.Give(0, p.gradient());
  if (p.node().output_size() < 2 || p.Output(1).empty())
    FailForm(p, "that is told whether to train, without its second output, the mask");
  const std::string one = p.Number(1, p.gradient());
  const std::string ratio =
      p.HasInput(1) ? p.Emit("CastLike", {p.Input(1), p.gradient()}) : p.Number(0.5f, p.gradient());
  const std::string scale = Over(p, one, Minus(p, one, ratio));
  const std::string kept = Times(p, p.gradient(), p.Emit("CastLike", {p.Output(1), p.gradient()}));
  p.Give(0, p.Emit("Where", {p.Input(2), Times(p, kept, scale), p.gradient()}));
}

/// Of elements, or of slices, that are equal the first is taken.
void PullUnique(Pullback& p) {
  const Pullback::Attributes attributes = {p.node().attribute().begin(), p.node().attribute().end()};
  const std::string firsts = p.EmitMany("Unique", {p.Input(0)}, 2, attributes)[1];
  std::string positions = Positions(p, p.Input(0));
  if (p.Find("axis") == nullptr) positions = p.Emit("Reshape", {positions, p.Integers({-1})});
  p.Give(0, ScatterBack(p, Gathered(p, positions, firsts, p.Int("axis", 0)), p.gradient()));
}

}  // namespace

void PullSelection(Pullback& p, Pullback::Attributes attributes) {
  if (!p.Wants(size_t{0})) return;
  std::vector<std::string> inputs(p.node().input().begin(), p.node().input().end());
  inputs[0] = Positions(p, p.Input(0));
  const std::vector<std::string> positions = p.Repeat(inputs, std::move(attributes));
  std::string sum;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (!p.HasGradient(i)) continue;
    const std::string part = ScatterBack(p, positions[i], p.gradient(i));
    sum = sum.empty() ? part : Plus(p, sum, part);
  }
  p.Give(0, sum);
}

const std::vector<GradientRow>& SelectionGradients() {
  static const std::vector<GradientRow> rows = {
      {"CenterCropPad", &Selection},
      {"Compress", &Selection},
      {"DepthToSpace", &Selection},
      {"Dropout", &PullDropout},
      {"Gather", &PullGather},
      {"GatherElements", &Selection},
      {"GatherND", &Selection},
      {"MaxPool", &PullMaxPool},
      {"MaxUnpool", &Selection},
      {"OneHot", &PullOneHot},
      {"Pad", &PullPad},
      {"ReverseSequence", &Selection},
      {"Scatter", &PullScatterElements},
      {"ScatterElements", &PullScatterElements},
      {"ScatterND", &PullScatterNd},
      {"Slice", &Selection},
      {"SpaceToDepth", &Selection},
      {"Split", &PullSplit},
      {"TensorScatter", &PullTensorScatter},
      {"Tile", &Selection},
      {"TopK", &PullTopK},
      {"Trilu", &Selection},
      {"Unique", &PullUnique},
  };
  return rows;
}

}  // namespace onnxforge::io
