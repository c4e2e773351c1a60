// Before: DequantizeLinear(x), DequantizeLinear(w) → Conv → Relu or Clip → QuantizeLinear → y, as quantisers write it.
// After:  x, w → QLinearConv of the internal domain → y, on bytes, with the bounds as numbers of y's type.
//
// Before: DequantizeLinear(a), DequantizeLinear(b) → MatMul or Gemm → Add of a row → Relu or Clip → QuantizeLinear → y
// After:  a, b → QLinearMatMul of the internal domain → y; without the last one MatMulIntegerToFloat, bounds following.
//
// Before: a, b → MatMulInteger → Cast → Mul by a's scale · b's scale → Add of a row → y, for dynamically quantised a.
// After:  a, b → MatMulIntegerToFloat → y.
//
// Before: DequantizeLinear(a), DequantizeLinear(b) → Add → Relu or Clip → QuantizeLinear → y, of one shape.
// After:  a, b → QLinearAdd of the internal domain → y.
//
// Before: DequantizeLinear(x) → a function of one number → QuantizeLinear → y
// After:  x → Lookup of the internal domain → y, with the results for all bytes in a table.
//
// The integer sums are exact: a result differs from that of the model by what its float32 sums are off, which moves a
// quantised one by a step where it falls on the other side of it, and by a bias rounded to a whole sum.

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "onnxforge/ir/patch.h"
#include "onnxforge/kernels/fused.h"

#include "evaluate.h"
#include "layout.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

constexpr size_t kFoldedBytes = size_t{256} * 1024 * 1024;
// Constants are looked for behind so many nodes: what was quantised in the graph, a bias times its scales.
constexpr int kFoldedDepth = 4;

/// Bytes and what they stand for.
struct Quantised {
  ir::ValueId id;  // invalid where `constant` is known
  Tensor constant;
  Type type;
  Tensor scale;  // float32, one or one per index of `axis`
  Tensor zero;   // of the type of the bytes, as many as `scale` or one
  int64_t axis = 1;

  bool one_scale() const { return scale.elements() == 1; }
};

Tensor Zeros(DType dtype, int64_t count) {
  Tensor t = Tensor::Allocate(dtype, Shape{count});
  std::fill_n(static_cast<uint8_t*>(t.raw()), count, uint8_t{0});
  return t;
}

double Only(const Tensor& t) { return t.To<double>()[0]; }

class Rewriter {
 public:
  Rewriter(ir::Graph& graph, const PassContext& context) : graph_(graph), context_(context), patch_(graph) {}

  bool Run() {
    for (ir::NodeId id : graph_.order()) Visit(id, graph_.node(id));
    if (patch_.empty()) return false;
    patch_.Apply(graph_);
    return true;
  }

 private:
  /// What follows a node and is taken over, and the value that is replaced.
  struct Tail {
    ir::ValueId value;
    std::optional<Activation> bounds;
    const ir::Node* quantize = nullptr;
    Tensor scale, zero;
  };

  void Visit(ir::NodeId id, const ir::Node& node) {
    if (node.outputs.size() != 1) return;
    if (Is(node, "Conv")) return VisitConv(id, node);
    if (Is(node, "MatMul") || Is(node, "Gemm")) return VisitProduct(id, node);
    if (Is(node, "MatMulInteger")) return VisitMatMulInteger(id, node);
    if (Is(node, "Add")) return VisitAdd(id, node);
    VisitUnary(id, node);
  }

  /// The value as a constant, computed where it comes of nothing but constants; undefined otherwise.
  Tensor Constant(ir::ValueId id, int depth = kFoldedDepth) const {
    if (!id.valid()) return {};
    if (graph_.IsConstant(id)) return graph_.value(id).constant;
    const ir::NodeId producer = graph_.producer(id);
    if (depth == 0 || !producer.valid()) return {};
    const ir::Node& node = graph_.node(producer);
    if (node.outputs.size() != 1 || !node.bodies.empty() || IsRandom(node) || node.inputs.empty()) return {};
    std::vector<Tensor> inputs;
    for (ir::ValueId input : node.inputs) {
      inputs.push_back(Constant(input, depth - 1));
      if (input.valid() && !inputs.back().defined()) return {};
    }
    try {
      const std::vector<Value> outputs = Evaluate(context_, node, inputs, {true}, kFoldedBytes);
      return outputs[0].is_tensor() ? outputs[0].tensor() : Tensor();
    } catch (const Error&) {
      return {};  // the run reports it, if it is ever asked for
    }
  }

  Tensor ScaleOf(const ir::Node& node) const {
    const Tensor scale = Constant(Input(node, 1));
    const bool usable = scale.defined() && scale.dtype() == DType::kFloat32 && scale.rank() <= 1 &&
                        node.attributes.Int("block_size", 0) == 0;
    if (!usable) return {};
    const float* scales = scale.data<float>();
    const bool normal =
        std::all_of(scales, scales + scale.elements(), [](float s) { return std::isnormal(s) && s > 0; });
    return normal ? scale : Tensor();
  }

  /// The bytes that `value` is dequantised from.
  std::optional<Quantised> Source(ir::ValueId value) const {
    if (!value.valid() || !graph_.producer(value).valid()) return std::nullopt;
    const ir::Node& node = graph_.node(graph_.producer(value));
    if (!Is(node, "DequantizeLinear") || node.attributes.Int("output_dtype", 1) > 1) return std::nullopt;
    Quantised q;
    q.id = node.inputs[0];
    q.type = graph_.value(q.id).type;
    q.constant = Constant(q.id);
    if (q.constant.defined()) q.type = Type::Tensor(q.constant.dtype(), q.constant.shape());
    q.scale = ScaleOf(node);
    if (q.type.kind != Type::Kind::kTensor || !IsByte(q.type.dtype) || !q.scale.defined()) return std::nullopt;
    q.zero = Zeros(q.type.dtype, 1);
    if (Input(node, 2).valid()) q.zero = Constant(node.inputs[2]);
    if (!q.zero.defined() || q.zero.dtype() != q.type.dtype) return std::nullopt;
    if (q.zero.elements() != 1 && q.zero.elements() != q.scale.elements()) return std::nullopt;
    q.axis = node.attributes.Int("axis", 1);
    return q;
  }

  /// Weights whose scales are one, or one per index of `axis`.
  bool HasScalesAlong(const Quantised& q, int64_t axis) const {
    if (q.one_scale()) return true;
    if (!q.constant.defined()) return false;
    const auto rank = static_cast<int64_t>(q.constant.rank());
    return (q.axis < 0 ? q.axis + rank : q.axis) == axis &&
           q.scale.elements() == q.constant.dim(static_cast<size_t>(axis));
  }

  /// A row of `columns` numbers that is added, the other operand being `value`; undefined where there is none.
  Tensor AddedRow(ir::ValueId value, int64_t columns) const {
    const ir::NodeId reader = OnlyReader(graph_, value);
    if (!reader.valid() || !Is(graph_.node(reader), "Add") || graph_.node(reader).since_version < 7) return {};
    const ir::Node& add = graph_.node(reader);
    const Tensor row = Constant(add.inputs[add.inputs[0] == value ? 1 : 0]);
    const bool fits = row.defined() && row.dtype() == DType::kFloat32 && row.rank() == 1 && row.dim(0) == columns;
    return fits ? row : Tensor();
  }

  ir::ValueId ResultOf(ir::NodeId id) const { return graph_.node(id).outputs[0]; }

  std::optional<Activation> BoundsOf(const ir::Node& node) const {
    if (Is(node, "Relu")) return Activation{"Clip", 0.0f, std::numeric_limits<float>::infinity()};
    if (!Is(node, "Clip") || Input(node, 0) != node.inputs[0]) return std::nullopt;
    std::vector<Tensor> constants;
    for (ir::ValueId input : node.inputs) constants.push_back(Constant(input));
    // A bound in the middle may be left out.
    if (node.inputs.size() == 3 && !node.inputs[1].valid()) {
      constants[1] = Tensor::Scalar(-std::numeric_limits<float>::infinity());
    }
    return onnxforge::ActivationOf(node.op_type, node.since_version, node.attributes, node.inputs.size(), constants);
  }

  Tail TailOf(ir::ValueId value) const {
    Tail tail;
    tail.value = value;
    ir::NodeId reader = OnlyReader(graph_, value);
    if (!reader.valid()) return tail;
    std::optional<Activation> bounds;
    if (const auto found = BoundsOf(graph_.node(reader)); found && graph_.node(reader).inputs[0] == value) {
      bounds = found;
      reader = OnlyReader(graph_, ResultOf(reader));
      if (!reader.valid()) return tail;
    }
    const ir::Node& node = graph_.node(reader);
    if (!Is(node, "QuantizeLinear") || node.attributes.Int("precision", 0) > 1) return tail;
    const Tensor scale = ScaleOf(node);
    if (!scale.defined() || scale.elements() != 1) return tail;
    const auto dtype = static_cast<DType>(node.attributes.Int("output_dtype", 0));
    Tensor zero = Input(node, 2).valid() ? Constant(node.inputs[2])
                                         : Zeros(dtype == DType::kUndefined ? DType::kUInt8 : dtype, 1);
    if (!zero.defined() || !IsByte(zero.dtype()) || zero.elements() != 1) return tail;
    tail.bounds = std::move(bounds);
    tail.quantize = &node;
    tail.value = node.outputs[0];
    tail.scale = scale;
    tail.zero = std::move(zero);
    return tail;
  }

  /// What the bounds are as numbers of the quantised type.
  void SetBounds(ir::Node& node, const Tail& tail) const {
    if (!tail.bounds) return;
    const bool is_signed = tail.zero.dtype() == DType::kInt8;
    const auto quantised = [&](float bound) {
      const double quotient = bound / *tail.scale.data<float>();
      const double whole = std::nearbyint(quotient) + Only(tail.zero);
      return static_cast<int64_t>(std::clamp(whole, is_signed ? -128.0 : 0.0, is_signed ? 127.0 : 255.0));
    };
    const int64_t most = quantised(tail.bounds->beta);
    node.attributes.Set("least", std::min(quantised(tail.bounds->alpha), most));
    node.attributes.Set("most", most);
  }

  /// The bias as a whole number of x's scale · w's scale; undefined where it does not fit.
  static Tensor WholeBias(const Tensor& bias, const Tensor& x_scale, const Tensor& w_scale) {
    const int64_t count = bias.elements();
    Tensor whole = Tensor::Allocate(DType::kInt32, Shape{count});
    const float* scales = w_scale.data<float>();
    for (int64_t i = 0; i < count; ++i) {
      const double step = static_cast<double>(*x_scale.data<float>()) * scales[w_scale.elements() == 1 ? 0 : i];
      const double value = std::nearbyint(bias.data<float>()[i] / step);
      // The sums have to have room beside it.
      if (!(std::fabs(value) < static_cast<double>(1 << 30))) return {};
      whole.data<int32_t>()[i] = static_cast<int32_t>(value);
    }
    return whole;
  }

  ir::ValueId Add(const std::string& name, const Tensor& t) { return patch_.AddConstant(name, t); }
  ir::ValueId AddBytes(const ir::Node& node, const Quantised& q) {
    return q.constant.defined() ? Add(node.name + ".weights", q.constant) : q.id;
  }

  ir::Node Internal(const ir::Node& node, const char* op_type) const {
    ir::Node internal;
    internal.name = node.name;
    internal.domain = kInternalDomain;
    internal.op_type = op_type;
    internal.since_version = 1;
    return internal;
  }

  /// a, a's scale, a's zero point, b, …
  std::vector<ir::ValueId> Operands(const ir::Node& node, const Quantised& a, const Quantised& b) {
    return {AddBytes(node, a), Add(node.name + ".a_scale", a.scale), Add(node.name + ".a_zero", a.zero),
            AddBytes(node, b), Add(node.name + ".b_scale", b.scale), Add(node.name + ".b_zero", b.zero)};
  }

  void AppendResult(ir::Node& node, const Tail& tail) {
    node.inputs.push_back(Add(node.name + ".y_scale", tail.scale));
    node.inputs.push_back(Add(node.name + ".y_zero", tail.zero));
    SetBounds(node, tail);
  }

  void Replace(ir::NodeId id, ir::Node node, ir::ValueId value) {
    const ir::ValueInfo& result = graph_.value(value);
    node.outputs = {patch_.AddValue(result.name, result.type)};
    patch_.ReplaceUses(value, node.outputs[0]);
    patch_.AddNode(std::move(node));
    patch_.RemoveNode(id);
  }

  void VisitConv(ir::NodeId id, const ir::Node& conv) {
    const auto x = Source(Input(conv, 0));
    const auto w = Source(Input(conv, 1));
    if (!x || !w || !x->one_scale() || !w->constant.defined() || !HasScalesAlong(*w, 0)) return;
    const size_t rank = w->constant.rank();
    if ((rank != 3 && rank != 4) || w->constant.elements() == 0 || RankOf(x->type) != rank) return;
    const Tail tail = TailOf(conv.outputs[0]);
    if (tail.quantize == nullptr) return;
    Tensor bias;
    if (Input(conv, 2).valid()) {
      const Tensor real = Constant(conv.inputs[2]);
      if (!real.defined() || real.dtype() != DType::kFloat32 || real.elements() != w->constant.dim(0)) return;
      bias = WholeBias(real, x->scale, w->scale);
      if (!bias.defined()) return;
    }
    ir::Node node = Internal(conv, "QLinearConv");
    node.attributes = conv.attributes;
    node.inputs = Operands(conv, *x, *w);
    node.inputs[0] = AddTranspose(patch_, node.inputs[0], conv.name + ".image", x->type, ToLast(rank));
    AppendResult(node, tail);
    if (bias.defined()) node.inputs.push_back(Add(conv.name + ".bias", bias));
    const ir::ValueInfo& y = graph_.value(tail.value);
    const Type type = Permuted(y.type, ToLast(rank));
    node.outputs = {patch_.AddValue(y.name, type)};
    patch_.ReplaceUses(tail.value, AddTranspose(patch_, node.outputs[0], y.name, type, ToFirst(rank)));
    patch_.AddNode(std::move(node));
    patch_.RemoveNode(id);
  }

  void VisitProduct(ir::NodeId id, const ir::Node& product) {
    const bool gemm = Is(product, "Gemm");
    if (gemm && (product.attributes.Float("alpha", 1.0f) != 1.0f || product.attributes.Float("beta", 1.0f) != 1.0f ||
                 product.attributes.Int("transA", 0) != 0)) {
      return;
    }
    const bool transposed = gemm && product.attributes.Int("transB", 0) != 0;
    const auto a = Source(Input(product, 0));
    const auto b = Source(Input(product, 1));
    if (!a || !b || !a->one_scale() || RankOf(a->type) < 2 || RankOf(b->type) < 2) return;
    const size_t rank = RankOf(b->type);
    if (!HasScalesAlong(*b, static_cast<int64_t>(transposed ? rank - 2 : rank - 1))) return;
    if (!b->one_scale() && rank != 2) return;
    ir::ValueId last = product.outputs[0];
    Tensor bias;
    if (b->constant.defined() && rank == 2) {
      const int64_t columns = b->constant.dim(transposed ? 0 : 1);
      if (Input(product, 2).valid()) {
        bias = Constant(product.inputs[2]);
        if (!bias.defined() || bias.dtype() != DType::kFloat32 || bias.elements() != columns) return;
        bias = bias.Reshaped(Shape{columns});
      } else {
        bias = AddedRow(last, columns);
        if (bias.defined()) last = ResultOf(OnlyReader(graph_, last));
      }
    } else if (Input(product, 2).valid()) {
      return;
    }
    Tail tail = TailOf(last);
    Tensor whole;
    if (tail.quantize != nullptr && bias.defined()) {
      whole = WholeBias(bias, a->scale, b->scale);
      if (!whole.defined()) tail = Tail{last, {}, nullptr, {}, {}};
    }
    const bool to_float = tail.quantize == nullptr;
    ir::Node node = Internal(product, to_float ? "MatMulIntegerToFloat" : "QLinearMatMul");
    node.inputs = Operands(product, *a, *b);
    if (transposed) node.attributes.Set("transB", int64_t{1});
    if (!to_float) AppendResult(node, tail);
    if (bias.defined()) node.inputs.push_back(Add(product.name + ".bias", to_float ? bias : whole));
    Replace(id, std::move(node), tail.value);
  }

  void VisitMatMulInteger(ir::NodeId id, const ir::Node& product) {
    const Tensor b = ConstantInput(graph_, product, 1);
    const Tensor b_zero = Input(product, 3).valid() ? ConstantInput(graph_, product, 3) : Zeros(DType::kInt8, 1);
    if (!b.defined() || b.rank() != 2 || !b_zero.defined()) return;
    if (b_zero.elements() != 1 && (b_zero.rank() != 1 || b_zero.dim(0) != b.dim(1))) return;
    const ir::ValueId a_zero = Input(product, 2);
    const ir::NodeId quantizer = a_zero.valid() ? graph_.producer(a_zero) : ir::NodeId{};
    if (!quantizer.valid() || !Is(graph_.node(quantizer), "DynamicQuantizeLinear")) return;
    const ir::Node& dynamic = graph_.node(quantizer);
    if (product.inputs[0] != dynamic.outputs[0] || a_zero != Output(dynamic, 2)) return;
    const ir::NodeId cast = OnlyReader(graph_, product.outputs[0]);
    if (!cast.valid() || !Is(graph_.node(cast), "Cast") || graph_.node(cast).attributes.Int("to", 0) != 1) return;
    const ir::NodeId scaled = OnlyReader(graph_, ResultOf(cast));
    if (!scaled.valid() || !Is(graph_.node(scaled), "Mul")) return;
    const ir::Node& mul = graph_.node(scaled);
    const ir::ValueId scale = mul.inputs[mul.inputs[0] == ResultOf(cast) ? 1 : 0];
    const ir::ValueId b_scale = OtherFactor(scale, Output(dynamic, 1), b.dim(1));
    if (!b_scale.valid()) return;
    ir::ValueId last = ResultOf(scaled);
    const Tensor bias = AddedRow(last, b.dim(1));
    if (bias.defined()) last = ResultOf(OnlyReader(graph_, last));
    ir::Node node = Internal(product, "MatMulIntegerToFloat");
    node.inputs = {product.inputs[0], Output(dynamic, 1), a_zero, product.inputs[1], b_scale, Input(product, 3)};
    if (bias.defined()) node.inputs.push_back(Add(product.name + ".bias", bias));
    Replace(id, std::move(node), last);
  }

  void VisitAdd(ir::NodeId id, const ir::Node& add) {
    if (add.since_version < 7 || !HaveSameShape(graph_, add.inputs[0], add.inputs[1])) return;
    const auto a = Source(add.inputs[0]);
    const auto b = Source(add.inputs[1]);
    if (!a || !b || !a->one_scale() || !b->one_scale()) return;
    const Tail tail = TailOf(add.outputs[0]);
    if (tail.quantize == nullptr) return;
    ir::Node node = Internal(add, "QLinearAdd");
    node.inputs = Operands(add, *a, *b);
    AppendResult(node, tail);
    Replace(id, std::move(node), tail.value);
  }

  void VisitUnary(ir::NodeId id, const ir::Node& function) {
    if (!function.domain.empty() || function.inputs.empty()) return;
    const auto x = Source(function.inputs[0]);
    if (!x || !x->one_scale() || x->constant.defined()) return;
    const bool clip = BoundsOf(function).has_value();
    if (!clip && !onnxforge::ActivationOf(function.op_type, function.since_version, function.attributes,
                                          function.inputs.size(), {})) {
      return;
    }
    const ir::NodeId reader = OnlyReader(graph_, function.outputs[0]);
    if (!reader.valid() || !Is(graph_.node(reader), "QuantizeLinear")) return;
    Tensor table;
    try {
      table = TableOf(*x, function, graph_.node(reader));
    } catch (const Error&) {
      return;  // the run reports it
    }
    if (!table.defined()) return;
    ir::Node node = Internal(function, "Lookup");
    node.inputs = {x->id};
    node.attributes.Set("table", table);
    Replace(id, std::move(node), ResultOf(reader));
  }

  /// What the three nodes make of every byte; undefined where that is not a byte each.
  Tensor TableOf(const Quantised& x, const ir::Node& function, const ir::Node& quantize) const {
    Tensor bytes = Tensor::Allocate(x.type.dtype, Shape{256});
    for (int i = 0; i < 256; ++i) static_cast<uint8_t*>(bytes.raw())[i] = static_cast<uint8_t>(i);
    Tensor values = Evaluate(context_, "DequantizeLinear", 13, {}, {bytes, x.scale, x.zero});
    for (const ir::Node* node : {&function, &quantize}) {
      std::vector<Tensor> inputs = {values};
      for (size_t i = 1; i < node->inputs.size(); ++i) {
        inputs.push_back(Constant(node->inputs[i]));
        if (node->inputs[i].valid() && !inputs.back().defined()) return {};
      }
      if (node == &quantize && inputs[1].elements() != 1) return {};
      const std::vector<Value> results = Evaluate(context_, *node, inputs, {true}, kFoldedBytes);
      values = results[0].tensor();
    }
    return IsByte(values.dtype()) && values.bytes() == 256 ? values : Tensor();
  }

  static ir::ValueId Output(const ir::Node& node, size_t i) {
    return i < node.outputs.size() ? node.outputs[i] : ir::ValueId{};
  }

  /// What is multiplied with `factor` to give `product`: a constant, one or one per column; invalid otherwise.
  ir::ValueId OtherFactor(ir::ValueId product, ir::ValueId factor, int64_t columns) const {
    const ir::NodeId producer = product.valid() ? graph_.producer(product) : ir::NodeId{};
    if (!producer.valid() || !factor.valid() || !Is(graph_.node(producer), "Mul")) return {};
    const ir::Node& mul = graph_.node(producer);
    if (mul.inputs[0] != factor && mul.inputs[1] != factor) return {};
    const ir::ValueId other = mul.inputs[mul.inputs[0] == factor ? 1 : 0];
    if (!graph_.IsConstant(other)) return {};
    const Tensor& scale = graph_.value(other).constant;
    const bool fits =
        scale.dtype() == DType::kFloat32 && scale.rank() <= 1 && (scale.elements() == 1 || scale.elements() == columns);
    return fits ? other : ir::ValueId{};
  }

  ir::Graph& graph_;
  const PassContext& context_;
  ir::Patch patch_;
};

}  // namespace

bool UseIntegerKernels(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  return Rewriter(graph, context).Run();
}

}  // namespace onnxforge::passes
