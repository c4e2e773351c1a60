// Softmax and LogSoftmax for float32 along adjacent elements.

#include <cmath>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/table.h"

#include "reference/strided.h"
#include "simd/list.h"
#include "simd/rows.h"

namespace onnxforge::simd {
namespace {

// Elements that are worth another thread.
constexpr int64_t kGrain = 4096;

void SoftmaxRow(const RowOps& ops, const float* x, float* y, size_t n) {
  const float sum = ops.exponentials(x, ops.max(x, n), n, y);
  // A division per element, as the formula has it, costs little beside the exponential and rounds once.
  ops.div(y, 1, &sum, 0, y, static_cast<int64_t>(n));
}

void LogSoftmaxRow(const RowOps& ops, const float* x, float* y, size_t n) {
  const float greatest = ops.max(x, n);
  const float offset = std::log(ops.exponentials(x, greatest, n, y));
  ops.sub(x, 1, &greatest, 0, y, static_cast<int64_t>(n));
  ops.sub(y, 1, &offset, 0, y, static_cast<int64_t>(n));
}

using RowFunction = void (*)(const RowOps& ops, const float* x, float* y, size_t n);

class Lines final : public Kernel {
 public:
  Lines(const NodeSpec& node, RowFunction row, std::unique_ptr<Kernel> other)
      : ops_(RowOpsFor(node.target)),
        row_(row),
        flatten_(node.since_version < 13),
        axis_(node.attributes.Int("axis", node.since_version < 13 ? 1 : -1)),
        other_(std::move(other)) {}

  void Run(KernelContext& context) const override {
    const Tensor x = context.Input(0);
    const int64_t n = LineOf(x.shape());
    if (n <= 0) return other_->Run(context);
    Tensor& y = context.Output(0, DType::kFloat32, x.shape());
    const float* from = x.data<float>();
    float* to = y.data<float>();
    context.Threads().ParallelFor(x.elements() / n, kGrain / n + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) row_(ops_, from + i * n, to + i * n, static_cast<size_t>(n));
    });
  }

 private:
  /// The length of a line of adjacent elements; 0 where lines are not that, or wrong.
  int64_t LineOf(const Shape& shape) const {
    const auto rank = static_cast<int64_t>(shape.rank());
    const int64_t axis = axis_ < 0 ? axis_ + rank : axis_;
    if (axis < 0 || axis >= rank) return 0;
    if (!flatten_ && shape.elements(static_cast<size_t>(axis) + 1, shape.rank()) != 1) return 0;
    return shape.elements(static_cast<size_t>(axis), shape.rank());
  }

  const RowOps& ops_;
  RowFunction row_;
  bool flatten_;  // before version 13 all axes from that one on are one line
  int64_t axis_;
  std::unique_ptr<Kernel> other_;  // for other lines
};

template <RowFunction kRow>
std::unique_ptr<Kernel> MakeLines(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32) return nullptr;
  const KernelFactory reference = ReferenceKernels().Find(node.domain, node.op_type, node.since_version);
  return std::make_unique<Lines>(node, kRow, reference(node));
}

}  // namespace

void AddSoftmax(KernelTable& table) {
  table.Add("", "LogSoftmax", {1, 11, 13}, MakeLines<LogSoftmaxRow>);
  table.Add("", "Softmax", {1, 11, 13}, MakeLines<SoftmaxRow>);
}

}  // namespace onnxforge::simd
