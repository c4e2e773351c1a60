// LayerNormalization and RMSNormalization of float32 whose scale and bias have one number per element of a row.

#include <cmath>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/table.h"

#include "simd/list.h"
#include "simd/rows.h"

namespace onnxforge::simd {
namespace {

// Elements that are worth another thread.
constexpr int64_t kGrain = 8192;

class RowNormalization final : public Kernel {
 public:
  RowNormalization(const NodeSpec& node, bool centred, std::unique_ptr<Kernel> other)
      : ops_(RowOpsFor(node.target)),
        centred_(centred),
        epsilon_(node.attributes.Float("epsilon", 1e-5f)),
        axis_(node.attributes.Int("axis", -1)),
        other_(std::move(other)) {}

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    const int64_t rank = static_cast<int64_t>(x.rank());
    const int64_t axis = axis_ < 0 ? axis_ + rank : axis_;
    if (axis < 0 || axis >= rank || x.elements() == 0 || context.HasOutput(1) || context.HasOutput(2)) {
      return other_->Run(context);
    }
    const int64_t n = x.shape().elements(static_cast<size_t>(axis), x.rank());
    const Tensor& scale = context.Input(1);
    const Tensor* bias = centred_ ? context.OptionalInput(2) : nullptr;
    if (!IsRow(scale, n) || (bias != nullptr && !IsRow(*bias, n))) return other_->Run(context);
    Normalize(context, n, scale.data<float>(), bias == nullptr ? nullptr : bias->data<float>());
  }

 private:
  static bool IsRow(const Tensor& t, int64_t n) { return t.dtype() == DType::kFloat32 && t.elements() == n; }

  void Normalize(KernelContext& context, int64_t n, const float* scale, const float* bias) const {
    const Tensor& x = context.Input(0);
    Tensor& y = context.OutputInPlace(0, DType::kFloat32, x.shape(), {0});
    const float* from = x.data<float>();
    float* to = y.data<float>();
    const auto width = static_cast<size_t>(n);
    context.Threads().ParallelFor(x.elements() / n, kGrain / n + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* row = from + i * n;
        const float mean = centred_ ? ops_.sum(row, width) / static_cast<float>(n) : 0.0f;
        const float variance = ops_.squares(row, mean, width) / static_cast<float>(n);
        ops_.normalize(row, mean, 1.0f / std::sqrt(variance + epsilon_), scale, bias, width, to + i * n);
      }
    });
  }

  const RowOps& ops_;
  bool centred_;
  float epsilon_;
  int64_t axis_;
  std::unique_ptr<Kernel> other_;  // for what is not covered here
};

template <bool kCentred>
std::unique_ptr<Kernel> MakeNormalization(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32 || node.attributes.Int("stash_type", 1) != 1) return nullptr;
  const KernelFactory reference = ReferenceKernels().Find(node.domain, node.op_type, node.since_version);
  return std::make_unique<RowNormalization>(node, kCentred, reference(node));
}

}  // namespace

void AddNormalization(KernelTable& table) {
  table.Add("", "LayerNormalization", {17}, MakeNormalization<true>);
  table.Add("", "RMSNormalization", {23}, MakeNormalization<false>);
}

}  // namespace onnxforge::simd
