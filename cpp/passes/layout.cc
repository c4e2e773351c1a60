#include "layout.h"

#include <utility>

namespace onnxforge::passes {

std::vector<int64_t> ToLast(size_t rank) {
  std::vector<int64_t> perm{0};
  for (size_t axis = 2; axis < rank; ++axis) perm.push_back(static_cast<int64_t>(axis));
  perm.push_back(1);
  return perm;
}

std::vector<int64_t> ToFirst(size_t rank) {
  std::vector<int64_t> perm{0, static_cast<int64_t>(rank) - 1};
  for (size_t axis = 1; axis + 1 < rank; ++axis) perm.push_back(static_cast<int64_t>(axis));
  return perm;
}

int64_t AxisInLast(int64_t axis, size_t rank) {
  if (axis < 0) axis += static_cast<int64_t>(rank);
  if (axis == 0) return 0;
  return axis == 1 ? static_cast<int64_t>(rank) - 1 : axis - 1;
}

Type Permuted(const Type& type, const std::vector<int64_t>& perm) {
  Type permuted = type;
  if (!type.shape || type.shape->size() != perm.size()) return permuted;
  for (size_t i = 0; i < perm.size(); ++i) (*permuted.shape)[i] = (*type.shape)[static_cast<size_t>(perm[i])];
  return permuted;
}

ir::ValueId AddTranspose(ir::Patch& patch, ir::ValueId input, const std::string& name, const Type& type,
                         const std::vector<int64_t>& perm) {
  ir::Node node;
  node.name = name + ".transpose";
  node.op_type = "Transpose";
  node.since_version = 13;
  node.inputs = {input};
  node.attributes.Set("perm", perm);
  node.outputs = {patch.AddValue(name, Permuted(type, perm))};
  const ir::ValueId output = node.outputs[0];
  patch.AddNode(std::move(node));
  return output;
}

size_t RankOf(const Type& type) { return type.kind == Type::Kind::kTensor && type.shape ? type.shape->size() : 0; }

}  // namespace onnxforge::passes
