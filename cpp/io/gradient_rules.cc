// The derivatives of the operators, as nodes of ai.onnx; here those of arithmetic, products and reductions.
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

std::string Pullback::String(std::string_view name, const char* fallback) const {
  const auto* found = Find(name);
  return found == nullptr ? fallback : found->s();
}

float Pullback::Float(std::string_view name, float fallback) const {
  const auto* found = Find(name);
  return found == nullptr ? fallback : found->f();
}

std::vector<std::string> Pullback::EmitMany(const char* op, std::vector<std::string> inputs, size_t outputs,
                                            Attributes attributes) {
  PlacedNode placed;
  placed.opset = pen_.opset;
  placed.node.set_op_type(op);
  for (std::string& input : inputs) placed.node.add_input(std::move(input));
  std::vector<std::string> names;
  for (size_t i = 0; i < outputs; ++i) {
    names.push_back(pen_.Fresh());
    placed.node.add_output(names.back());
  }
  for (onnx::AttributeProto& attribute : attributes) *placed.node.add_attribute() = std::move(attribute);
  pen_.nodes.push_back(std::move(placed));
  return names;
}

const std::string& Pullback::gradient(size_t output) {
  if (!HasGradient(output)) FailForm(*this, "but of its first output");
  read_[output] = true;
  return gradients_[output];
}

void Pullback::SetGradients(std::vector<std::string> names) {
  gradients_ = std::move(names);
  read_.assign(gradients_.size(), false);
}

void Pullback::RequireAllRead() const {
  for (size_t i = 0; i < gradients_.size(); ++i) {
    if (!gradients_[i].empty() && !read_[i]) FailForm(*this, "but of its first output");
  }
}

std::vector<std::string> Pullback::Repeat(std::vector<std::string> inputs) {
  return Repeat(std::move(inputs), {node().attribute().begin(), node().attribute().end()});
}

std::vector<std::string> Pullback::Repeat(std::vector<std::string> inputs, Attributes attributes) {
  std::vector<std::string> names = EmitMany(node().op_type().c_str(), std::move(inputs),
                                            static_cast<size_t>(node().output_size()), std::move(attributes));
  pen_.nodes.back().opset = opset();
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

void FailForm(const Pullback& p, std::string_view what) {
  Fail(ErrorCode::kUnsupported, "there is no derivative of ", Utf8(p.node().op_type()), " ", what);
}

std::string OverCount(Pullback& p, const std::string& value) {
  const auto count = [&](const std::string& of) { return p.Emit("CastLike", {p.Emit("Size", {of}), value}); };
  return p.Emit("Mul", {value, p.Emit("Div", {count(p.Output(0)), count(p.Input(0))})});
}

std::vector<int64_t> IntsOf(const Pullback& p, std::string_view name, size_t count, int64_t fallback) {
  const auto* found = p.Find(name);
  if (found == nullptr) return std::vector<int64_t>(count, fallback);
  return {found->ints().begin(), found->ints().end()};
}

std::string Extents(Pullback& p, const std::string& value, int64_t start, int64_t end) {
  return p.Emit("Shape", {value}, {onnx::MakeAttribute("start", start), onnx::MakeAttribute("end", end)});
}

std::string Joined(Pullback& p, std::vector<std::string> parts) {
  return p.Emit("Concat", std::move(parts), {onnx::MakeAttribute("axis", int64_t{0})});
}

std::string Ones(Pullback& p, const std::string& shape, const std::string& like) {
  return p.Emit("Expand", {p.Number(1, like), shape});
}

std::string Integer(Pullback& p, int64_t value) {
  return p.Emit("Constant", {}, {onnx::MakeAttribute("value", onnx::ToTensor(value))});
}

std::string Stacked(Pullback& p, const std::vector<std::string>& parts, int64_t axis) {
  std::vector<std::string> all;
  for (const std::string& part : parts) all.push_back(p.Emit("Unsqueeze", {part, p.Integers({axis})}));
  return p.Emit("Concat", all, {onnx::MakeAttribute("axis", axis)});
}

std::string UpTo(Pullback& p, const std::string& count) {
  return p.Emit("Range", {Integer(p, 0), p.Emit("Squeeze", {count}), Integer(p, 1)});
}

std::string Gathered(Pullback& p, const std::string& values, const std::string& indices, int64_t axis) {
  return p.Emit("Gather", {values, indices}, {onnx::MakeAttribute("axis", axis)});
}

std::string Whole(Pullback& p, const std::string& value) {
  return p.Emit("Cast", {value}, {onnx::MakeAttribute("to", int64_t{onnx::TensorProto::INT64})});
}

std::string AxesFrom(Pullback& p, const std::string& x, int64_t first) {
  if (first < 0) {
    std::vector<int64_t> axes;
    for (int64_t axis = first; axis < 0; ++axis) axes.push_back(axis);
    return p.Integers(axes);
  }
  return p.Emit("Range", {Integer(p, first), p.Emit("Size", {p.ShapeOf(x)}), Integer(p, 1)});
}

namespace {

using onnx::MakeAttribute;

void Neg(Pullback& p) { p.Give(0, p.Emit("Neg", {p.gradient()})); }
void Identity(Pullback& p) { p.Give(0, p.gradient()); }
void Cast(Pullback& p) { p.Give(0, p.Emit("CastLike", {p.gradient(), p.Input(0)})); }

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

/// 1 where x is y, in the type of `like`.
std::string IsThere(Pullback& p, const std::string& x, const std::string& y, const std::string& like) {
  return p.Emit("CastLike", {p.Emit("Equal", {x, y}), like});
}

void Mean(Pullback& p) {
  const std::string part = Over(p, p.gradient(), p.Number(static_cast<float>(p.inputs()), p.gradient()));
  for (size_t i = 0; i < p.inputs(); ++i) {
    if (p.Wants(i)) p.Give(i, p.SumTo(part, p.Input(i)));
  }
}

/// Max and Min: those that are equal share the gradient.
void Extreme(Pullback& p) {
  std::vector<std::string> masks;
  for (size_t i = 0; i < p.inputs(); ++i) masks.push_back(IsThere(p, p.Input(i), p.Output(0), p.gradient()));
  const std::string share = Over(p, p.gradient(), p.Emit("Sum", masks));
  for (size_t i = 0; i < p.inputs(); ++i) {
    if (p.Wants(i)) p.Give(i, p.SumTo(Times(p, share, masks[i]), p.Input(i)));
  }
}

/// What is to be summed up, as Einsum writes it.
struct EinsumForm {
  std::vector<std::string> terms;
  std::string output;
};

/// Without an arrow the output has the letters that stand alone, in order, behind whatever '...' is.
std::string ImpliedOutput(const std::string& terms) {
  std::string letters;
  for (const char letter : terms) {
    const bool named = letter != ',' && letter != '.';
    if (named && std::count(terms.begin(), terms.end(), letter) == 1) letters += letter;
  }
  std::sort(letters.begin(), letters.end());
  return (terms.find('.') != std::string::npos ? "..." : "") + letters;
}

EinsumForm EinsumOf(const Pullback& p) {
  std::string equation = p.String("equation", "");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  const size_t arrow = std::min(equation.find("->"), equation.size());
  EinsumForm form;
  const std::string all = equation.substr(0, arrow);
  form.output = arrow < equation.size() ? equation.substr(arrow + 2) : ImpliedOutput(all);
  for (size_t begin = 0; begin <= arrow;) {
    const size_t end = std::min(all.find(',', begin), arrow);
    form.terms.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  if (form.terms.size() != p.inputs()) FailForm(p, StrCat("with ", form.terms.size(), " terms"));
  return form;
}

std::string WithoutDots(std::string term) {
  term.erase(std::remove(term.begin(), term.end(), '.'), term.end());
  return term;
}

/// The gradient of one term, which takes the place of the output. A letter that only the term has needs another that
/// carries its extent. What '...' stands for may be broadcast: it comes first, to be summed over.
std::string PulledTerm(Pullback& p, const EinsumForm& form, size_t i) {
  const std::string& term = form.terms[i];
  const std::string letters = WithoutDots(term);
  for (char letter : letters) {
    if (std::count(letters.begin(), letters.end(), letter) > 1) FailForm(p, "along a diagonal");
  }
  const auto einsum = [&](std::vector<std::string> inputs, const std::string& equation) {
    return p.Emit("Einsum", std::move(inputs), {MakeAttribute("equation", equation)});
  };
  std::string turned = form.output + "," + term;
  std::vector<std::string> inputs = {p.gradient(), p.ExpandTo(p.Number(1, p.Input(i)), p.Input(i))};
  for (size_t k = 0; k < p.inputs(); ++k) {
    if (k == i) continue;
    turned += "," + form.terms[k];
    inputs.push_back(p.Input(k));
  }
  if (turned.find('.') == std::string::npos) return p.SumTo(einsum(inputs, StrCat(turned, "->", term)), p.Input(i));
  const std::string dotted = "..." + letters;
  const std::string all = einsum(inputs, StrCat(turned, "->", dotted));
  if (term.find('.') == std::string::npos || term == dotted) return p.SumTo(all, p.Input(i));
  const std::string like = einsum({p.Input(i)}, StrCat(term, "->", dotted));
  return einsum({p.SumTo(all, like)}, StrCat(dotted, "->", term));
}

void Einsum(Pullback& p) {
  const EinsumForm form = EinsumOf(p);
  for (size_t i = 0; i < p.inputs(); ++i) {
    if (p.Wants(i)) p.Give(i, PulledTerm(p, form, i));
  }
}

/// A quotient's rest: x - n y, with n whole.
void Mod(Pullback& p) {
  if (p.Wants(size_t{0})) p.Give(0, p.SumTo(p.gradient(), p.Input(0)));
  if (!p.Wants(1)) return;
  const std::string times = p.Emit("Round", {Over(p, Minus(p, p.Input(0), p.Output(0)), p.Input(1))});
  p.Give(1, p.SumTo(p.Emit("Neg", {Times(p, p.gradient(), times)}), p.Input(1)));
}

/// Start, limit and step: the limit says how many there are, and no more.
/// The limit says how many numbers there are, and that by steps.
void Range(Pullback& p) {
  const std::string gradient = p.gradient();
  const auto sum = [&](const std::string& value, size_t input) {
    return p.ReshapeTo(p.Emit("ReduceSum", {value}), p.Input(input));
  };
  if (p.Wants(size_t{0})) p.Give(0, sum(gradient, 0));
  if (!p.Wants(2)) return;
  const std::string places = UpTo(p, p.Emit("Size", {gradient}));
  p.Give(2, sum(Times(p, gradient, p.Emit("CastLike", {places, gradient})), 2));
}

void CumSum(Pullback& p) {
  p.Give(0, p.Emit("CumSum", {p.gradient(), p.Input(1)},
                   {MakeAttribute("exclusive", p.Int("exclusive", 0)),
                    MakeAttribute("reverse", p.Int("reverse", 0) == 0 ? int64_t{1} : int64_t{0})}));
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

/// A sum over the axes of the reduction, with keepdims=1.
std::string SumKept(Pullback& p, const std::string& value) {
  std::vector<std::string> inputs = {value};
  if (p.HasInput(1)) {
    inputs.push_back(p.Input(1));
  } else if (const auto* axes = p.Find("axes")) {
    inputs.push_back(p.Integers({axes->ints().begin(), axes->ints().end()}));
  }
  return p.Emit(
      "ReduceSum", inputs,
      {MakeAttribute("keepdims", int64_t{1}), MakeAttribute("noop_with_empty_axes", p.Int("noop_with_empty_axes", 0))});
}

/// What is as long as the output, in the shape that the reduction has with keepdims=1, repeated to the input's.
std::string Unreduce(Pullback& p, const std::string& value) {
  const std::string kept = SumKept(p, p.Input(0));
  return p.ExpandTo(p.ReshapeTo(value, kept), p.Input(0));
}

void ReduceSum(Pullback& p) { p.Give(0, Unreduce(p, p.gradient())); }
void ReduceL1(Pullback& p) { p.Give(0, Times(p, Unreduce(p, p.gradient()), p.Emit("Sign", {p.Input(0)}))); }
void ReduceL2(Pullback& p) { p.Give(0, Times(p, Unreduce(p, Over(p, p.gradient(), p.Output(0))), p.Input(0))); }
void ReduceLogSum(Pullback& p) { p.Give(0, Unreduce(p, Over(p, p.gradient(), p.Emit("Exp", {p.Output(0)})))); }
void ReduceSumSquare(Pullback& p) {
  const std::string twice = Times(p, p.gradient(), p.Number(2, p.gradient()));
  p.Give(0, Times(p, Unreduce(p, twice), p.Input(0)));
}
void ReduceLogSumExp(Pullback& p) {
  const std::string part = p.Emit("Exp", {Minus(p, p.Input(0), Unreduce(p, p.Output(0)))});
  p.Give(0, Times(p, Unreduce(p, p.gradient()), part));
}

/// Of the largest or the smallest: those that are equal share it.
void ReduceExtreme(Pullback& p) {
  const std::string mask = IsThere(p, p.Input(0), Unreduce(p, p.Output(0)), p.gradient());
  const std::string shared = Over(p, mask, SumKept(p, mask));
  p.Give(0, Times(p, Unreduce(p, p.gradient()), shared));
}

/// The product of the others: of all without zeros over the factor, where there is no zero among the others.
void ReduceProd(Pullback& p) {
  const std::string& x = p.Input(0);
  const std::string is_zero = p.Emit("Equal", {x, p.Number(0, x)});
  const std::string zeros = p.Emit("CastLike", {is_zero, x});
  const std::string factors = Plus(p, x, zeros);
  std::vector<std::string> inputs(p.node().input().begin(), p.node().input().end());
  inputs[0] = factors;
  const std::string product = Unreduce(p, p.Repeat(inputs)[0]);
  const std::string zeros_in_all = p.ExpandTo(SumKept(p, zeros), x);
  const std::string alone = p.Emit("Equal", {zeros_in_all, zeros});
  const std::string others = p.Emit("Where", {alone, Over(p, product, factors), p.Number(0, x)});
  p.Give(0, Times(p, Unreduce(p, p.gradient()), others));
}

void ReduceMean(Pullback& p) { p.Give(0, OverCount(p, Unreduce(p, p.gradient()))); }
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
  const int64_t axis = p.Int("axis", 1);  // as opset 1 has it; since then it is required
  const std::string at = p.Integers({axis});
  std::vector<std::string> sizes;
  for (size_t i = 0; i < p.inputs(); ++i)
    sizes.push_back(p.Emit("Gather", {p.ShapeOf(p.Input(i)), at}, {MakeAttribute("axis", int64_t{0})}));
  const std::string all = p.Emit("Concat", sizes, {MakeAttribute("axis", int64_t{0})});
  const std::vector<std::string> parts =
      p.EmitMany("Split", {p.gradient(), all}, p.inputs(), {MakeAttribute("axis", axis)});
  for (size_t i = 0; i < parts.size(); ++i) {
    if (p.Wants(i)) p.Give(i, parts[i]);
  }
}

/// Before opset 13 the axis and all behind it were one.
std::string SumAlongAxis(Pullback& p, const std::string& value) {
  const std::string axes = p.opset() < 13 ? AxesFrom(p, value, p.Int("axis", 1)) : p.Integers({p.Int("axis", -1)});
  return p.Emit("ReduceSum", {value, axes});
}

void Softmax(Pullback& p) {
  const std::string mean = SumAlongAxis(p, p.Emit("Mul", {p.gradient(), p.Output(0)}));
  p.Give(0, p.Emit("Mul", {p.Output(0), p.Emit("Sub", {p.gradient(), mean})}));
}

void LogSoftmax(Pullback& p) {
  const std::string spread = p.Emit("Mul", {p.Emit("Exp", {p.Output(0)}), SumAlongAxis(p, p.gradient())});
  p.Give(0, p.Emit("Sub", {p.gradient(), spread}));
}

const std::vector<GradientRow>& ArithmeticGradients() {
  static const std::vector<GradientRow> rows = {
      {"Add", &Add},
      {"Cast", &Cast},
      {"CastLike", &Cast},
      {"Concat", &Concat},
      {"CumSum", &CumSum},
      {"Div", &Div},
      {"Einsum", &Einsum},
      {"Expand", &Expand},
      {"Flatten", &Reshape},
      {"Gemm", &Gemm},
      {"Identity", &Identity},
      {"LogSoftmax", &LogSoftmax},
      {"MatMul", &MatMul},
      {"Max", &Extreme},
      {"Mean", &Mean},
      {"Min", &Extreme},
      {"Mod", &Mod},
      {"Mul", &Mul},
      {"Neg", &Neg},
      {"Pow", &Pow},
      {"Range", &Range},
      {"ReduceL1", &ReduceL1},
      {"ReduceL2", &ReduceL2},
      {"ReduceLogSum", &ReduceLogSum},
      {"ReduceLogSumExp", &ReduceLogSumExp},
      {"ReduceMax", &ReduceExtreme},
      {"ReduceMean", &ReduceMean},
      {"ReduceMin", &ReduceExtreme},
      {"ReduceProd", &ReduceProd},
      {"ReduceSum", &ReduceSum},
      {"ReduceSumSquare", &ReduceSumSquare},
      {"Reshape", &Reshape},
      {"Softmax", &Softmax},
      {"Squeeze", &Reshape},
      {"Sub", &Sub},
      {"Sum", &Sum},
      {"Transpose", &Transpose},
      {"Unsqueeze", &Reshape},
      {"Where", &Where},
  };
  return rows;
}

}  // namespace

GradientRule FindGradientRule(const std::string& op_type) {
  static const std::map<std::string, GradientRule> rules = [] {
    std::map<std::string, GradientRule> all;
    for (const auto* family :
         {&ArithmeticGradients(), &BodyGradients(), &FunctionGradients(), &LayerGradients(), &ProductGradients(),
          &QuantizeGradients(), &RecurrentGradients(), &RegionGradients(), &ResizeGradients(), &SamplingGradients(),
          &SelectionGradients(), &SignalGradients(), &WindowGradients()}) {
      for (const GradientRow& row : *family) all.emplace(row.op_type, row.rule);
    }
    return all;
  }();
  const auto found = rules.find(op_type);
  return found == rules.end() ? nullptr : found->second;
}

bool IsPiecewiseConstant(const std::string& op_type) {
  constexpr const char* kOperators[] = {
      "And",
      "ArgMax",
      "ArgMin",
      "Bernoulli",
      "Ceil",
      "Constant",
      "ConstantOfShape",
      "Equal",
      "EyeLike",
      "Floor",
      "Greater",
      "GreaterOrEqual",
      "Hardmax",
      "IsInf",
      "IsNaN",
      "Less",
      "LessOrEqual",
      "Multinomial",
      "NonZero",
      "Not",
      "Or",
      "RandomNormalLike",
      "RandomUniformLike",
      "Round",
      "Shape",
      "Sign",
      "Size",
      "Xor",
  };
  return std::any_of(std::begin(kOperators), std::end(kOperators), [&](const char* op) { return op == op_type; });
}

}  // namespace onnxforge::io
