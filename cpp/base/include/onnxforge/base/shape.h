#pragma once

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <vector>

#include "onnxforge/base/span.h"

namespace onnxforge {

/// The extents of a tensor, outermost first; every extent is ≥ 0. A value type: up to kInline dimensions are stored
/// without touching the heap.
class Shape {
 public:
  static constexpr size_t kInline = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(Span<const int64_t> dims);
  static Shape Filled(size_t rank, int64_t extent);
  Shape(const Shape& other);
  Shape(Shape&& other) noexcept;
  Shape& operator=(const Shape& other);
  Shape& operator=(Shape&& other) noexcept;
  ~Shape() = default;

  size_t rank() const { return rank_; }
  const int64_t* data() const { return heap_ ? heap_.get() : inline_; }
  int64_t* data() { return heap_ ? heap_.get() : inline_; }
  int64_t operator[](size_t axis) const { return data()[axis]; }
  int64_t& operator[](size_t axis) { return data()[axis]; }
  const int64_t* begin() const { return data(); }
  const int64_t* end() const { return data() + rank_; }
  Span<const int64_t> dims() const { return {data(), rank_}; }

  void Append(int64_t extent);
  void Insert(size_t axis, int64_t extent);
  void Erase(size_t axis);

  /// The product of all extents (1 for rank 0). Fails with kInvalidArgument when it does not fit in int64.
  int64_t elements() const;
  /// The product of the extents of axes [begin, end).
  int64_t elements(size_t begin, size_t end) const;

 private:
  size_t rank_ = 0;
  int64_t inline_[kInline] = {};
  std::unique_ptr<int64_t[]> heap_;
};

bool operator==(const Shape& a, const Shape& b);
inline bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }
std::ostream& operator<<(std::ostream& out, const Shape& shape);  // "[2, 3]"

/// Maps an axis in [-rank, rank) to [0, rank); fails with kInvalidArgument otherwise.
size_t NormalizeAxis(int64_t axis, size_t rank);

/// The row-major strides of `shape`, in elements.
Shape RowMajorStrides(const Shape& shape);

/// NumPy broadcasting of two shapes (ONNX "Broadcasting"); fails with kInvalidArgument when they do not match.
Shape BroadcastShapes(const Shape& a, const Shape& b);

}  // namespace onnxforge
