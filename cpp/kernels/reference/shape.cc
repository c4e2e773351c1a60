// Shape and Size.
#include <algorithm>

#include "reference/list.h"

namespace onnxforge::reference {
namespace {

std::unique_ptr<Kernel> MakeShape(const NodeSpec& node) {
  const int64_t start = node.attributes.Int("start", 0);
  const bool has_end = node.attributes.Has("end");
  const int64_t end = node.attributes.Int("end", 0);
  return MakeKernel([=](KernelContext& context) {
    const Shape shape = context.Input(0).shape();
    const auto rank = static_cast<int64_t>(shape.rank());
    const auto clamp = [rank](int64_t i) { return std::clamp(i < 0 ? i + rank : i, int64_t{0}, rank); };
    const int64_t first = clamp(start);
    const int64_t last = std::max(first, has_end ? clamp(end) : rank);
    Tensor& y = context.Output(0, DType::kInt64, {last - first});
    std::copy(shape.begin() + first, shape.begin() + last, y.data<int64_t>());
  });
}

std::unique_ptr<Kernel> MakeSize(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const int64_t elements = context.Input(0).elements();
    *context.Output(0, DType::kInt64, {}).data<int64_t>() = elements;
  });
}

}  // namespace

void AddShape(KernelTable& table) {
  table.Add("", "Shape", {1, 13, 15, 19, 21, 23, 24, 25}, &MakeShape);
  table.Add("", "Size", {1, 13, 19, 21, 23, 24, 25}, &MakeSize);
}

}  // namespace onnxforge::reference
