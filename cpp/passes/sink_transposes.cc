// Before: x → Transpose (channels from last to first) → Op → y, for an Op that can work with the channels last.
// After:  x → Op → Transpose → y, so that the Transpose meets one in the other direction, and both go.

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "batch_norm.h"
#include "evaluate.h"
#include "layout.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

constexpr std::string_view kElementwise[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Pow", "PRelu", "Mean"};
constexpr std::string_view kUnary[] = {"Cast", "Not", "IsNaN", "Sign", "Softsign", "Selu", "Celu", "ThresholdedRelu",
                                       "Clip", "Sin", "Cos",   "Gelu", "Elu",      "Swish"};
constexpr std::string_view kPools[] = {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN"};
constexpr std::string_view kReductions[] = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"};

template <size_t kCount>
bool IsOneOf(const ir::Node& node, const std::string_view (&names)[kCount]) {
  return std::any_of(std::begin(names), std::end(names), [&](std::string_view name) { return Is(node, name); });
}

/// `t` seen with `rank` axes and then with its channels last; the standard aligns shapes at the last axis.
Tensor ConstantInLast(const Tensor& t, size_t rank, const PassContext& context) {
  Shape shape;
  for (size_t i = t.rank(); i < rank; ++i) shape.Append(1);
  for (int64_t extent : t.shape()) shape.Append(extent);
  Attributes attributes;
  attributes.Set("perm", ToLast(rank));
  return Evaluate(context, "Transpose", 13, attributes, {t.Reshaped(shape)});
}

/// Elements of a list with one entry per axis, in the order of the axes with the channels last.
template <typename T>
Tensor ReorderedByAxis(const Tensor& t, size_t rank, size_t repeats) {
  const std::vector<T> from = t.To<T>();
  std::vector<T> to;
  for (size_t r = 0; r < repeats; ++r) {
    for (int64_t axis : ToLast(rank)) to.push_back(from[r * rank + static_cast<size_t>(axis)]);
  }
  return Tensor::FromVector(to);
}

class Sinker {
 public:
  Sinker(ir::Graph& graph, const PassContext& context) : graph_(graph), context_(context), patch_(graph) {}

  bool Run() {
    for (ir::NodeId id : graph_.order()) Visit(graph_.node(id));
    if (!changed_) return false;
    patch_.Apply(graph_);
    return true;
  }

 private:
  /// A value with the channels first, in terms of one that has them last.
  struct Source {
    ir::ValueId last;
    size_t rank;
  };

  void Visit(const ir::Node& node) {
    if (Is(node, "Transpose")) return VisitTranspose(node);
    if (node.inputs.empty() || !node.bodies.empty()) return;
    const auto source = sources_.find(node.inputs[0]);
    const bool any =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ir::ValueId id) { return sources_.count(id) != 0; });
    if (!any) return;
    if (IsElementwise(node)) return SinkElementwise(node);
    if (Is(node, "Concat")) return SinkConcat(node);
    if (source == sources_.end()) return;
    const size_t rank = source->second.rank;
    if (IsOneOf(node, kPools)) return SinkPool(node, rank);
    if (Is(node, "BatchNormalization")) return SinkBatchNormalization(node, rank);
    if (Is(node, "Resize") || Is(node, "Upsample")) return SinkResize(node, rank);
    if (Is(node, "Pad")) return SinkPad(node, rank);
    if (Is(node, "Slice")) return SinkSlice(node, rank);
    if (Is(node, "Split")) return SinkSplit(node, rank);
    if (IsOneOf(node, kReductions)) return SinkReduction(node, rank);
    if ((Is(node, "Softmax") || Is(node, "LogSoftmax")) && node.since_version >= 13) SinkSoftmax(node, rank);
  }

  void VisitTranspose(const ir::Node& node) {
    const std::vector<int64_t> perm = node.attributes.Ints("perm");
    const size_t rank = perm.size();
    if (rank < 3) return;
    const auto source = sources_.find(node.inputs[0]);
    if (perm == ToLast(rank) && source != sources_.end() && source->second.rank == rank) {
      if (!CanReplace(graph_, node.outputs[0], source->second.last)) return;
      patch_.ReplaceUses(node.outputs[0], source->second.last);
      changed_ = true;
    } else if (perm == ToFirst(rank)) {
      sources_[node.outputs[0]] = {node.inputs[0], rank};
    }
  }

  /// QuantizeLinear and DequantizeLinear work element by element where they have one scale.
  bool HasOneScale(const ir::Node& node) const {
    if (!Is(node, "QuantizeLinear") && !Is(node, "DequantizeLinear")) return false;
    const Tensor scale = ConstantInput(graph_, node, 1);
    return scale.defined() && scale.elements() == 1 && node.attributes.Int("block_size", 0) == 0;
  }

  bool IsElementwise(const ir::Node& node) const {
    if (IsInternal(node, "FakeQuantize") || IsInternal(node, "QLinearAdd") || IsInternal(node, "Lookup")) return true;
    if (HasOneScale(node)) return true;
    if (!node.domain.empty()) return false;
    if (IsOneOf(node, kElementwise)) return node.since_version >= 7 || node.inputs.size() == 1;
    if (IsOneOf(node, kUnary)) return true;
    return ActivationOf(node.op_type, node.since_version, node.attributes, 1, {}).has_value();
  }

  /// The input as one with the channels last, or nothing where that would cost a Transpose.
  std::optional<ir::ValueId> InLast(ir::ValueId id, size_t rank) {
    if (!id.valid()) return id;
    const auto source = sources_.find(id);
    if (source != sources_.end()) {
      return source->second.rank == rank ? std::optional(source->second.last) : std::nullopt;
    }
    const ir::ValueInfo& info = graph_.value(id);
    if (info.constant.defined()) {
      if (info.constant.elements() == 1 && info.constant.rank() <= rank) return id;
      if (info.constant.rank() > rank) return std::nullopt;
      return patch_.AddConstant(info.name, ConstantInLast(info.constant, rank, context_));
    }
    const auto shape = info.type.StaticShape();
    if (!shape || shape->rank() != rank || shape->elements(2, rank) != 1) return std::nullopt;
    return AddTranspose(patch_, id, info.name, info.type, ToLast(rank));  // moves nothing
  }

  size_t RankOfInputs(const ir::Node& node) const {
    for (ir::ValueId id : node.inputs) {
      const auto source = sources_.find(id);
      if (source != sources_.end()) return source->second.rank;
    }
    return 0;
  }

  void SinkElementwise(const ir::Node& node) {
    const size_t rank = RankOfInputs(node);
    ir::Node sunk = node;
    // Decided before anything is added to the patch.
    for (ir::ValueId id : node.inputs) {
      if (!CanBeLast(id, rank)) return;
    }
    for (ir::ValueId& id : sunk.inputs) id = *InLast(id, rank);
    Replace(node, std::move(sunk), rank);
  }

  bool CanBeLast(ir::ValueId id, size_t rank) const {
    if (!id.valid()) return true;
    const auto source = sources_.find(id);
    if (source != sources_.end()) return source->second.rank == rank;
    const ir::ValueInfo& info = graph_.value(id);
    if (info.constant.defined()) return info.constant.rank() <= rank;
    const auto shape = info.type.StaticShape();
    return shape && shape->rank() == rank && shape->elements(2, rank) == 1;
  }

  void SinkConcat(const ir::Node& node) {
    const size_t rank = RankOfInputs(node);
    for (ir::ValueId id : node.inputs) {
      if (!CanBeLast(id, rank)) return;
      if (graph_.IsConstant(id) && graph_.value(id).constant.rank() != rank) return;
    }
    ir::Node sunk = node;
    for (ir::ValueId& id : sunk.inputs) {
      if (graph_.IsConstant(id)) {
        id = patch_.AddConstant(graph_.value(id).name, ConstantInLast(graph_.value(id).constant, rank, context_));
      } else {
        id = *InLast(id, rank);
      }
    }
    sunk.attributes.Set("axis", AxisInLast(node.attributes.Int("axis", 1), rank));
    Replace(node, std::move(sunk), rank);
  }

  /// The node reading its first input with the channels last.
  ir::Node Reading(const ir::Node& node) const {
    ir::Node sunk = node;
    sunk.inputs[0] = sources_.at(node.inputs[0]).last;
    return sunk;
  }

  bool IsFloat(const ir::Node& node) const { return graph_.value(node.inputs[0]).type.dtype == DType::kFloat32; }

  void SinkPool(const ir::Node& node, size_t rank) {
    const DType dtype = graph_.value(node.inputs[0]).type.dtype;
    const bool bytes = dtype == DType::kInt8 || dtype == DType::kUInt8;
    if (!IsFloat(node) && !(bytes && Is(node, "MaxPool"))) return;
    if (node.outputs.size() > 1 && IsUsed(graph_, node.outputs[1])) return;
    ir::Node sunk = Reading(node);
    sunk.domain = kInternalDomain;
    sunk.since_version = 1;
    sunk.outputs.resize(1);
    Replace(node, std::move(sunk), rank);
  }

  void SinkBatchNormalization(const ir::Node& node, size_t rank) {
    const auto affine = AffineOf(graph_, node);
    if (!affine || !IsFloat(node)) return;
    ir::Node sunk = Reading(node);
    sunk.domain = kInternalDomain;
    sunk.op_type = "Affine";
    sunk.since_version = 1;
    sunk.attributes = {};
    sunk.inputs = {sunk.inputs[0],
                   patch_.AddConstant(node.name + ".scale", FromDoubles(DType::kFloat32, affine->scale)),
                   patch_.AddConstant(node.name + ".shift", FromDoubles(DType::kFloat32, affine->shift))};
    sunk.outputs.resize(1);
    Replace(node, std::move(sunk), rank);
  }

  void SinkResize(const ir::Node& node, size_t rank) {
    if (node.attributes.Has("axes")) return;
    const bool by_roi = Is(node, "Resize") && node.since_version >= 11;
    if (by_roi && node.attributes.String("coordinate_transformation_mode", "") == "tf_crop_and_resize") return;
    ir::Node sunk = Reading(node);
    if (sunk.attributes.Has("scales")) return;  // Upsample-1/7
    const size_t first = by_roi ? 2 : 1;
    bool found = false;
    for (size_t i = first; i < node.inputs.size(); ++i) {
      if (!node.inputs[i].valid()) continue;
      const Tensor list = ConstantInput(graph_, node, i);
      if (!list.defined()) return;
      if (list.elements() == 0) continue;
      if (list.elements() != static_cast<int64_t>(rank)) return;
      sunk.inputs[i] = patch_.AddConstant(graph_.value(node.inputs[i]).name,
                                          list.dtype() == DType::kInt64 ? ReorderedByAxis<int64_t>(list, rank, 1)
                                                                        : ReorderedByAxis<float>(list, rank, 1));
      found = true;
    }
    if (found) Replace(node, std::move(sunk), rank);
  }

  void SinkPad(const ir::Node& node, size_t rank) {
    const Tensor pads = ConstantInput(graph_, node, 1);
    if (node.since_version < 11 || Input(node, 3).valid()) return;
    if (!pads.defined() || pads.dtype() != DType::kInt64 || pads.elements() != static_cast<int64_t>(2 * rank)) return;
    ir::Node sunk = Reading(node);
    sunk.inputs[1] = patch_.AddConstant(graph_.value(node.inputs[1]).name, ReorderedByAxis<int64_t>(pads, rank, 2));
    Replace(node, std::move(sunk), rank);
  }

  void SinkSlice(const ir::Node& node, size_t rank) {
    if (node.since_version < 10) return;
    std::vector<int64_t> axes;
    if (Input(node, 3).valid()) {
      const Tensor given = ConstantInput(graph_, node, 3);
      if (!given.defined()) return;
      axes = given.To<int64_t>();
    } else {
      const Tensor starts = ConstantInput(graph_, node, 1);
      if (!starts.defined()) return;
      for (int64_t i = 0; i < starts.elements(); ++i) axes.push_back(i);
    }
    const Tensor starts = ConstantInput(graph_, node, 1);
    for (int64_t& axis : axes) axis = AxisInLast(axis, rank);
    ir::Node sunk = Reading(node);
    if (sunk.inputs.size() < 4) sunk.inputs.resize(4);
    // starts, ends and axes have one type.
    const bool narrow = graph_.value(node.inputs[1]).type.dtype == DType::kInt32;
    sunk.inputs[3] = patch_.AddConstant(
        node.name + ".axes",
        narrow ? Tensor::FromVector(std::vector<int32_t>(axes.begin(), axes.end())) : Tensor::FromVector(axes));
    Replace(node, std::move(sunk), rank);
  }

  void SinkSplit(const ir::Node& node, size_t rank) {
    ir::Node sunk = Reading(node);
    sunk.attributes.Set("axis", AxisInLast(node.attributes.Int("axis", 0), rank));
    Replace(node, std::move(sunk), rank);
  }

  void SinkSoftmax(const ir::Node& node, size_t rank) {
    ir::Node sunk = Reading(node);
    sunk.attributes.Set("axis", AxisInLast(node.attributes.Int("axis", -1), rank));
    Replace(node, std::move(sunk), rank);
  }

  void SinkReduction(const ir::Node& node, size_t rank) {
    std::vector<int64_t> axes = node.attributes.Ints("axes");
    const bool by_input = Input(node, 1).valid();
    if (by_input) {
      const Tensor given = ConstantInput(graph_, node, 1);
      if (!given.defined()) return;
      axes = given.To<int64_t>();
    }
    if (axes.empty()) return;
    for (int64_t& axis : axes) axis = AxisInLast(axis, rank);
    std::sort(axes.begin(), axes.end());
    ir::Node sunk = Reading(node);
    if (by_input) {
      sunk.inputs[1] = patch_.AddConstant(node.name + ".axes", Tensor::FromVector(axes));
    } else {
      sunk.attributes.Set("axes", axes);
    }
    if (node.attributes.Int("keepdims", 1) != 0) return Replace(node, std::move(sunk), rank);
    // What remains must be in order as it is: [N, C].
    std::vector<int64_t> spatial;
    for (size_t axis = 1; axis + 1 < rank; ++axis) spatial.push_back(static_cast<int64_t>(axis));
    if (axes != spatial) return;
    sunk.outputs = {patch_.AddValue(graph_.value(node.outputs[0]).name, graph_.value(node.outputs[0]).type)};
    patch_.ReplaceUses(node.outputs[0], sunk.outputs[0]);
    patch_.AddNode(std::move(sunk));
    changed_ = true;
  }

  /// Puts `sunk` in the place of `node`, with a Transpose behind each of its outputs.
  void Replace(const ir::Node& node, ir::Node sunk, size_t rank) {
    for (size_t i = 0; i < sunk.outputs.size(); ++i) {
      if (!node.outputs[i].valid()) continue;
      const ir::ValueInfo& result = graph_.value(node.outputs[i]);
      const Type type = Permuted(result.type, ToLast(rank));
      sunk.outputs[i] = patch_.AddValue(result.name, type);
      const ir::ValueId first = AddTranspose(patch_, sunk.outputs[i], result.name, type, ToFirst(rank));
      patch_.ReplaceUses(node.outputs[i], first);
      sources_[node.outputs[i]] = {sunk.outputs[i], rank};
    }
    patch_.AddNode(std::move(sunk));
    changed_ = true;
  }

  ir::Graph& graph_;
  const PassContext& context_;
  ir::Patch patch_;
  std::map<ir::ValueId, Source> sources_;
  bool changed_ = false;
};

}  // namespace

bool SinkTransposes(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  return Sinker(graph, context).Run();
}

}  // namespace onnxforge::passes
