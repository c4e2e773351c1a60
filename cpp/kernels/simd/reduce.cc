// ReduceMean, ReduceSum and ReduceMax of float32 over axes that lie side by side, and the global pools of images with
// the channels first.

#include <algorithm>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/table.h"

#include "reference/strided.h"
#include "reference/window.h"
#include "simd/list.h"
#include "simd/rows.h"

namespace onnxforge::simd {
namespace {

enum class Fold { kMax, kMean, kSum };

// Elements that are worth another thread.
constexpr int64_t kGrain = 16384;

class Reduce final : public Kernel {
 public:
  Reduce(const NodeSpec& node, Fold fold, std::unique_ptr<Kernel> other)
      : ops_(RowOpsFor(node.target)),
        fold_(fold),
        axes_(node.attributes.Ints("axes")),
        keep_(node.attributes.Int("keepdims", 1) != 0),
        other_(std::move(other)) {}

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    std::vector<int64_t> given = axes_;
    if (const Tensor* input = context.OptionalInput(1)) given = input->To<int64_t>();
    if (given.empty() || x.elements() == 0) return other_->Run(context);  // all axes, or none
    std::vector<size_t> axes = reference::NormalizeAxes(given, x.rank());
    std::sort(axes.begin(), axes.end());
    if (axes.back() - axes.front() + 1 != axes.size()) return other_->Run(context);
    Shape shape;
    for (size_t axis = 0; axis < x.rank(); ++axis) {
      const bool folded = axis >= axes.front() && axis <= axes.back();
      if (!folded) shape.Append(x.dim(axis));
      if (folded && keep_) shape.Append(1);
    }
    Tensor& y = context.Output(0, DType::kFloat32, shape);
    const int64_t n = x.shape().elements(axes.front(), axes.back() + 1);
    const int64_t inner = x.shape().elements(axes.back() + 1, x.rank());
    const int64_t outer = x.elements() / (n * inner);
    const float* from = x.data<float>();
    float* to = y.data<float>();
    context.Threads().ParallelFor(outer, kGrain / (n * inner) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) FoldOne(from + i * n * inner, n, inner, to + i * inner);
    });
  }

 private:
  /// [n, inner] → [inner]
  void FoldOne(const float* x, int64_t n, int64_t inner, float* y) const {
    const auto count = static_cast<size_t>(n);
    const float factor = fold_ == Fold::kMean ? 1.0f / static_cast<float>(n) : 1.0f;
    if (inner == 1) {
      *y = fold_ == Fold::kMax    ? ops_.max(x, count)
           : fold_ == Fold::kMean ? ops_.sum(x, count) / static_cast<float>(n)
                                  : ops_.sum(x, count);
      return;
    }
    std::vector<const float*> rows(count);
    for (size_t i = 0; i < count; ++i) rows[i] = x + i * static_cast<size_t>(inner);
    if (fold_ == Fold::kMax) {
      ops_.max_of(rows.data(), count, static_cast<size_t>(inner), y);
    } else {
      ops_.sum_of(rows.data(), count, static_cast<size_t>(inner), factor, y);
    }
  }

  const RowOps& ops_;
  Fold fold_;
  std::vector<int64_t> axes_;
  bool keep_;
  std::unique_ptr<Kernel> other_;  // for other axes
};

template <Fold kFold>
std::unique_ptr<Kernel> MakeReduce(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32) return nullptr;
  const KernelFactory reference = ReferenceKernels().Find(node.domain, node.op_type, node.since_version);
  return std::make_unique<Reduce>(node, kFold, reference(node));
}

/// GlobalAveragePool and GlobalMaxPool: a row of pixels per channel.
template <Fold kFold>
std::unique_ptr<Kernel> MakeGlobalPool(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32) return nullptr;
  return MakeKernel([&ops = RowOpsFor(node.target)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const std::vector<int64_t> ones(reference::SpatialOf(x.shape()).size(), 1);
    Tensor& y = context.Output(0, DType::kFloat32, reference::WithSpatial(x.dim(0), x.dim(1), ones));
    const int64_t plane = x.shape().elements(2, x.rank());
    const auto count = static_cast<size_t>(plane);
    const float* from = x.data<float>();
    float* to = y.data<float>();
    context.Threads().ParallelFor(y.elements(), kGrain / (plane + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* row = from + i * plane;
        to[i] = kFold == Fold::kMax ? ops.max(row, count) : ops.sum(row, count) / static_cast<float>(plane);
      }
    });
  });
}

}  // namespace

void AddReduce(KernelTable& table) {
  table.Add("", "GlobalAveragePool", {1, 22}, MakeGlobalPool<Fold::kMean>);
  table.Add("", "GlobalMaxPool", {1, 22}, MakeGlobalPool<Fold::kMax>);
  table.Add("", "ReduceMax", {1, 11, 12, 13, 18, 20}, MakeReduce<Fold::kMax>);
  table.Add("", "ReduceMean", {1, 11, 13, 18}, MakeReduce<Fold::kMean>);
  table.Add("", "ReduceSum", {1, 11, 13}, MakeReduce<Fold::kSum>);
}

}  // namespace onnxforge::simd
