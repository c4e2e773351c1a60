// QuantizeLinear and DequantizeLinear between float32 and bytes, DynamicQuantizeLinear, and the internal QLinearAdd and
// Lookup.

#include "reference/quantize.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "reference/strided.h"
#include "simd/byte_product.h"
#include "simd/byte_rows.h"
#include "simd/list.h"

namespace onnxforge::simd {
namespace {

// Elements that are worth another thread.
constexpr int64_t kGrain = 16384;
// Fewer elements than these that share a scale are left to the reference tier.
constexpr int64_t kShortRow = 16;

ByteGrid GridOf(DType dtype, float scale, int32_t zero) {
  const bool is_signed = dtype == DType::kInt8;
  return {scale, zero, is_signed ? -128 : 0, is_signed ? 127 : 255, is_signed};
}

/// The grid of input `i`, whose scale and zero point (which may be left out) are the two inputs after it.
ByteGrid GridAt(const KernelContext& context, size_t i, DType dtype) {
  const Tensor& scale = context.Input(i + 1);
  const Tensor* zero = context.OptionalInput(i + 2);
  Require(scale.elements() == 1 && (zero == nullptr || (zero->elements() == 1 && zero->dtype() == dtype)),
          ErrorCode::kInvalidArgument, "a scale of shape ", scale.shape(), " where one number is needed");
  return GridOf(dtype, *scale.data<float>(), zero == nullptr ? 0 : ByteAt(*zero, 0));
}

/// Which elements share a scale and a zero point: all, or those with one index of an axis.
struct Stretches {
  int64_t count = 0;  // of scales; 0 where the parameters are neither, or too few elements share one
  int64_t length = 0;
  int64_t total = 0;

  Stretches(const Shape& x, const Tensor& scale, const Tensor* zero, int64_t axis) {
    const auto rank = static_cast<int64_t>(x.rank());
    if (zero != nullptr && zero->elements() != scale.elements()) return;
    if (scale.elements() == 1) {
      count = total = 1;
      length = x.elements();
    } else if (scale.rank() == 1 && axis >= -rank && axis < rank) {
      const reference::AxisSplit s = reference::SplitAt(x, static_cast<size_t>(axis < 0 ? axis + rank : axis));
      if (s.extent != scale.dim(0) || s.inner < kShortRow) return;
      count = s.extent;
      length = s.inner;
      total = s.outer * s.extent;
    }
  }

  /// Calls `f(scale, begin, end)` until all elements have had their turn.
  template <typename F>
  void ForEach(ThreadPool& threads, const F& f) const {
    if (total == 1) {
      threads.ParallelFor(length, kGrain, [&](int64_t begin, int64_t end) { f(0, begin, end); });
      return;
    }
    threads.ParallelFor(total, 1 + kGrain / length, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(i % count, i * length, (i + 1) * length);
    });
  }
};

/// The grid of scale `i`.
ByteGrid GridOf(DType dtype, const Tensor& scale, const Tensor* zero, int64_t i) {
  return GridOf(dtype, scale.data<float>()[i], zero == nullptr ? 0 : ByteAt(*zero, i));
}

class QuantizeLinear final : public Kernel {
 public:
  QuantizeLinear(const NodeSpec& node, DType dtype, std::unique_ptr<Kernel> other)
      : ops_(ByteRowOpsFor(node.target)),
        axis_(node.attributes.Int("axis", 1)),
        dtype_(dtype),
        other_(std::move(other)) {}

  void Run(KernelContext& context) const override {
    const Tensor x = context.Input(0);
    const Tensor* zero = context.OptionalInput(2);
    const Tensor& scale = context.Input(1);
    const DType dtype = zero != nullptr ? zero->dtype() : dtype_;
    const Stretches stretches(x.shape(), scale, zero, axis_);
    const bool covered = IsByte(dtype) && x.dtype() == DType::kFloat32 && scale.dtype() == DType::kFloat32;
    if (!covered || stretches.count == 0) return other_->Run(context);
    auto* y = static_cast<uint8_t*>(context.Output(0, dtype, x.shape()).raw());
    stretches.ForEach(context.Threads(), [&](int64_t i, int64_t begin, int64_t end) {
      ops_.quantize(x.data<float>() + begin, GridOf(dtype, scale, zero, i), static_cast<size_t>(end - begin),
                    y + begin);
    });
  }

 private:
  const ByteRowOps& ops_;
  int64_t axis_;
  DType dtype_;  // of the result where no zero point says it
  std::unique_ptr<Kernel> other_;
};

class DequantizeLinear final : public Kernel {
 public:
  DequantizeLinear(const NodeSpec& node, std::unique_ptr<Kernel> other)
      : ops_(ByteRowOpsFor(node.target)), axis_(node.attributes.Int("axis", 1)), other_(std::move(other)) {}

  void Run(KernelContext& context) const override {
    const Tensor x = context.Input(0);
    const Tensor& scale = context.Input(1);
    const Tensor* zero = context.OptionalInput(2);
    const Stretches stretches(x.shape(), scale, zero, axis_);
    const bool covered =
        IsByte(x.dtype()) && scale.dtype() == DType::kFloat32 && (zero == nullptr || zero->dtype() == x.dtype());
    if (!covered || stretches.count == 0) return other_->Run(context);
    float* y = context.Output(0, DType::kFloat32, x.shape()).data<float>();
    stretches.ForEach(context.Threads(), [&](int64_t i, int64_t begin, int64_t end) {
      ops_.dequantize(BytesOf(x) + begin, GridOf(x.dtype(), scale, zero, i), static_cast<size_t>(end - begin),
                      y + begin);
    });
  }

 private:
  const ByteRowOps& ops_;
  int64_t axis_;
  std::unique_ptr<Kernel> other_;
};

class DynamicQuantizeLinear final : public Kernel {
 public:
  explicit DynamicQuantizeLinear(const NodeSpec& node) : ops_(ByteRowOpsFor(node.target)) {}

  void Run(KernelContext& context) const override {
    const Tensor x = context.Input(0);
    const float* in = x.data<float>();
    const auto [least, greatest] = RangeOf(in, x.elements(), context);
    // All zeros: any scale will do.
    const float scale = greatest == least ? 1.0f : (greatest - least) / 255.0f;
    const double rounded = reference::RoundToEven(static_cast<double>(-least / scale));
    const auto zero = static_cast<int32_t>(reference::Saturate(rounded, {0, 255}));
    const ByteGrid grid = GridOf(DType::kUInt8, scale, zero);
    auto* y = context.Output(0, DType::kUInt8, x.shape()).data<uint8_t>();
    context.Threads().ParallelFor(x.elements(), kGrain, [&](int64_t begin, int64_t end) {
      ops_.quantize(in + begin, grid, static_cast<size_t>(end - begin), y + begin);
    });
    *context.Output(1, DType::kFloat32, {}).data<float>() = scale;
    *context.Output(2, DType::kUInt8, {}).data<uint8_t>() = static_cast<uint8_t>(zero);
  }

 private:
  /// The least and the greatest number, 0 among them.
  std::pair<float, float> RangeOf(const float* x, int64_t count, KernelContext& context) const {
    const int64_t parts = std::max<int64_t>(1, count / kGrain);
    auto* ranges = context.Scratch<std::pair<float, float>>(static_cast<size_t>(parts));
    context.Threads().ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::pair<float, float> range(0.0f, 0.0f);
        const int64_t first = count * i / parts;
        ops_.range(x + first, static_cast<size_t>(count * (i + 1) / parts - first), &range.first, &range.second);
        ranges[i] = range;
      }
    });
    std::pair<float, float> all(0.0f, 0.0f);
    for (int64_t i = 0; i < parts; ++i) {
      all = {std::min(all.first, ranges[i].first), std::max(all.second, ranges[i].second)};
    }
    return all;
  }

  const ByteRowOps& ops_;
};

class QLinearAdd final : public Kernel {
 public:
  explicit QLinearAdd(const NodeSpec& node)
      : ops_(ByteRowOpsFor(node.target)),
        least_(static_cast<int32_t>(node.attributes.Int("least", -128))),
        most_(static_cast<int32_t>(node.attributes.Int("most", 255))) {}

  void Run(KernelContext& context) const override {
    const Tensor a = context.Input(0);
    const Tensor b = context.Input(3);
    const DType dtype = context.Input(7).dtype();
    Require(a.shape() == b.shape() && IsByte(a.dtype()) && IsByte(b.dtype()) && IsByte(dtype),
            ErrorCode::kInvalidArgument, "QLinearAdd of ", a.shape(), " and ", b.shape());
    const ByteGrid a_grid = GridAt(context, 0, a.dtype());
    const ByteGrid b_grid = GridAt(context, 3, b.dtype());
    ByteGrid y_grid = GridAt(context, 5, dtype);
    y_grid.lo = std::max(y_grid.lo, least_);
    y_grid.hi = std::min(y_grid.hi, most_);
    auto* y = static_cast<uint8_t*>(context.OutputInPlace(0, dtype, a.shape(), {0, 3}).raw());
    context.Threads().ParallelFor(a.elements(), kGrain, [&](int64_t begin, int64_t end) {
      ops_.add(BytesOf(a) + begin, a_grid, BytesOf(b) + begin, b_grid, static_cast<size_t>(end - begin), y + begin,
               y_grid);
    });
  }

 private:
  const ByteRowOps& ops_;
  int32_t least_;
  int32_t most_;
};

std::unique_ptr<Kernel> Reference(const NodeSpec& node) {
  return ReferenceKernels().Find(node.domain, node.op_type, node.since_version)(node);
}

std::unique_ptr<Kernel> MakeQuantizeLinear(const NodeSpec& node) {
  const auto dtype = static_cast<DType>(node.attributes.Int("output_dtype", static_cast<int64_t>(DType::kUInt8)));
  const bool covered = node.InputDType(0) == DType::kFloat32 && node.attributes.Int("block_size", 0) == 0 &&
                       node.attributes.Int("precision", 0) <= 1;
  return covered ? std::make_unique<QuantizeLinear>(node, dtype, Reference(node)) : nullptr;
}

std::unique_ptr<Kernel> MakeDequantizeLinear(const NodeSpec& node) {
  const bool covered = IsByte(node.InputDType(0)) && node.attributes.Int("block_size", 0) == 0 &&
                       node.attributes.Int("output_dtype", 0) <= 1;
  return covered ? std::make_unique<DequantizeLinear>(node, Reference(node)) : nullptr;
}

std::unique_ptr<Kernel> MakeDynamicQuantizeLinear(const NodeSpec& node) {
  return node.InputDType(0) == DType::kFloat32 ? std::make_unique<DynamicQuantizeLinear>(node) : nullptr;
}

std::unique_ptr<Kernel> MakeQLinearAdd(const NodeSpec& node) { return std::make_unique<QLinearAdd>(node); }

std::unique_ptr<Kernel> MakeLookup(const NodeSpec& node) {
  const Tensor table = node.attributes.Get<Tensor>("table");
  Require(table.bytes() == 256, ErrorCode::kInternal, "a table of ", table.bytes(), " bytes");
  return MakeKernel([table](KernelContext& context) {
    const Tensor x = context.Input(0);
    const uint8_t* in = BytesOf(x);
    const uint8_t* entries = BytesOf(table);
    auto* y = static_cast<uint8_t*>(context.OutputInPlace(0, table.dtype(), x.shape(), {0}).raw());
    context.Threads().ParallelFor(x.elements(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = entries[in[i]];
    });
  });
}

}  // namespace

void AddQuantize(KernelTable& table) {
  table.Add("", "DequantizeLinear", {10, 13, 19, 21, 23, 24, 25, 28}, MakeDequantizeLinear);
  table.Add("", "DynamicQuantizeLinear", {11}, MakeDynamicQuantizeLinear);
  table.Add("", "QuantizeLinear", {10, 13, 19, 21, 23, 24, 25, 28}, MakeQuantizeLinear);
  table.Add(kInternalDomain, "Lookup", {1}, MakeLookup);
  table.Add(kInternalDomain, "QLinearAdd", {1}, MakeQLinearAdd);
}

}  // namespace onnxforge::simd
