#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "onnxforge/base/shape.h"
#include "onnxforge/base/span.h"
#include "onnxforge/base/threads.h"

namespace onnxforge::reference {

/// Walks a row-major index space in which each operand has a stride per axis. Axes that every operand steps through
/// alike are merged, so that the callback gets the longest possible runs and no division happens per element.
class StridedPlan {
 public:
  static constexpr size_t kMaxOperands = 4;

  struct Run {
    int64_t position = 0;  // of the run's first element in row-major order
    int64_t count = 0;
    std::array<int64_t, kMaxOperands> offset{};  // of the run's first element, per operand
  };

  /// `strides[k]` are operand k's, in elements, one per axis of `shape`.
  StridedPlan(const Shape& shape, Span<const Shape> strides);

  int64_t elements() const { return elements_; }
  /// The step of operand `k` from one element of a run to the next.
  int64_t inner_stride(size_t k) const { return strides_[k][shape_.rank() - 1]; }
  /// The greatest count of a run.
  int64_t inner_extent() const { return shape_[shape_.rank() - 1]; }

  /// Calls `visit` for the runs that make up positions [begin, end).
  void ForRange(int64_t begin, int64_t end, FunctionRef<void(const Run&)> visit) const;
  /// All of it, split over the threads in parts of at least `grain` elements.
  void ForEach(ThreadPool& threads, int64_t grain, FunctionRef<void(const Run&)> visit) const;

 private:
  Shape shape_;
  size_t operands_;
  std::array<Shape, kMaxOperands> strides_;
  int64_t elements_;
};

/// Row-major strides of `shape` seen as `target` (NumPy broadcasting): 0 along the axes that are repeated.
Shape BroadcastStrides(const Shape& shape, const Shape& target);

/// The plan for operands of these shapes broadcast to `output`.
StridedPlan BroadcastPlan(std::initializer_list<const Shape*> operands, const Shape& output);

/// Elementwise work below this many elements is not worth a second thread.
inline constexpr int64_t kElementwiseGrain = 16384;

}  // namespace onnxforge::reference
