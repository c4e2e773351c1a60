// Concat along one axis: adjacent elements are copied whole, on all threads.

#include <cstring>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/table.h"

#include "reference/strided.h"
#include "simd/list.h"

namespace onnxforge::simd {
namespace {

// Bytes that are worth another thread.
constexpr size_t kGrain = 128 * 1024;

/// Elements of `kBytes` bytes at a time, where a piece is so short that a call of memcpy costs more than the copy.
void CopyPiece(const char* from, size_t bytes, char* to) {
  switch (bytes) {
    case 4:
      std::memcpy(to, from, 4);
      return;
    case 8:
      std::memcpy(to, from, 8);
      return;
    default:
      std::memcpy(to, from, bytes);
  }
}

class Concat final : public Kernel {
 public:
  Concat(const NodeSpec& node, std::unique_ptr<Kernel> other)
      : axis_(node.attributes.Int("axis", 1)), other_(std::move(other)) {}

  void Run(KernelContext& context) const override {
    const Tensor& first = context.Input(0);
    if (first.dtype() == DType::kString || first.rank() == 0) return other_->Run(context);
    const size_t axis = NormalizeAxis(axis_, first.rank());
    Shape shape = first.shape();
    shape[axis] = 0;
    for (size_t i = 0; i < context.InputCount(); ++i) {
      const Tensor& part = context.Input(i);
      if (!Fits(part, first, axis)) return other_->Run(context);  // which says what is wrong
      shape[axis] += part.dim(axis);
    }
    Tensor& y = context.Output(0, first.dtype(), shape);
    if (y.elements() == 0) return;
    const auto outer = static_cast<int64_t>(shape.elements(0, axis));
    const size_t row = y.bytes() / static_cast<size_t>(outer);
    const auto grain = static_cast<int64_t>(kGrain / row + 1);
    context.Threads().ParallelFor(outer, grain, [&](int64_t begin, int64_t end) {
      char* to = static_cast<char*>(y.raw()) + static_cast<size_t>(begin) * row;
      for (size_t i = 0; i < context.InputCount(); ++i) {
        const Tensor& part = context.Input(i);
        const size_t piece = part.bytes() / static_cast<size_t>(outer);
        const char* from = static_cast<const char*>(part.raw()) + static_cast<size_t>(begin) * piece;
        for (int64_t r = 0; r < end - begin; ++r) {
          CopyPiece(from + static_cast<size_t>(r) * piece, piece, to + static_cast<size_t>(r) * row);
        }
        to += piece;
      }
    });
  }

 private:
  static bool Fits(const Tensor& part, const Tensor& first, size_t axis) {
    if (part.dtype() != first.dtype() || part.rank() != first.rank()) return false;
    for (size_t i = 0; i < part.rank(); ++i) {
      if (i != axis && part.dim(i) != first.dim(i)) return false;
    }
    return true;
  }

  int64_t axis_;
  std::unique_ptr<Kernel> other_;  // for strings, and to report errors
};

std::unique_ptr<Kernel> MakeConcat(const NodeSpec& node) {
  const KernelFactory reference = ReferenceKernels().Find(node.domain, node.op_type, node.since_version);
  return std::make_unique<Concat>(node, reference(node));
}

}  // namespace

void AddConcat(KernelTable& table) { table.Add("", "Concat", {4, 11, 13}, MakeConcat); }

}  // namespace onnxforge::simd
