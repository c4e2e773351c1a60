// Before: a, b → Einsum of two terms that share one summed letter and each have one of their own, "bct,bcs->bts" → y.
// After:  a → Transpose, b → Transpose → MatMul → Transpose → y, without the Transposes that change nothing.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "onnxforge/ir/patch.h"

#include "layout.h"
#include "list.h"
#include "match.h"

namespace onnxforge::passes {
namespace {

/// The letters of a product of matrices.
struct Product {
  std::string a, b, y;
  std::string batch;  // in all three, in the order that they have in y
  char row = 0;       // in a and y
  char column = 0;    // in b and y
  char depth = 0;     // in a and b
};

bool Has(const std::string& term, char letter) { return term.find(letter) != std::string::npos; }

/// Whether a term is letters alone, none of them twice.
bool IsPlain(const std::string& term) {
  return std::all_of(term.begin(), term.end(), [&](char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter && std::count(term.begin(), term.end(), c) == 1;
  });
}

bool SetOnce(char& slot, char letter) {
  if (slot != 0) return false;
  slot = letter;
  return true;
}

/// The equation as a product, where it is one.
std::optional<Product> ReadProduct(std::string equation) {
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  const size_t comma = equation.find(',');
  const size_t arrow = equation.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || comma > arrow) return std::nullopt;
  Product p;
  p.a = equation.substr(0, comma);
  p.b = equation.substr(comma + 1, arrow - comma - 1);
  p.y = equation.substr(arrow + 2);
  if (!IsPlain(p.a) || !IsPlain(p.b) || !IsPlain(p.y)) return std::nullopt;
  for (char letter : p.a) {
    if (Has(p.b, letter) && Has(p.y, letter)) continue;
    const bool summed = Has(p.b, letter);
    if (summed == Has(p.y, letter) || !SetOnce(summed ? p.depth : p.row, letter)) return std::nullopt;
  }
  for (char letter : p.b) {
    if (Has(p.a, letter)) continue;
    if (!Has(p.y, letter) || !SetOnce(p.column, letter)) return std::nullopt;
  }
  for (char letter : p.y) {
    if (Has(p.a, letter) && Has(p.b, letter)) p.batch += letter;
  }
  const bool whole = p.row != 0 && p.column != 0 && p.depth != 0 && p.y.size() == p.batch.size() + 2;
  return whole ? std::optional<Product>(std::move(p)) : std::nullopt;
}

/// How `from` is transposed to `to`, a permutation of its letters.
std::vector<int64_t> Order(const std::string& from, const std::string& to) {
  std::vector<int64_t> perm;
  for (char letter : to) perm.push_back(static_cast<int64_t>(from.find(letter)));
  return perm;
}

/// Einsum repeats an axis of extent 1 to the other's, also one that is summed; MatMul does so for a batch only.
bool HasOneDepth(const ir::Graph& graph, const ir::Node& einsum, const Product& p) {
  const auto& a = graph.value(einsum.inputs[0]).type.shape;
  const auto& b = graph.value(einsum.inputs[1]).type.shape;
  if (!a || !b || a->size() != p.a.size() || b->size() != p.b.size()) return false;
  return IsSame((*a)[p.a.find(p.depth)], (*b)[p.b.find(p.depth)]);
}

ir::ValueId Turned(ir::Patch& patch, const ir::Graph& graph, ir::ValueId x, const std::string& from,
                   const std::string& to) {
  const ir::ValueInfo& info = graph.value(x);
  return from == to ? x : AddTranspose(patch, x, info.name, info.type, Order(from, to));
}

void Replace(ir::Patch& patch, const ir::Graph& graph, const ir::Node& einsum, const Product& p) {
  const std::string made = p.batch + p.row + p.column;
  const ir::ValueInfo& result = graph.value(einsum.outputs[0]);
  const bool known = result.type.shape && result.type.shape->size() == p.y.size();
  const Type type = known ? Permuted(result.type, Order(p.y, made)) : Type::Tensor(DType::kFloat32);
  ir::Node node;
  node.name = einsum.name;
  node.op_type = "MatMul";
  node.since_version = 13;
  node.inputs = {Turned(patch, graph, einsum.inputs[0], p.a, p.batch + p.row + p.depth),
                 Turned(patch, graph, einsum.inputs[1], p.b, p.batch + p.depth + p.column)};
  node.outputs = {patch.AddValue(result.name, type)};
  ir::ValueId y = node.outputs[0];
  patch.AddNode(std::move(node));
  if (made != p.y) y = AddTranspose(patch, y, result.name, type, Order(made, p.y));
  patch.ReplaceUses(einsum.outputs[0], y);
}

}  // namespace

bool UseMatmulForEinsum(ir::Graph& graph, const PassContext& context) {
  if (!context.tier.simd()) return false;
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    const ir::Node& einsum = graph.node(id);
    if (!Is(einsum, "Einsum") || einsum.inputs.size() != 2) continue;
    if (!IsFloat32(graph, einsum.inputs[0]) || !IsFloat32(graph, einsum.inputs[1])) continue;
    const auto product = ReadProduct(einsum.attributes.Get<std::string>("equation"));
    if (!product || !HasOneDepth(graph, einsum, *product)) continue;
    Replace(patch, graph, einsum, *product);
    patch.RemoveNode(id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);
  return true;
}

}  // namespace onnxforge::passes
