// Before: x → Op → Add(·, z) → y, with Op a Conv or MatMul of the internal domain, or a MatMul that becomes one; nobody
//         else reads between them.
// After:  x → Op → y with z as its bias, where it is constant and has one number per column or channel; or as its
//         residual, where it is known to have the result's shape.

#include <map>
#include <optional>
#include <utility>

#include "onnxforge/ir/patch.h"
#include "onnxforge/kernels/fused.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

constexpr size_t kBias = 2;
constexpr size_t kResidual = 3;

bool IsProduct(const ir::Graph& graph, const ir::Node& node) {
  if (IsInternal(node, "Conv") || IsInternal(node, "MatMul")) return true;
  return Is(node, "MatMul") && IsFloat32(graph, node.inputs[0]) && IsFloat32(graph, node.inputs[1]);
}

/// The columns of the result, where they are known: those of constant weights.
std::optional<int64_t> ColumnsOf(const ir::Graph& graph, const ir::Node& node) {
  const Tensor weights = ConstantInput(graph, node, 1);
  if (!weights.defined() || weights.rank() < 2) return std::nullopt;
  if (node.op_type == "Conv") return weights.dim(0);
  return weights.dim(node.attributes.Int("transB", 0) != 0 ? weights.rank() - 2 : weights.rank() - 1);
}

/// The constant as [columns], where it is a row that does not make the result larger.
Tensor AsBias(const ir::Graph& graph, const ir::Node& product, const Tensor& t) {
  const auto columns = ColumnsOf(graph, product);
  if (!columns || !t.defined() || t.dtype() != DType::kFloat32 || t.rank() == 0) return {};
  if (t.elements() != *columns || t.dim(t.rank() - 1) != *columns) return {};
  const Type& type = graph.value(product.outputs[0]).type;
  if (!type.shape || type.shape->size() < t.rank()) return {};
  return t.Reshaped({*columns});
}

class AddFuser {
 public:
  explicit AddFuser(ir::Graph& graph) : graph_(graph), patch_(graph) {}

  bool Run() {
    for (ir::NodeId id : graph_.order()) Visit(id);
    if (patch_.empty()) return false;
    patch_.Apply(graph_);
    return true;
  }

 private:
  void Visit(ir::NodeId id) {
    const ir::Node& add = graph_.node(id);
    if (!Is(add, "Add") && !Is(add, "Sum")) return;
    if (add.inputs.size() != 2 || add.since_version < 7 || add.inputs[0] == add.inputs[1]) return;
    for (size_t side : {size_t{0}, size_t{1}}) {
      const ir::NodeId producer = graph_.producer(add.inputs[side]);
      if (!producer.valid() || taken_[producer] || OnlyReader(graph_, add.inputs[side]) != id) continue;
      if (Fuse(id, producer, add.inputs[1 - side])) return;
    }
  }

  bool Fuse(ir::NodeId add_id, ir::NodeId product_id, ir::ValueId other) {
    const ir::Node& add = graph_.node(add_id);
    const ir::Node& product = graph_.node(product_id);
    if (product.outputs.size() != 1 || !IsProduct(graph_, product)) return false;
    ir::Node fused = product;
    fused.inputs.resize(4);
    const bool activated = product.attributes.Has("activation") || product.attributes.Has("lo");
    const bool free = !fused.inputs[kResidual].valid();
    const Tensor bias = AsBias(graph_, product, graph_.value(other).constant);
    if (bias.defined() && !fused.inputs[kBias].valid() && free && !activated) {
      fused.inputs[kBias] = patch_.AddConstant(graph_.value(other).name, bias);
    } else if (free && IsFloat32(graph_, other) && HaveSameShape(graph_, other, product.outputs[0])) {
      fused.inputs[kResidual] = other;
      if (activated) fused.attributes.Set("residual_last", int64_t{1});
    } else {
      return false;
    }
    fused.domain = kInternalDomain;
    if (product.domain.empty()) fused.since_version = 1;
    const ir::ValueInfo& result = graph_.value(add.outputs[0]);
    fused.outputs = {patch_.AddValue(result.name, result.type)};
    patch_.ReplaceUses(add.outputs[0], fused.outputs[0]);
    patch_.AddNode(std::move(fused));
    patch_.RemoveNode(add_id);
    patch_.RemoveNode(product_id);
    taken_[product_id] = true;
    return true;
  }

  ir::Graph& graph_;
  ir::Patch patch_;
  std::map<ir::NodeId, bool> taken_;
};

}  // namespace

bool FuseAdd(ir::Graph& graph, const PassContext& context) { return context.tier.simd() && AddFuser(graph).Run(); }

}  // namespace onnxforge::passes
