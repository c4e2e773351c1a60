// Before: x → Conv or Affine of the internal domain → Mul or Add with one constant per channel, or Affine → y.
// After:  x → Conv or Affine with other weights → y. Exporters write the scales of Caffe's layers so. Where an
// activation
//         stands between, one number is applied after it.

#include <map>
#include <optional>
#include <utility>

#include "onnxforge/ir/patch.h"
#include "onnxforge/kernels/fused.h"

#include "batch_norm.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

/// A constant along the last axis, or one number, for so many channels; empty when it is anything else.
std::vector<double> AlongLast(const Tensor& t, size_t channels) {
  if (!t.defined() || t.dtype() != DType::kFloat32) return {};
  if (t.elements() == 1) return std::vector<double>(channels, t.To<double>()[0]);
  if (t.elements() != static_cast<int64_t>(channels) || t.dim(t.rank() - 1) != t.elements()) return {};
  return t.To<double>();
}

/// What the node does to `value`, which has so many channels.
std::optional<ChannelAffine> ScaleOf(const ir::Graph& graph, const ir::Node& node, ir::ValueId value, size_t channels) {
  ChannelAffine affine;
  if (IsInternal(node, "Affine")) {
    affine.scale = AlongLast(ConstantInput(graph, node, 1), channels);
    affine.shift = AlongLast(ConstantInput(graph, node, 2), channels);
  } else if ((Is(node, "Mul") || Is(node, "Add")) && node.inputs.size() == 2 && node.since_version >= 7) {
    const size_t other = node.inputs[0] == value ? 1 : 0;
    const std::vector<double> numbers = AlongLast(ConstantInput(graph, node, other), channels);
    const bool multiplies = Is(node, "Mul");
    affine.scale = multiplies ? numbers : std::vector<double>(numbers.size(), 1.0);
    affine.shift = multiplies ? std::vector<double>(numbers.size(), 0.0) : numbers;
    // The constant must not give the result more axes than the value has.
    const Type& type = graph.value(value).type;
    if (!type.shape || ConstantInput(graph, node, other).rank() > type.shape->size()) return std::nullopt;
  }
  if (affine.scale.empty() || affine.shift.empty()) return std::nullopt;
  return affine;
}

class ScaleFuser {
 public:
  ScaleFuser(ir::Graph& graph, const PassContext& context) : graph_(graph), context_(context), patch_(graph) {}

  bool Run() {
    for (ir::NodeId id : graph_.order()) Visit(id);
    if (patch_.empty()) return false;
    patch_.Apply(graph_);
    return true;
  }

 private:
  void Visit(ir::NodeId id) {
    const ir::Node& producer = graph_.node(id);
    const bool conv = IsInternal(producer, "Conv");
    if ((!conv && !IsInternal(producer, "Affine")) || taken_[id]) return;
    if (producer.attributes.Int("residual_last", 0) != 0) return;
    if (producer.attributes.Has("activation") || producer.attributes.Has("lo") || Input(producer, 3).valid()) {
      return ScaleAfter(id);
    }
    const ir::NodeId reader = OnlyReader(graph_, producer.outputs[0]);
    if (!graph_.IsConstant(Input(producer, 1)) || !reader.valid()) return;
    const Tensor& weights = graph_.value(producer.inputs[1]).constant;
    const auto channels = static_cast<size_t>(conv ? weights.dim(0) : weights.elements());
    const auto after = ScaleOf(graph_, graph_.node(reader), producer.outputs[0], channels);
    if (!after) return;
    std::vector<double> shift(channels, 0.0);
    if (Input(producer, 2).valid()) {
      shift = ChannelNumbers(ConstantInput(graph_, producer, 2), static_cast<int64_t>(channels));
    }
    if (shift.empty()) return;
    for (size_t c = 0; c < channels; ++c) shift[c] = shift[c] * after->scale[c] + after->shift[c];
    Replace(id, reader, conv ? ScaledWeights(context_, graph_, producer, after->scale) : Product(weights, after->scale),
            FromDoubles(DType::kFloat32, shift));
  }

  /// What one number is multiplied with or added to after the activation.
  void ScaleAfter(ir::NodeId id) {
    const ir::Node& producer = graph_.node(id);
    const ir::NodeId reader = OnlyReader(graph_, producer.outputs[0]);
    if (!reader.valid()) return;
    const ir::Node& last = graph_.node(reader);
    if ((!Is(last, "Mul") && !Is(last, "Add")) || last.since_version < 7) return;
    const auto number = ConstantNumber(graph_, last, last.inputs[0] == producer.outputs[0] ? 1 : 0);
    if (!number) return;
    float scale = producer.attributes.Float("post_scale", 1.0f);
    float shift = producer.attributes.Float("post_shift", 0.0f);
    const auto by = static_cast<float>(*number);
    if (Is(last, "Mul")) {
      scale *= by;
      shift *= by;
    } else {
      shift += by;
    }
    const ir::ValueInfo& result = graph_.value(last.outputs[0]);
    ir::Node fused = producer;
    fused.attributes.Set("post_scale", scale);
    fused.attributes.Set("post_shift", shift);
    fused.outputs = {patch_.AddValue(result.name, result.type)};
    patch_.ReplaceUses(last.outputs[0], fused.outputs[0]);
    patch_.AddNode(std::move(fused));
    patch_.RemoveNode(id);
    patch_.RemoveNode(reader);
    taken_[reader] = true;
  }

  static Tensor Product(const Tensor& a, const std::vector<double>& b) {
    std::vector<double> product = a.To<double>();
    for (size_t i = 0; i < b.size(); ++i) product[i] *= b[i];
    return FromDoubles(DType::kFloat32, product);
  }

  void Replace(ir::NodeId id, ir::NodeId reader, Tensor weights, Tensor shift) {
    const ir::Node& last = graph_.node(reader);
    const ir::ValueInfo& result = graph_.value(last.outputs[0]);
    ir::Node fused = graph_.node(id);
    fused.inputs.resize(3);
    fused.inputs[1] = patch_.AddConstant(graph_.value(fused.inputs[1]).name, std::move(weights));
    fused.inputs[2] = patch_.AddConstant(fused.name + ".bias", std::move(shift));
    if (IsInternal(last, "Affine")) {  // it may have an activation
      for (const auto& [name, value] : last.attributes) fused.attributes.Set(name, value);
    }
    fused.outputs = {patch_.AddValue(result.name, result.type)};
    patch_.ReplaceUses(last.outputs[0], fused.outputs[0]);
    patch_.AddNode(std::move(fused));
    patch_.RemoveNode(id);
    patch_.RemoveNode(reader);
    taken_[reader] = true;
  }

  ir::Graph& graph_;
  const PassContext& context_;
  ir::Patch patch_;
  std::map<ir::NodeId, bool> taken_;
};

}  // namespace

bool FuseScale(ir::Graph& graph, const PassContext& context) {
  return context.tier.simd() && ScaleFuser(graph, context).Run();
}

}  // namespace onnxforge::passes
