// The derivatives of Resize and Upsample where they interpolate.
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_reverse.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// How a node resizes, in the words of Resize as it is now.
struct ResizeForm {
  std::string roi, scales, sizes;  // one of the two last, for each axis
  std::vector<int64_t> axes;       // all, where empty
  bool keeps_ratio = false;
  bool takes_less = false;  // of the ratios that sizes would have
  Pullback::Attributes attributes;
};

std::string FloatConstant(Pullback& p, const std::vector<float>& values) {
  auto tensor = onnx::ToTensor(values);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  return p.Emit("Constant", {}, {MakeAttribute("value", tensor)});
}

/// Upsample, and Resize of opset 10: input and attributes are others, coordinates are the plain quotient.
ResizeForm PlainForm(Pullback& p) {
  ResizeForm form;
  const bool linear = p.String("mode", "nearest") != "nearest";
  form.attributes = {MakeAttribute("mode", std::string(linear ? "linear" : "nearest")),
                     MakeAttribute("coordinate_transformation_mode", std::string("asymmetric"))};
  const auto* scales = p.Find("scales");
  if (p.HasInput(1)) {
    form.scales = p.Input(1);
  } else if (scales != nullptr) {
    form.scales = FloatConstant(p, {scales->floats().begin(), scales->floats().end()});
  } else {
    form.scales = FloatConstant(p, {1, 1, p.Float("height_scale", 1), p.Float("width_scale", 1)});
  }
  return form;
}

ResizeForm FormOf(Pullback& p) {
  if (p.node().op_type() == "Upsample" || p.opset() < 11) return PlainForm(p);
  ResizeForm form;
  form.axes = IntsOf(p, "axes", 0, 0);
  if (p.HasInput(1)) form.roi = p.Input(1);
  if (p.HasInput(3)) {
    form.sizes = p.Input(3);
  } else if (p.HasInput(2)) {
    form.scales = p.Input(2);
  }
  const std::string policy = p.String("keep_aspect_ratio_policy", "stretch");
  form.keeps_ratio = policy != "stretch" && !form.sizes.empty();
  form.takes_less = policy == "not_larger";
  // What is filled in outside of a crop is a constant, and counts as nothing.
  for (const auto& attribute : p.node().attribute()) {
    if (attribute.name() != "axes" && attribute.name() != "extrapolation_value") form.attributes.push_back(attribute);
  }
  if (p.String("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize") form.roi.clear();
  return form;
}

/// The matrices by which a node resizes the axes, one by one.
class AxisMatrices {
 public:
  AxisMatrices(Pullback& p, ResizeForm form) : form_(std::move(form)), shape_(p.ShapeOf(p.Input(0))) {
    const std::string rank = p.Emit("Size", {shape_});
    axes_ = p.Emit("Range", {Integer(p, 0), rank, Integer(p, 1)});
    if (!form_.axes.empty()) axes_ = p.Emit("Gather", {axes_, p.Integers(form_.axes)});
    count_ = p.Emit("Size", {axes_});
    if (form_.keeps_ratio) {
      const auto real = [&](const std::string& value) {
        return p.Emit("Cast", {value}, {MakeAttribute("to", int64_t{onnx::TensorProto::DOUBLE})});
      };
      const std::string ratios = Over(p, real(form_.sizes), real(p.Emit("Gather", {shape_, axes_})));
      decisive_ = p.Emit(form_.takes_less ? "ArgMin" : "ArgMax", {ratios}, {MakeAttribute("axis", int64_t{0})});
    }
  }

  const std::string& count() const { return count_; }
  std::string Axis(Pullback& p, const std::string& at) const { return p.Emit("Gather", {axes_, at}); }
  std::string Extent(Pullback& p, const std::string& at) const { return p.Emit("Gather", {shape_, Axis(p, at)}); }

  /// What the operator makes of the columns of the unit matrix: [output, input]. `at`: which axis, [1].
  std::string At(Pullback& p, const std::string& at, const std::string& like) const {
    const std::string extent = Extent(p, at);
    const std::string unit = p.Emit("EyeLike", {Ones(p, Joined(p, {extent, extent}), like)});
    if (form_.keeps_ratio) return BesideDecisive(p, at, unit);
    return Resized(p, unit, RoiOf(p, at), Of(p, form_.scales, at), Of(p, form_.sizes, at), {0});
  }

 private:
  static std::string Of(Pullback& p, const std::string& values, const std::string& at) {
    return values.empty() ? "" : p.Emit("Gather", {values, at});
  }
  /// The begin of a crop and its end.
  std::string RoiOf(Pullback& p, const std::string& at) const {
    return Of(p, form_.roi, Joined(p, {at, Plus(p, at, count_)}));
  }
  std::string Resized(Pullback& p, const std::string& value, const std::string& roi, const std::string& scales,
                      const std::string& sizes, std::vector<int64_t> axes) const {
    Pullback::Attributes attributes = form_.attributes;
    attributes.push_back(MakeAttribute("axes", std::move(axes)));
    return p.Emit("Resize", {value, roi, scales, sizes}, std::move(attributes));
  }
  /// With the axis that decides on the ratio as a further one, along which everything is the same and nothing is cut
  /// off.
  std::string BesideDecisive(Pullback& p, const std::string& at, const std::string& unit) const {
    const std::string further = p.Emit("Unsqueeze", {unit, p.Integers({2})});
    const std::string along = p.Emit("Tile", {further, Joined(p, {p.Integers({1, 1}), Extent(p, decisive_)})});
    std::string roi = RoiOf(p, at);
    if (!roi.empty()) {
      const std::vector<std::string> ends = p.EmitMany("Split", {roi}, 2, {MakeAttribute("num_outputs", int64_t{2})});
      const std::string begin = Minus(p, ends[0], ends[0]);
      roi = Joined(p, {ends[0], begin, ends[1], p.Emit("Exp", {begin})});
    }
    const std::string sizes = p.Emit("Gather", {form_.sizes, Joined(p, {at, decisive_})});
    const std::string resized = Resized(p, along, roi, "", sizes, {0, 2});
    return p.Emit("Gather", {resized, Integer(p, 0)}, {MakeAttribute("axis", int64_t{2})});
  }

  ResizeForm form_;
  std::string shape_, axes_, count_, decisive_;
};

/// The gradient of one axis: multiplied by its matrix, transposed.
std::string PulledAxis(Pullback& p, const AxisMatrices& matrices, const std::string& at, const std::string& value) {
  const std::string axis = matrices.Axis(p, at);
  const std::string shape = p.ShapeOf(value);
  const std::string before = p.Emit("Slice", {shape, p.Integers({0}), axis});
  const std::string behind = p.Emit("Slice", {shape, Plus(p, axis, p.Integers({1})), p.Integers({int64_t{1} << 31})});
  const std::string flat = Joined(p, {p.Emit("ReduceProd", {before}), p.Emit("Gather", {shape, axis}),  //
                                      p.Emit("ReduceProd", {behind})});
  const Pullback::Attributes exactly = {MakeAttribute("allowzero", int64_t{1})};
  const std::string back = p.Emit("Transpose", {matrices.At(p, at, value)});
  const std::string pulled = p.Emit("MatMul", {back, p.Emit("Reshape", {value, flat}, exactly)});
  return p.Emit("Reshape", {pulled, Joined(p, {before, matrices.Extent(p, at), behind})}, exactly);
}

/// Interpolation goes axis by axis: in a loop, where the number of axes shows when it runs only.
void PullInterpolation(Pullback& p) {
  if (!p.Wants(size_t{0})) return;
  const ResizeForm form = FormOf(p);
  const AxisMatrices matrices(p, form);
  if (!form.axes.empty()) {
    std::string value = p.gradient();
    for (size_t i = 0; i < form.axes.size(); ++i)
      value = PulledAxis(p, matrices, p.Integers({static_cast<int64_t>(i)}), value);
    return p.Give(0, value);
  }
  GradientBody body(p, p.pen().opset);
  Pullback& b = body.p();
  const std::string at = b.Emit("Reshape", {body.AddInput(b.pen().Fresh()), b.Integers({1})});
  const std::string going = body.AddInput(b.pen().Fresh());
  const std::string value = body.AddInput(b.pen().Fresh());
  body.AddOutput(going);
  body.AddOutput(PulledAxis(b, matrices, at, value));
  p.Give(0, p.Emit("Loop", {matrices.count(), "", p.gradient()}, {body.Attribute("body")}));
}

void PullNearest(Pullback& p) {
  Pullback::Attributes attributes;
  for (const auto& attribute : p.node().attribute()) {
    if (attribute.name() != "extrapolation_value") attributes.push_back(attribute);
  }
  PullSelection(p, std::move(attributes));
}

void PullResize(Pullback& p) {
  for (size_t i : {1, 2}) {
    if (p.Wants(i)) FailForm(p, "with respect to its scales or roi");
  }
  if (p.String("mode", "nearest") == "nearest") return PullNearest(p);
  PullInterpolation(p);
}

}  // namespace

const std::vector<GradientRow>& ResizeGradients() {
  static const std::vector<GradientRow> rows = {
      {"Resize", &PullResize},
      {"Upsample", &PullResize},
  };
  return rows;
}

}  // namespace onnxforge::io
