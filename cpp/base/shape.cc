#include "onnxforge/base/shape.h"

#include <algorithm>
#include <limits>
#include <ostream>

#include "onnxforge/base/error.h"

namespace onnxforge {

Shape::Shape(std::initializer_list<int64_t> dims) : Shape(Span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(Span<const int64_t> dims) : rank_(dims.size()) {
  if (rank_ > kInline) heap_ = std::make_unique<int64_t[]>(rank_);
  std::copy(dims.begin(), dims.end(), data());
}

Shape Shape::Filled(size_t rank, int64_t extent) {
  Shape shape;
  shape.rank_ = rank;
  if (rank > kInline) shape.heap_ = std::make_unique<int64_t[]>(rank);
  std::fill_n(shape.data(), rank, extent);
  return shape;
}

Shape::Shape(const Shape& other) : Shape(other.dims()) {}

Shape::Shape(Shape&& other) noexcept : rank_(other.rank_), heap_(std::move(other.heap_)) {
  std::copy(std::begin(other.inline_), std::end(other.inline_), inline_);
  other.rank_ = 0;
}

Shape& Shape::operator=(const Shape& other) {
  if (this != &other) *this = Shape(other);
  return *this;
}

Shape& Shape::operator=(Shape&& other) noexcept {
  rank_ = other.rank_;
  heap_ = std::move(other.heap_);
  std::copy(std::begin(other.inline_), std::end(other.inline_), inline_);
  if (this != &other) other.rank_ = 0;
  return *this;
}

void Shape::Append(int64_t extent) { Insert(rank_, extent); }

void Shape::Insert(size_t axis, int64_t extent) {
  Shape grown = Filled(rank_ + 1, extent);
  std::copy(begin(), begin() + axis, grown.data());
  std::copy(begin() + axis, end(), grown.data() + axis + 1);
  *this = std::move(grown);
}

void Shape::Erase(size_t axis) {
  Shape shrunk = Filled(rank_ - 1, 0);
  std::copy(begin(), begin() + axis, shrunk.data());
  std::copy(begin() + axis + 1, end(), shrunk.data() + axis);
  *this = std::move(shrunk);
}

int64_t Shape::elements() const { return elements(0, rank_); }

int64_t Shape::elements(size_t begin, size_t end) const {
  int64_t product = 1;
  bool overflow = false;
  for (size_t i = begin; i < end; ++i) {
    const int64_t extent = data()[i];
    if (extent == 0) return 0;
    overflow = overflow || extent < 0 || product > std::numeric_limits<int64_t>::max() / extent;
    if (!overflow) product *= extent;
  }
  Require(!overflow, ErrorCode::kInvalidArgument, "a tensor of shape ", *this,
          " has more elements than can be counted");
  return product;
}

bool operator==(const Shape& a, const Shape& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (size_t i = 0; i < shape.rank(); ++i) out << (i == 0 ? "" : ", ") << shape[i];
  return out << ']';
}

size_t NormalizeAxis(int64_t axis, size_t rank) {
  const auto r = static_cast<int64_t>(rank);
  Require(axis >= -r && axis < r, ErrorCode::kInvalidArgument, "axis ", axis, " is out of range for a tensor of rank ",
          rank);
  return static_cast<size_t>(axis < 0 ? axis + r : axis);
}

Shape RowMajorStrides(const Shape& shape) {
  Shape strides = Shape::Filled(shape.rank(), 1);
  for (size_t i = shape.rank(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

Shape BroadcastShapes(const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape out = longer;
  const size_t offset = longer.rank() - shorter.rank();
  for (size_t i = 0; i < shorter.rank(); ++i) {
    const int64_t x = longer[offset + i];
    const int64_t y = shorter[i];
    Require(x == y || x == 1 || y == 1, ErrorCode::kInvalidArgument, "shapes ", a, " and ", b,
            " cannot be broadcast: ", x, " against ", y);
    out[offset + i] = x == 1 ? y : x;
  }
  return out;
}

}  // namespace onnxforge
