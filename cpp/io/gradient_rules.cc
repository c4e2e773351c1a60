// The derivatives of the operators, as nodes of ai.onnx.
#include "gradient_rules.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "onnxforge/base/error.h"

#include "import_type.h"

namespace onnxforge::io {

const onnx::AttributeProto* Pullback::Find(std::string_view name) const {
  for (const auto& attribute : node().attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

int64_t Pullback::Int(std::string_view name, int64_t fallback) const {
  const auto* found = Find(name);
  return found == nullptr ? fallback : found->i();
}

float Pullback::Float(std::string_view name, float fallback) const {
  const auto* found = Find(name);
  return found == nullptr ? fallback : found->f();
}

std::vector<std::string> Pullback::EmitMany(const char* op, std::vector<std::string> inputs, size_t outputs,
                                            Attributes attributes) {
  PlacedNode placed;
  placed.opset = kOpset;
  placed.node.set_op_type(op);
  for (std::string& input : inputs) placed.node.add_input(std::move(input));
  std::vector<std::string> names;
  for (size_t i = 0; i < outputs; ++i) {
    names.push_back(StrCat(prefix_, counter_++));
    placed.node.add_output(names.back());
  }
  for (onnx::AttributeProto& attribute : attributes) *placed.node.add_attribute() = std::move(attribute);
  nodes_.push_back(std::move(placed));
  return names;
}

std::string Pullback::Emit(const char* op, std::vector<std::string> inputs, Attributes attributes) {
  return EmitMany(op, std::move(inputs), 1, std::move(attributes))[0];
}

std::string Pullback::Integers(const std::vector<int64_t>& values) {
  auto tensor = onnx::ToTensor(values);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  return Emit("Constant", {}, {onnx::MakeAttribute("value", tensor)});
}

std::string Pullback::Number(float value, const std::string& like) {
  const std::string number = Emit("Constant", {}, {onnx::MakeAttribute("value", onnx::ToTensor(value))});
  return Emit("CastLike", {number, like});
}

std::string Pullback::SumTo(const std::string& value, const std::string& like) {
  const std::string shape = ShapeOf(like);
  const std::string missing = Emit("Sub", {Emit("Shape", {ShapeOf(value)}), Emit("Shape", {shape})});
  auto one = onnx::ToTensor(std::vector<int64_t>{1});
  one.add_dims(1);
  const std::string ones = Emit("ConstantOfShape", {missing}, {onnx::MakeAttribute("value", one)});
  const std::string padded = Emit("Concat", {ones, shape}, {onnx::MakeAttribute("axis", int64_t{0})});
  const std::string repeated = Emit("NonZero", {Emit("Equal", {padded, Integers({1})})});
  const std::string axes = Emit("Reshape", {repeated, Integers({-1})});
  const std::string sum =
      Emit("ReduceSum", {value, axes},
           {onnx::MakeAttribute("keepdims", int64_t{1}), onnx::MakeAttribute("noop_with_empty_axes", int64_t{1})});
  return ReshapeTo(sum, like);
}

std::string Pullback::ReshapeTo(const std::string& value, const std::string& like) {
  return Emit("Reshape", {value, ShapeOf(like)}, {onnx::MakeAttribute("allowzero", int64_t{1})});
}

std::string Pullback::Zeros(const std::string& like) {
  return Emit("CastLike", {Emit("ConstantOfShape", {ShapeOf(like)}), like});
}

namespace {

using onnx::MakeAttribute;

[[noreturn]] void FailForm(const Pullback& p, std::string_view what) {
  Fail(ErrorCode::kUnsupported, "there is no derivative of ", Utf8(p.node().op_type()), " ", what);
}

/// A function of one variable: the gradient times its derivative.
template <std::string (*kDerivative)(Pullback& p)>
void Unary(Pullback& p) {
  p.Give(0, p.Emit("Mul", {p.gradient(), kDerivative(p)}));
}

std::string DExp(Pullback& p) { return p.Output(0); }
std::string DLog(Pullback& p) { return p.Emit("Reciprocal", {p.Input(0)}); }
std::string DSqrt(Pullback& p) { return p.Emit("Div", {p.Number(0.5f, p.Input(0)), p.Output(0)}); }
std::string DAbs(Pullback& p) { return p.Emit("Sign", {p.Input(0)}); }
std::string DSin(Pullback& p) { return p.Emit("Cos", {p.Input(0)}); }
std::string DCos(Pullback& p) { return p.Emit("Neg", {p.Emit("Sin", {p.Input(0)})}); }
std::string DSoftplus(Pullback& p) { return p.Emit("Sigmoid", {p.Input(0)}); }
std::string DReciprocal(Pullback& p) { return p.Emit("Neg", {p.Emit("Mul", {p.Output(0), p.Output(0)})}); }
std::string DTanh(Pullback& p) {
  return p.Emit("Sub", {p.Number(1, p.Output(0)), p.Emit("Mul", {p.Output(0), p.Output(0)})});
}
std::string DSigmoid(Pullback& p) {
  return p.Emit("Mul", {p.Output(0), p.Emit("Sub", {p.Number(1, p.Output(0)), p.Output(0)})});
}
std::string DErf(Pullback& p) {
  const std::string density = p.Emit("Exp", {p.Emit("Neg", {p.Emit("Mul", {p.Input(0), p.Input(0)})})});
  return p.Emit("Mul", {density, p.Number(1.1283791670955126f, p.Input(0))});
}

void Neg(Pullback& p) { p.Give(0, p.Emit("Neg", {p.gradient()})); }
void Identity(Pullback& p) { p.Give(0, p.gradient()); }
void Cast(Pullback& p) { p.Give(0, p.Emit("CastLike", {p.gradient(), p.Input(0)})); }

/// The gradient where `condition` holds, 0 elsewhere.
std::string Gate(Pullback& p, const std::string& condition) {
  return p.Emit("Where", {condition, p.gradient(), p.Number(0, p.gradient())});
}

void Relu(Pullback& p) { p.Give(0, Gate(p, p.Emit("Greater", {p.Input(0), p.Number(0, p.Input(0))}))); }
void Clip(Pullback& p) { p.Give(0, Gate(p, p.Emit("Equal", {p.Input(0), p.Output(0)}))); }

void LeakyRelu(Pullback& p) {
  const std::string falling = p.Emit("Mul", {p.gradient(), p.Number(p.Float("alpha", 0.01f), p.gradient())});
  const std::string negative = p.Emit("Less", {p.Input(0), p.Number(0, p.Input(0))});
  p.Give(0, p.Emit("Where", {negative, falling, p.gradient()}));
}

/// Before opset 7 the second operand of a binary operator was laid over the first by an attribute.
void RequireBroadcasting(const Pullback& p) {
  if (p.opset() < 7) FailForm(p, StrCat("of opset ", p.opset(), ", which broadcasts by its attributes"));
}

void Add(Pullback& p) {
  RequireBroadcasting(p);
  for (size_t i : {0, 1}) {
    if (p.Wants(i)) p.Give(i, p.SumTo(p.gradient(), p.Input(i)));
  }
}

void Sub(Pullback& p) {
  RequireBroadcasting(p);
  if (p.Wants(0)) p.Give(0, p.SumTo(p.gradient(), p.Input(0)));
  if (p.Wants(1)) p.Give(1, p.SumTo(p.Emit("Neg", {p.gradient()}), p.Input(1)));
}

void Mul(Pullback& p) {
  RequireBroadcasting(p);
  for (size_t i : {0, 1}) {
    if (p.Wants(i)) p.Give(i, p.SumTo(p.Emit("Mul", {p.gradient(), p.Input(1 - i)}), p.Input(i)));
  }
}

void Div(Pullback& p) {
  RequireBroadcasting(p);
  const std::string divided = p.Emit("Div", {p.gradient(), p.Input(1)});
  if (p.Wants(0)) p.Give(0, p.SumTo(divided, p.Input(0)));
  if (p.Wants(1)) p.Give(1, p.SumTo(p.Emit("Neg", {p.Emit("Mul", {divided, p.Output(0)})}), p.Input(1)));
}

void Pow(Pullback& p) {
  RequireBroadcasting(p);
  const std::string exponent = p.Emit("CastLike", {p.Input(1), p.Input(0)});
  if (p.Wants(0)) {
    const std::string lower = p.Emit("Pow", {p.Input(0), p.Emit("Sub", {exponent, p.Number(1, p.Input(0))})});
    const std::string slope = p.Emit("Mul", {exponent, lower});
    p.Give(0, p.SumTo(p.Emit("Mul", {p.gradient(), slope}), p.Input(0)));
  }
  if (p.Wants(1)) {
    const std::string slope = p.Emit("Mul", {p.Output(0), p.Emit("Log", {p.Input(0)})});
    const std::string pulled = p.SumTo(p.Emit("Mul", {p.gradient(), slope}), p.Input(1));
    p.Give(1, p.Emit("CastLike", {pulled, p.Input(1)}));
  }
}

void Sum(Pullback& p) {
  for (size_t i = 0; i < p.inputs(); ++i) {
    if (p.Wants(i)) p.Give(i, p.SumTo(p.gradient(), p.Input(i)));
  }
}

void Where(Pullback& p) {
  const std::string zero = p.Number(0, p.gradient());
  if (p.Wants(1)) p.Give(1, p.SumTo(p.Emit("Where", {p.Input(0), p.gradient(), zero}), p.Input(1)));
  if (p.Wants(2)) p.Give(2, p.SumTo(p.Emit("Where", {p.Input(0), zero, p.gradient()}), p.Input(2)));
}

std::string SwapLastAxes(Pullback& p, const std::string& matrix) {
  return p.Emit("Einsum", {matrix}, {MakeAttribute("equation", std::string("...ij->...ji"))});
}

void MatMul(Pullback& p) {
  if (p.Wants(0)) p.Give(0, p.SumTo(p.Emit("MatMul", {p.gradient(), SwapLastAxes(p, p.Input(1))}), p.Input(0)));
  if (p.Wants(1)) p.Give(1, p.SumTo(p.Emit("MatMul", {SwapLastAxes(p, p.Input(0)), p.gradient()}), p.Input(1)));
}

void Gemm(Pullback& p) {
  RequireBroadcasting(p);
  const int64_t ta = p.Int("transA", 0);
  const int64_t tb = p.Int("transB", 0);
  const auto product = [&](const std::string& a, int64_t transpose_a, const std::string& b, int64_t transpose_b) {
    return p.Emit("Gemm", {a, b},
                  {MakeAttribute("alpha", p.Float("alpha", 1)), MakeAttribute("transA", transpose_a),
                   MakeAttribute("transB", transpose_b)});
  };
  if (p.Wants(0))
    p.Give(0, ta == 0 ? product(p.gradient(), 0, p.Input(1), 1 - tb) : product(p.Input(1), tb, p.gradient(), 1));
  if (p.Wants(1))
    p.Give(1, tb == 0 ? product(p.Input(0), 1 - ta, p.gradient(), 0) : product(p.gradient(), 1, p.Input(0), ta));
  if (p.Wants(2)) {
    const std::string scaled = p.Emit("Mul", {p.gradient(), p.Number(p.Float("beta", 1), p.gradient())});
    p.Give(2, p.SumTo(scaled, p.Input(2)));
  }
}

/// The gradient in the shape that the reduction has with keepdims=1, repeated to the input's.
std::string Unreduce(Pullback& p) {
  std::vector<std::string> inputs = {p.Input(0)};
  if (p.HasInput(1)) {
    inputs.push_back(p.Input(1));
  } else if (const auto* axes = p.Find("axes")) {
    inputs.push_back(p.Integers({axes->ints().begin(), axes->ints().end()}));
  }
  const std::string kept = p.Emit(
      "ReduceSum", inputs,
      {MakeAttribute("keepdims", int64_t{1}), MakeAttribute("noop_with_empty_axes", p.Int("noop_with_empty_axes", 0))});
  return p.ExpandTo(p.ReshapeTo(p.gradient(), kept), p.Input(0));
}

void ReduceSum(Pullback& p) { p.Give(0, Unreduce(p)); }

/// Each output is the mean of as many inputs as there are of these for each of those.
std::string OverCount(Pullback& p, const std::string& value) {
  const auto count = [&](const std::string& of) { return p.Emit("CastLike", {p.Emit("Size", {of}), value}); };
  return p.Emit("Mul", {value, p.Emit("Div", {count(p.Output(0)), count(p.Input(0))})});
}

void ReduceMean(Pullback& p) { p.Give(0, OverCount(p, Unreduce(p))); }
void GlobalAveragePool(Pullback& p) { p.Give(0, OverCount(p, p.ExpandTo(p.gradient(), p.Input(0)))); }
void Reshape(Pullback& p) { p.Give(0, p.ReshapeTo(p.gradient(), p.Input(0))); }
void Expand(Pullback& p) { p.Give(0, p.SumTo(p.gradient(), p.Input(0))); }

void Transpose(Pullback& p) {
  const auto* perm = p.Find("perm");
  if (perm == nullptr) return p.Give(0, p.Emit("Transpose", {p.gradient()}));
  std::vector<int64_t> back(static_cast<size_t>(perm->ints_size()), 0);
  for (int i = 0; i < perm->ints_size(); ++i) {
    const int64_t to = perm->ints(i);
    if (to < 0 || to >= perm->ints_size()) FailForm(p, "with such a 'perm'");
    back[static_cast<size_t>(to)] = i;
  }
  p.Give(0, p.Emit("Transpose", {p.gradient()}, {MakeAttribute("perm", back)}));
}

void Concat(Pullback& p) {
  const auto* axis = p.Find("axis");
  if (axis == nullptr) FailForm(p, "without an axis");
  const std::string at = p.Integers({axis->i()});
  std::vector<std::string> sizes;
  for (size_t i = 0; i < p.inputs(); ++i)
    sizes.push_back(p.Emit("Gather", {p.ShapeOf(p.Input(i)), at}, {MakeAttribute("axis", int64_t{0})}));
  const std::string all = p.Emit("Concat", sizes, {MakeAttribute("axis", int64_t{0})});
  const std::vector<std::string> parts =
      p.EmitMany("Split", {p.gradient(), all}, p.inputs(), {MakeAttribute("axis", axis->i())});
  for (size_t i = 0; i < parts.size(); ++i) {
    if (p.Wants(i)) p.Give(i, parts[i]);
  }
}

std::string SumAlongAxis(Pullback& p, const std::string& value) {
  return p.Emit("ReduceSum", {value, p.Integers({p.Int("axis", -1)})});
}

void RequirePlainAxis(const Pullback& p) {
  if (p.opset() < 13) FailForm(p, StrCat("of opset ", p.opset(), ", which takes several axes for one"));
}

void Softmax(Pullback& p) {
  RequirePlainAxis(p);
  const std::string mean = SumAlongAxis(p, p.Emit("Mul", {p.gradient(), p.Output(0)}));
  p.Give(0, p.Emit("Mul", {p.Output(0), p.Emit("Sub", {p.gradient(), mean})}));
}

void LogSoftmax(Pullback& p) {
  RequirePlainAxis(p);
  const std::string spread = p.Emit("Mul", {p.Emit("Exp", {p.Output(0)}), SumAlongAxis(p, p.gradient())});
  p.Give(0, p.Emit("Sub", {p.gradient(), spread}));
}

void Gather(Pullback& p) {
  if (p.Int("axis", 0) != 0) FailForm(p, "along another axis than the first");
  const std::string rows = p.Emit("Unsqueeze", {p.Input(1), p.Integers({-1})});
  p.Give(0, p.Emit("ScatterND", {p.Zeros(p.Input(0)), rows, p.gradient()},
                   {MakeAttribute("reduction", std::string("add"))}));
}

std::vector<int64_t> IntsOf(const Pullback& p, std::string_view name, size_t count, int64_t fallback) {
  const auto* found = p.Find(name);
  if (found == nullptr) return std::vector<int64_t>(count, fallback);
  return {found->ints().begin(), found->ints().end()};
}

/// Cuts or fills the ends of the last `rank` axes so that they are as long as those of `like`.
std::string FitTo(Pullback& p, const std::string& value, const std::string& like, size_t rank) {
  const std::string more = p.Emit("Sub", {p.ShapeOf(like), p.ShapeOf(value)});
  std::vector<int64_t> axes;
  for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i) - static_cast<int64_t>(rank));
  const std::string ends = p.Emit("Slice", {more, p.Integers({axes[0]}), p.Integers({int64_t{1} << 31})});
  const std::string begins = p.Integers(std::vector<int64_t>(rank, 0));
  const std::string pads = p.Emit("Concat", {begins, ends}, {MakeAttribute("axis", int64_t{0})});
  return p.Emit("Pad", {value, pads, "", p.Integers(axes)});
}

void Conv(Pullback& p) {
  const auto* kernel = p.Find("kernel_shape");
  const auto* auto_pad = p.Find("auto_pad");
  if (kernel == nullptr) FailForm(p, "without the attribute 'kernel_shape'");
  if (p.Int("group", 1) != 1) FailForm(p, "in groups");
  if (auto_pad != nullptr && auto_pad->s() != "NOTSET") FailForm(p, "with 'auto_pad'");
  const auto rank = static_cast<size_t>(kernel->ints_size());
  const std::vector<int64_t> steps = IntsOf(p, "strides", rank, 1);
  const std::vector<int64_t> dilations = IntsOf(p, "dilations", rank, 1);
  const std::vector<int64_t> pads = IntsOf(p, "pads", 2 * rank, 0);
  if (p.Wants(0)) {
    // What lies in the padding behind is cut off with whatever else is behind the input's end.
    std::vector<int64_t> begins = pads;
    std::fill(begins.begin() + static_cast<std::ptrdiff_t>(std::min(rank, begins.size())), begins.end(), 0);
    const std::string spread =
        p.Emit("ConvTranspose", {p.gradient(), p.Input(1)},
               {MakeAttribute("strides", steps), MakeAttribute("dilations", dilations), MakeAttribute("pads", begins)});
    p.Give(0, FitTo(p, spread, p.Input(0), rank));
  }
  if (p.Wants(1)) {
    // A convolution over the batch: steps and dilations change places, as do batch and channels.
    std::vector<int64_t> turn = {1, 0};
    for (size_t i = 0; i < rank; ++i) turn.push_back(static_cast<int64_t>(i) + 2);
    const auto turned = [&](const std::string& value) {
      return p.Emit("Transpose", {value}, {MakeAttribute("perm", turn)});
    };
    const std::string sums =
        p.Emit("Conv", {turned(p.Input(0)), turned(p.gradient())},
               {MakeAttribute("strides", dilations), MakeAttribute("dilations", steps), MakeAttribute("pads", pads)});
    p.Give(1, FitTo(p, turned(sums), p.Input(1), rank));
  }
  if (p.Wants(2)) p.Give(2, p.Emit("Einsum", {p.gradient()}, {MakeAttribute("equation", std::string("nm...->m"))}));
}

}  // namespace

GradientRule FindGradientRule(const std::string& op_type) {
  static const std::map<std::string, GradientRule> rules = {
      {"Abs", &Unary<DAbs>},
      {"Add", &Add},
      {"Cast", &Cast},
      {"CastLike", &Cast},
      {"Clip", &Clip},
      {"Concat", &Concat},
      {"Conv", &Conv},
      {"Cos", &Unary<DCos>},
      {"Div", &Div},
      {"Erf", &Unary<DErf>},
      {"Exp", &Unary<DExp>},
      {"Expand", &Expand},
      {"Flatten", &Reshape},
      {"Gather", &Gather},
      {"Gemm", &Gemm},
      {"GlobalAveragePool", &GlobalAveragePool},
      {"Identity", &Identity},
      {"LeakyRelu", &LeakyRelu},
      {"Log", &Unary<DLog>},
      {"LogSoftmax", &LogSoftmax},
      {"MatMul", &MatMul},
      {"Mul", &Mul},
      {"Neg", &Neg},
      {"Pow", &Pow},
      {"Reciprocal", &Unary<DReciprocal>},
      {"ReduceMean", &ReduceMean},
      {"ReduceSum", &ReduceSum},
      {"Relu", &Relu},
      {"Reshape", &Reshape},
      {"Sigmoid", &Unary<DSigmoid>},
      {"Sin", &Unary<DSin>},
      {"Softmax", &Softmax},
      {"Softplus", &Unary<DSoftplus>},
      {"Sqrt", &Unary<DSqrt>},
      {"Squeeze", &Reshape},
      {"Sub", &Sub},
      {"Sum", &Sum},
      {"Tanh", &Unary<DTanh>},
      {"Transpose", &Transpose},
      {"Unsqueeze", &Reshape},
      {"Where", &Where},
  };
  const auto found = rules.find(op_type);
  return found == rules.end() ? nullptr : found->second;
}

bool IsPiecewiseConstant(const std::string& op_type) {
  constexpr const char* kOperators[] = {
      "And",         "ArgMax", "ArgMin",  "Ceil",   "Constant", "ConstantOfShape", "Equal",
      "EyeLike",     "Floor",  "Greater", "IsInf",  "IsNaN",    "GreaterOrEqual",  "Less",
      "LessOrEqual", "Not",    "NonZero", "OneHot", "Or",       "Range",           "Round",
      "Shape",       "Sign",   "Size",    "Xor",
  };
  return std::any_of(std::begin(kOperators), std::end(kOperators), [&](const char* op) { return op == op_type; });
}

}  // namespace onnxforge::io
