// The contributed operators that quantised and transformer models carry, as graphs. What they do is described in
// onnxruntime's docs/ContribOperators.md; the comments here only say what is not obvious there.
#include "contrib_functions.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace onnxforge::io {
namespace {

constexpr int kOpset = 24;  // of ai.onnx, that the bodies are written in

/// A body under construction.
class Body {
 public:
  explicit Body(const ContribCall& call) : call_(call), builder_(function_) {
    builder_.AddOpset("", kOpset);
    function_.set_name(call.node.op_type());
    function_.set_domain(call.node.domain());
  }

  /// Names the parameters, of which a call may leave the last ones out.
  void Inputs(std::initializer_list<const char*> names) {
    for (const char* name : names) function_.add_input(name);
  }
  void Outputs(std::initializer_list<const char*> names) {
    for (const char* name : names) function_.add_output(name);
  }
  void Import(const char* domain, int version) { builder_.AddOpset(domain, version); }
  void AddInput(const std::string& name) { function_.add_input(name); }

  bool Given(int i) const { return static_cast<size_t>(i) < call_.given.size() && call_.given[static_cast<size_t>(i)]; }
  bool Wanted(int i) const { return i < call_.node.output_size() && !call_.node.output(i).empty(); }
  int inputs() const { return call_.node.input_size(); }

  const onnx::AttributeProto* Find(std::string_view name) const {
    for (const auto& attribute : call_.node.attribute()) {
      if (attribute.name() == name) return &attribute;
    }
    return nullptr;
  }
  int64_t Int(std::string_view name, int64_t fallback) const {
    const auto* found = Find(name);
    return found == nullptr ? fallback : found->i();
  }
  float Float(std::string_view name, float fallback) const {
    const auto* found = Find(name);
    return found == nullptr ? fallback : found->f();
  }
  std::string String(std::string_view name, const char* fallback) const {
    const auto* found = Find(name);
    return found == nullptr ? fallback : found->s();
  }
  std::optional<int64_t> Rank(int i) const {
    const auto* type = static_cast<size_t>(i) < call_.types.size() ? call_.types[static_cast<size_t>(i)] : nullptr;
    if (type == nullptr || !type->has_tensor_type() || !type->tensor_type().has_shape()) return std::nullopt;
    return type->tensor_type().shape().dim_size();
  }

  Body& Add(const std::string& nodes) {
    builder_.Add(nodes.c_str());
    return *this;
  }
  template <typename T>
  Body& Set(const char* attribute, const T& value) {
    builder_.AddAttributeToNode(attribute, value);
    return *this;
  }
  /// Gives the last node the call's attributes of these names, where they are there.
  Body& Copy(std::initializer_list<const char*> names) {
    auto& node = *function_.mutable_node(function_.node_size() - 1);
    for (const char* name : names) {
      if (const auto* found = Find(name)) *node.add_attribute() = *found;
    }
    return *this;
  }
  template <typename T>
  Body& Const(const char* name, const T& value) {
    builder_.Const(name, value);
    return *this;
  }

  onnx::FunctionProto& function() { return function_; }

 private:
  const ContribCall& call_;
  onnx::FunctionProto function_;
  onnx::FunctionBuilder builder_;
};

/// Writes a body; false where this use of the operator has none.
using Writer = bool (*)(Body& body);

bool Gelu(Body& b) {
  b.Inputs({"X"});
  b.Outputs({"Y"});
  b.Add("Y = Gelu (X)");
  return true;
}

bool FastGelu(Body& b) {
  b.Inputs({"X", "bias"});
  b.Outputs({"Y"});
  b.Add(b.Given(1) ? "x = Add (X, bias)" : "x = Identity (X)");
  b.Add("Y = Gelu <approximate = \"tanh\"> (x)");
  return true;
}

bool BiasGelu(Body& b) {
  b.Inputs({"A", "B"});
  b.Outputs({"C"});
  b.Add("x = Add (A, B) C = Gelu (x)");
  return true;
}

bool QuickGelu(Body& b) {
  b.Inputs({"X"});
  b.Outputs({"Y"});
  b.Add("Y = Swish (X)").Set("alpha", b.Float("alpha", 1.702f));
  return true;
}

/// `to` = `from` with its last two axes swapped, or its first moved before (or behind) the last.
void AddTransposed(Body& b, const char* from, const char* to, int input, bool transpose, bool batch) {
  const auto rank = b.Rank(input);
  const std::string edge = std::string(to) + " = ";
  if ((!transpose && !batch) || rank == 1) {
    b.Add(edge + "Identity (" + from + ")");
    return;
  }
  if (rank.has_value() && !batch) {
    std::vector<int64_t> order;
    for (int64_t axis = 0; axis < *rank; ++axis) order.push_back(axis);
    std::swap(order[order.size() - 1], order[order.size() - 2]);
    b.Add(edge + "Transpose (" + from + ")").Set("perm", order);
    return;
  }
  const char* equation = !batch ? "...ij->...ji" : transpose ? "i...j->...ji" : "i...j->...ij";
  b.Add(edge + "Einsum (" + from + ")").Set("equation", std::string(equation));
}

bool FusedMatMul(Body& b) {
  b.Inputs({"A", "B"});
  b.Outputs({"Y"});
  AddTransposed(b, "A", "a", 0, b.Int("transA", 0) != 0, b.Int("transBatchA", 0) != 0);
  AddTransposed(b, "B", "b", 1, b.Int("transB", 0) != 0, b.Int("transBatchB", 0) != 0);
  const float alpha = b.Float("alpha", 1.0f);
  if (alpha == 1.0f) {
    b.Add("Y = MatMul (a, b)");
  } else {
    b.Const("factor", alpha);
    b.Add("product = MatMul (a, b) typed = CastLike (factor, product) Y = Mul (product, typed)");
  }
  return true;
}

/// Y = the activation that `activation` names, of `x`.
bool AddActivation(Body& b, const std::string& name, const std::vector<float>& parameters) {
  const auto parameter = [&](size_t i, float fallback) { return i < parameters.size() ? parameters[i] : fallback; };
  if (name.empty()) {
    b.Add("Y = Identity (x)");
  } else if (name == "Relu" || name == "Tanh" || name == "Sigmoid" || name == "Softplus" || name == "HardSwish") {
    b.Add("Y = " + name + " (x)");
  } else if (name == "LeakyRelu") {
    b.Add("Y = LeakyRelu (x)").Set("alpha", parameter(0, 0.01f));
  } else if (name == "HardSigmoid") {
    b.Add("Y = HardSigmoid (x)").Set("alpha", parameter(0, 0.2f)).Set("beta", parameter(1, 0.5f));
  } else if (name == "Clip" && parameters.size() == 2) {
    b.Const("low", parameters[0]).Const("high", parameters[1]);
    b.Add("least = CastLike (low, x) most = CastLike (high, x) Y = Clip (x, least, most)");
  } else {
    return false;
  }
  return true;
}

bool FusedConv(Body& b) {
  b.Inputs({"X", "W", "B", "Z"});
  b.Outputs({"Y"});
  b.Add(b.Given(3) ? "convolved = Conv (X, W, B)" : "x = Conv (X, W, B)")
      .Copy({"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"});
  if (b.Given(3)) b.Add("x = Add (convolved, Z)");
  std::vector<float> parameters;
  if (const auto* found = b.Find("activation_params")) parameters = {found->floats().begin(), found->floats().end()};
  return AddActivation(b, b.String("activation", ""), parameters);
}

bool FusedGemm(Body& b) {
  b.Inputs({"A", "B", "C"});
  b.Outputs({"Y"});
  b.Add("x = Gemm (A, B, C)").Copy({"alpha", "beta", "transA", "transB"});
  std::vector<float> parameters;
  for (const char* name : {"activation_alpha", "activation_beta"}) {
    if (b.Find(name) != nullptr) parameters.push_back(b.Float(name, 0));
  }
  return AddActivation(b, b.String("activation", ""), parameters);
}

bool SkipLayerNormalization(Body& b) {
  b.Inputs({"input", "skip", "gamma", "beta", "bias"});
  b.Outputs({"output", "mean", "inv_std_var", "sum"});
  b.Add(b.Given(4) ? "added = Add (input, skip) sum = Add (added, bias)" : "sum = Add (input, skip)");
  b.Add("output, mean, inv_std_var = LayerNormalization <axis = -1> (sum, gamma, beta)")
      .Set("epsilon", b.Float("epsilon", 1e-12f));
  return true;
}

/// `inv_std_var` = 1 / √(mean of the squares of `x` + epsilon), over the axes from `axis`, which is negative, on.
void AddInverseDeviation(Body& b, const std::string& x, int64_t axis, float epsilon) {
  std::vector<int64_t> axes;
  for (; axis < 0; ++axis) axes.push_back(axis);
  b.Const("along", axes).Const("small", epsilon);
  b.Add("wide = Cast <to = 1> (" + x + ") squares = Mul (wide, wide) mean_square = ReduceMean (squares, along)");
  b.Add("more = Add (mean_square, small) root = Sqrt (more) inv_std_var = Reciprocal (root)");
}

bool SkipSimplifiedLayerNormalization(Body& b) {
  if (b.Wanted(1)) return false;
  b.Inputs({"input", "skip", "gamma", "bias"});
  b.Outputs({"output", "mean", "inv_std_var", "sum"});
  b.Add(b.Given(3) ? "added = Add (input, skip) sum = Add (added, bias)" : "sum = Add (input, skip)");
  b.Add("output = RMSNormalization <axis = -1> (sum, gamma)").Set("epsilon", b.Float("epsilon", 1e-12f));
  if (b.Wanted(2)) AddInverseDeviation(b, "sum", -1, b.Float("epsilon", 1e-12f));
  return true;
}

bool SimplifiedLayerNormalization(Body& b) {
  const int64_t axis = b.Int("axis", -1);
  const auto rank = b.Rank(0);
  if (b.Wanted(1) && axis >= 0 && !rank.has_value()) return false;
  b.Inputs({"X", "scale"});
  b.Outputs({"Y", "inv_std_var"});
  if (b.Wanted(1)) AddInverseDeviation(b, "X", axis < 0 ? axis : axis - *rank, b.Float("epsilon", 1e-5f));
  b.Add("Y = RMSNormalization (X, scale)").Copy({"axis", "stash_type"}).Set("epsilon", b.Float("epsilon", 1e-5f));
  return true;
}

bool EmbedLayerNormalization(Body& b) {
  b.Inputs({"input_ids", "segment_ids", "words", "positions", "segments", "gamma", "beta", "mask", "position_ids"});
  b.Outputs({"output", "mask_index", "sum"});
  b.Add("word = Gather <axis = 0> (words, input_ids)");
  if (b.Given(8)) {
    b.Add("position = Gather <axis = 0> (positions, position_ids)");
  } else {
    b.Const("zero", std::vector<int64_t>{0});
    b.Add("length = Shape <start = 1, end = 2> (input_ids) position = Slice (positions, zero, length, zero)");
  }
  b.Add(b.Given(1) ? "placed = Add (word, position)" : "sum = Add (word, position)");
  if (b.Given(1)) b.Add("segment = Gather <axis = 0> (segments, segment_ids) sum = Add (placed, segment)");
  b.Add("output = LayerNormalization <axis = -1> (sum, gamma, beta)").Set("epsilon", b.Float("epsilon", 1e-12f));
  if (b.Given(7)) {
    b.Const("last", std::vector<int64_t>{1});
    b.Add("counted = ReduceSum <keepdims = 0> (mask, last) mask_index = Cast <to = 6> (counted)");
  } else {
    b.Add("rows = Shape <start = 0, end = 1> (input_ids)");
    b.Add("mask_index = ConstantOfShape <value = int32[1] {0}> (rows)");
  }
  return true;
}

/// `to` = the numbers that `from`, `scale` and `zero` stand for.
void AddDequantized(Body& b, const std::string& to, const std::string& from, const std::string& scale,
                    const std::string& zero) {
  b.Add(to + " = DequantizeLinear (" + from + ", " + scale + ", " + zero + ")");
}

/// `Y` = `y` quantised; without a zero point to the type of `like`.
void AddQuantized(Body& b, const char* scale, const char* zero, bool has_zero, const char* like) {
  if (!has_zero) {
    b.Const("nought", int64_t{0});
    b.Add(std::string("typed_zero = CastLike (nought, ") + like + ")");
  }
  b.Add(std::string("Y = QuantizeLinear (y, ") + scale + ", " + (has_zero ? zero : "typed_zero") + ")");
}

bool QLinearBinary(Body& b, const char* op) {
  b.Inputs({"A", "A_scale", "A_zero", "B", "B_scale", "B_zero", "Y_scale", "Y_zero"});
  b.Outputs({"Y"});
  AddDequantized(b, "a", "A", "A_scale", "A_zero");
  AddDequantized(b, "b", "B", "B_scale", "B_zero");
  b.Add(std::string("y = ") + op + " (a, b)");
  AddQuantized(b, "Y_scale", "Y_zero", b.Given(7), "A");
  return true;
}

bool QLinearAdd(Body& b) { return QLinearBinary(b, "Add"); }
bool QLinearMul(Body& b) { return QLinearBinary(b, "Mul"); }

/// x = X dequantised; what is added next makes y of it.
void BeginQLinearUnary(Body& b) {
  b.Inputs({"X", "X_scale", "X_zero", "Y_scale", "Y_zero"});
  b.Outputs({"Y"});
  AddDequantized(b, "x", "X", "X_scale", "X_zero");
}
bool EndQLinearUnary(Body& b) {
  AddQuantized(b, "Y_scale", "Y_zero", b.Given(4), "X");
  return true;
}

bool QLinearSigmoid(Body& b) {
  BeginQLinearUnary(b);
  b.Add("y = Sigmoid (x)");
  return EndQLinearUnary(b);
}

bool QLinearLeakyRelu(Body& b) {
  BeginQLinearUnary(b);
  b.Add("y = LeakyRelu (x)").Copy({"alpha"});
  return EndQLinearUnary(b);
}

bool QLinearSoftmax(Body& b) {
  BeginQLinearUnary(b);
  if (b.Int("opset", 13) < 13) {  // all axes from `axis` on are one
    b.Add("flat = Flatten (x)").Set("axis", b.Int("axis", 1));
    b.Add("shares = Softmax <axis = 1> (flat) shape = Shape (x) y = Reshape (shares, shape)");
  } else {
    b.Add("y = Softmax (x)").Copy({"axis"});
  }
  return EndQLinearUnary(b);
}

/// `op` over the spatial axes, which are the last ones, or with `channels_last` those before.
bool QLinearPool(Body& b, const std::string& op, std::initializer_list<const char*> attributes) {
  BeginQLinearUnary(b);
  if (b.Int("channels_last", 0) == 0) {
    b.Add("y = " + op + " (x)").Copy(attributes);
    return EndQLinearUnary(b);
  }
  const auto rank = b.Rank(0);
  if (!rank.has_value() || *rank < 3) return false;
  std::vector<int64_t> forth = {0, *rank - 1};
  std::vector<int64_t> back = {0};
  for (int64_t axis = 1; axis + 1 < *rank; ++axis) {
    forth.push_back(axis);
    back.push_back(axis + 1);
  }
  back.push_back(1);
  b.Add("turned = Transpose (x)").Set("perm", forth);
  b.Add("pooled = " + op + " (turned)").Copy(attributes);
  b.Add("y = Transpose (pooled)").Set("perm", back);
  return EndQLinearUnary(b);
}

bool QLinearAveragePool(Body& b) {
  return QLinearPool(b, "AveragePool",
                     {"auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"});
}
bool QLinearGlobalAveragePool(Body& b) { return QLinearPool(b, "GlobalAveragePool", {}); }

bool QLinearWhere(Body& b) {
  b.Inputs({"condition", "X", "X_scale", "X_zero", "Z", "Z_scale", "Z_zero", "Y_scale", "Y_zero"});
  b.Outputs({"Y"});
  AddDequantized(b, "x", "X", "X_scale", "X_zero");
  AddDequantized(b, "z", "Z", "Z_scale", "Z_zero");
  b.Add("y = Where (condition, x, z)");
  AddQuantized(b, "Y_scale", "Y_zero", b.Given(8), "X");
  return true;
}

bool QLinearConcat(Body& b) {
  if (b.inputs() < 5 || b.inputs() % 3 != 2) return false;
  b.Inputs({"Y_scale", "Y_zero"});
  b.Outputs({"Y"});
  std::string parts;
  for (int i = 2; i < b.inputs(); i += 3) {
    const std::string n = std::to_string(i);
    for (const char* name : {"X", "scale", "zero"}) b.AddInput(name + n);
    AddDequantized(b, "part" + n, "X" + n, "scale" + n, "zero" + n);
    parts += (parts.empty() ? "part" : ", part") + n;
  }
  b.Add("y = Concat (" + parts + ")").Copy({"axis"});
  AddQuantized(b, "Y_scale", "Y_zero", b.Given(1), "X2");
  return true;
}

bool QGemm(Body& b) {
  b.Inputs({"A", "a_scale", "a_zero", "B", "b_scale", "b_zero", "C", "Y_scale", "Y_zero"});
  b.Outputs({"Y"});
  AddDequantized(b, "a", "A", "a_scale", "a_zero");
  AddDequantized(b, "b", "B", "b_scale", "b_zero");
  b.Set("axis", b.Int("transB", 0) != 0 ? int64_t{0} : int64_t{1});  // scales may be one for each column
  if (b.Given(6)) b.Add("scale = Mul (a_scale, b_scale) whole = Cast <to = 1> (C) c = Mul (whole, scale)");
  // The bias is not scaled by alpha.
  b.Add(b.Given(6) ? "y = Gemm (a, b, c)" : "y = Gemm (a, b)").Copy({"alpha", "transA", "transB"});
  if (b.Given(7)) {
    AddQuantized(b, "Y_scale", "Y_zero", b.Given(8), "A");
  } else {
    b.Add("Y = Identity (y)");
  }
  return true;
}

/// Attention of the numbers that input and weights stand for; scales of the weights may be one for each column.
bool QAttention(Body& b) {
  b.Inputs({"input", "weight", "bias", "input_scale", "weight_scale", "mask", "input_zero", "weight_zero", "past"});
  b.Outputs({"output", "present"});
  AddDequantized(b, "x", "input", "input_scale", "input_zero");
  b.Add("whole = Cast <to = 1> (weight)");
  b.Add(b.Given(7) ? "zero = Cast <to = 1> (weight_zero) moved = Sub (whole, zero)" : "moved = Identity (whole)");
  b.Add("w = Mul (moved, weight_scale)");
  b.Import("com.microsoft", 1);
  const std::string outputs = b.Wanted(1) ? "output, present" : "output";
  b.Add(outputs + " = com.microsoft.Attention (x, w, bias, mask, past)")
      .Copy({"do_rotary", "mask_filter_value", "num_heads", "past_present_share_buffer", "scale", "unidirectional"});
  return true;
}

/// The distance of each row of A from each row of B.
bool CDist(Body& b) {
  const std::string metric = b.String("metric", "sqeuclidean");
  if (metric != "euclidean" && metric != "sqeuclidean") return false;
  b.Inputs({"A", "B"});
  b.Outputs({"C"});
  b.Const("first", std::vector<int64_t>{0})
      .Const("second", std::vector<int64_t>{1})
      .Const("last", std::vector<int64_t>{-1});
  b.Add("a = Unsqueeze (A, second) b = Unsqueeze (B, first) d = Sub (a, b) squares = Mul (d, d)");
  b.Add(metric == "euclidean" ? "sums = ReduceSum <keepdims = 0> (squares, last) C = Sqrt (sums)"
                              : "C = ReduceSum <keepdims = 0> (squares, last)");
  return true;
}

/// What the standard has taken over since.
bool ExpandDims(Body& b) {
  b.Inputs({"X", "axis"});
  b.Outputs({"Y"});
  b.Add("whole = Cast <to = 7> (axis) Y = Unsqueeze (X, whole)");
  return true;
}
bool GatherNd(Body& b) {
  b.Inputs({"data", "indices"});
  b.Outputs({"output"});
  b.Add("whole = Cast <to = 7> (indices) output = GatherND (data, whole)");
  return true;
}
bool GridSample(Body& b) {
  const std::string mode = b.String("mode", "bilinear");
  b.Inputs({"X", "Grid"});
  b.Outputs({"Y"});
  b.Add("Y = GridSample (X, Grid)")
      .Set("mode", mode == "bilinear"  ? std::string("linear")
                   : mode == "bicubic" ? std::string("cubic")
                                       : mode)
      .Copy({"align_corners", "padding_mode"});
  return true;
}
bool Pad(Body& b) {
  b.Inputs({"data", "pads", "value"});
  b.Outputs({"output"});
  if (b.Given(2)) b.Const("one", std::vector<int64_t>{}).Add("number = Reshape (value, one)");
  b.Add(b.Given(2) ? "output = Pad (data, pads, number)" : "output = Pad (data, pads)").Copy({"mode"});
  return true;
}
bool Trilu(Body& b) {
  b.Inputs({"X", "k"});
  b.Outputs({"Y"});
  b.Add("Y = Trilu (X, k)").Copy({"upper"});
  return true;
}

/// The standard's operator, which has taken over the element types since.
bool QuantizeLinear(Body& b) {
  b.Inputs({"x", "y_scale", "y_zero_point"});
  b.Outputs({"y"});
  b.Add("y = QuantizeLinear (x, y_scale, y_zero_point)").Copy({"axis", "block_size"});
  return true;
}
bool DequantizeLinear(Body& b) {
  b.Inputs({"x", "x_scale", "x_zero_point"});
  b.Outputs({"y"});
  b.Add("y = DequantizeLinear (x, x_scale, x_zero_point)").Copy({"axis", "block_size"});
  return true;
}

/// Y = sums · scale + bias.
void AddScaled(Body& b, bool bias) {
  b.Add("real = Cast <to = 1> (sums)");
  b.Add(bias ? "scaled = Mul (real, scale) Y = Add (scaled, bias)" : "Y = Mul (real, scale)");
}

bool DynamicQuantizeMatMul(Body& b) {
  b.Inputs({"A", "B", "b_scale", "b_zero", "bias"});
  b.Outputs({"Y"});
  b.Add("quantized, a_scale, a_zero = DynamicQuantizeLinear (A)");
  b.Add("sums = MatMulInteger (quantized, B, a_zero, b_zero) scale = Mul (a_scale, b_scale)");
  AddScaled(b, b.Given(4));
  return true;
}

/// `to` = quantised weights [direction, input, gates] as the standard's layers take them: real, [direction, gates,
/// input]. There is one scale for a direction, or for each of its gates.
void AddGateWeights(Body& b, const std::string& to, const std::string& from, const std::string& scale,
                    const std::string& zero) {
  b.Add(to + "_zero = Reshape (" + zero + ", spread) " + to + "_scale = Reshape (" + scale + ", spread)");
  b.Add(to + "_whole = Cast <to = 1> (" + from + ") " + to + "_nought = Cast <to = 1> (" + to + "_zero)");
  b.Add(to + "_moved = Sub (" + to + "_whole, " + to + "_nought)");
  b.Add(to + "_real = Mul (" + to + "_moved, " + to + "_scale)");
  b.Add(to + " = Transpose <perm = [0, 2, 1]> (" + to + "_real)");
}

/// The weights are quantised; input and state, which onnxruntime rounds to eight bits in every step, stay real here.
bool DynamicQuantizeLSTM(Body& b) {
  b.Inputs(
      {"X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P", "W_scale", "W_zero", "R_scale", "R_zero"});
  b.Outputs({"Y", "Y_h", "Y_c"});
  b.Const("spread", std::vector<int64_t>{0, 1, -1});
  AddGateWeights(b, "w", "W", "W_scale", "W_zero");
  AddGateWeights(b, "r", "R", "R_scale", "R_zero");
  b.Add("Y, Y_h, Y_c = LSTM (X, w, r, B, sequence_lens, initial_h, initial_c, P)")
      .Copy({"activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget"});
  return true;
}

bool MatMulIntegerToFloat(Body& b) {
  b.Inputs({"A", "B", "a_scale", "b_scale", "a_zero", "b_zero", "bias"});
  b.Outputs({"Y"});
  b.Add("sums = MatMulInteger (A, B, a_zero, b_zero) scale = Mul (a_scale, b_scale)");
  AddScaled(b, b.Given(6));
  return true;
}

/// The positions are a matrix [batch, sequence], or one number: where the sequence begins.
void AddPositions(Body& b, bool heads_first) {
  b.Const("nought", int64_t{0}).Const("one", int64_t{1});
  b.Add(heads_first ? "axis_length = Shape <start = 2, end = 3> (X)" : "axis_length = Shape <start = 1, end = 2> (X)");
  b.Add("length = Squeeze (axis_length) steps = Range (nought, length, one)");
  b.Add("count = Size (position_ids) is_offset = Equal (count, one) step = Cast <to = 7> (is_offset)");
  b.Add("moved = Mul (steps, step) at = Add (position_ids, moved)");
  b.Add("batch = Shape <start = 0, end = 1> (X) whole = Concat <axis = 0> (batch, axis_length)");
  b.Add("positions = Expand (at, whole)");
}

bool RotaryEmbedding(Body& b) {
  const int64_t heads = b.Int("num_heads", 0);
  const auto rank = b.Rank(0);
  if (!rank.has_value() || b.Float("scale", 1.0f) != 1.0f || b.Int("is_packed_batching", 0) != 0) return false;
  b.Inputs({"X", "position_ids", "cos_cache", "sin_cache"});
  b.Outputs({"Y"});
  AddPositions(b, *rank == 4);
  const bool split = *rank == 3 && heads == 0;  // the width of a head follows from the caches
  if (split) {
    b.Const("two", std::vector<int64_t>{2}).Const("rest", std::vector<int64_t>{-1});
    b.Add("half = Shape <start = 1, end = 2> (cos_cache) width = Mul (half, two)");
    b.Add("parted = Concat <axis = 0> (whole, rest, width) by_head = Reshape (X, parted)");
    b.Add("x = Transpose <perm = [0, 2, 1, 3]> (by_head)");
  }
  b.Add(split ? "y = RotaryEmbedding (x, cos_cache, sin_cache, positions)"
              : "Y = RotaryEmbedding (X, cos_cache, sin_cache, positions)")
      .Copy({"interleaved", "num_heads", "rotary_embedding_dim"});
  if (split) {
    b.Add("joined = Transpose <perm = [0, 2, 1, 3]> (y) shape = Shape (X) Y = Reshape (joined, shape)");
  }
  return true;
}

const std::map<std::string, Writer>& Writers() {
  static const std::map<std::string, Writer> writers = {
      {"BiasGelu", &BiasGelu},
      {"CDist", &CDist},
      {"DequantizeLinear", &DequantizeLinear},
      {"DynamicQuantizeLSTM", &DynamicQuantizeLSTM},
      {"DynamicQuantizeMatMul", &DynamicQuantizeMatMul},
      {"EmbedLayerNormalization", &EmbedLayerNormalization},
      {"ExpandDims", &ExpandDims},
      {"FastGelu", &FastGelu},
      {"FusedConv", &FusedConv},
      {"FusedGemm", &FusedGemm},
      {"FusedMatMul", &FusedMatMul},
      {"GatherND", &GatherNd},
      {"Gelu", &Gelu},
      {"GridSample", &GridSample},
      {"MatMulIntegerToFloat", &MatMulIntegerToFloat},
      {"Pad", &Pad},
      {"QAttention", &QAttention},
      {"QGemm", &QGemm},
      {"QLinearAdd", &QLinearAdd},
      {"QLinearAveragePool", &QLinearAveragePool},
      {"QLinearConcat", &QLinearConcat},
      {"QLinearGlobalAveragePool", &QLinearGlobalAveragePool},
      {"QLinearLeakyRelu", &QLinearLeakyRelu},
      {"QLinearMul", &QLinearMul},
      {"QLinearSigmoid", &QLinearSigmoid},
      {"QLinearSoftmax", &QLinearSoftmax},
      {"QLinearWhere", &QLinearWhere},
      {"QuantizeLinear", &QuantizeLinear},
      {"QuickGelu", &QuickGelu},
      {"RotaryEmbedding", &RotaryEmbedding},
      {"SkipLayerNormalization", &SkipLayerNormalization},
      {"SkipSimplifiedLayerNormalization", &SkipSimplifiedLayerNormalization},
      {"Trilu", &Trilu},
  };
  return writers;
}

Writer FindWriter(const std::string& domain, const std::string& op_type) {
  // onnxruntime writes this one into the standard's own domain.
  if (domain.empty() && op_type == "SimplifiedLayerNormalization") return &SimplifiedLayerNormalization;
  if (domain != "com.microsoft") return nullptr;
  const auto found = Writers().find(op_type);
  return found == Writers().end() ? nullptr : found->second;
}

}  // namespace

std::shared_ptr<const onnx::FunctionProto> ContribFunctionBody(const std::string& domain, const ContribCall& call) {
  const Writer writer = FindWriter(domain, call.node.op_type());
  if (writer == nullptr) return nullptr;
  Body body(call);
  if (!writer(body)) return nullptr;
  return std::make_shared<onnx::FunctionProto>(std::move(body.function()));
}

std::vector<std::string> ContribFunctions() {
  std::vector<std::string> names;
  for (const auto& [name, writer] : Writers()) names.push_back(name);
  return names;
}

}  // namespace onnxforge::io
