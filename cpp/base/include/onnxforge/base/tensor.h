#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "onnxforge/base/dispatch.h"
#include "onnxforge/base/dtype.h"
#include "onnxforge/base/shape.h"
#include "onnxforge/base/span.h"

namespace onnxforge {

/// Memory that tensors share: owned here, mapped from a file, lent by NumPy, or a slice of a session's arena. The last
/// holder releases it.
using Storage = std::shared_ptr<void>;

/// Every allocation of the library is aligned to a cache line, which is also the widest vector register.
inline constexpr size_t kAlignment = 64;

/// `bytes` of uninitialised memory aligned to kAlignment. Fails with kInvalidArgument, naming the size, when there is
/// not that much.
Storage AllocateStorage(size_t bytes);

/// Memory for tensors that live about as long as each other, in pieces of large blocks: the system maps those by its
/// larger pages, and what is not touched of the last one is not there. A block goes with the last of its pieces. Safe
/// from several threads.
class StorageArena {
 public:
  /// `block`: bytes of one, at least 4 MiB. What is larger than a quarter of it gets memory of its own.
  explicit StorageArena(size_t block) : block_bytes_(block) {}

  /// As AllocateStorage().
  Storage Allocate(size_t bytes);

 private:
  size_t block_bytes_;
  std::mutex mutex_;
  std::weak_ptr<void> block_;
  size_t used_ = 0;  // bytes of the block
};

/// A dense row-major tensor. Copying shares the memory; nothing copies elements behind the caller's back.
class Tensor {
 public:
  Tensor() = default;

  /// Uninitialised memory, except that strings are empty.
  static Tensor Allocate(DType dtype, Shape shape);
  /// A view of memory that `storage` keeps alive; `data` must be aligned for the element type.
  static Tensor View(DType dtype, Shape shape, Storage storage, void* data);
  template <typename T>
  static Tensor Scalar(T value);
  template <typename T>
  static Tensor FromVector(const std::vector<T>& values, Shape shape);
  template <typename T>
  static Tensor FromVector(const std::vector<T>& values) {
    return FromVector(values, Shape{static_cast<int64_t>(values.size())});
  }

  bool defined() const { return dtype_ != DType::kUndefined; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  size_t rank() const { return shape_.rank(); }
  int64_t dim(size_t axis) const { return shape_[axis]; }
  int64_t elements() const { return elements_; }
  size_t bytes() const { return static_cast<size_t>(elements_) * ElementSize(dtype_); }

  const void* raw() const { return data_; }
  void* raw() { return data_; }
  /// The elements; T must be the C++ type of dtype() (kInternal otherwise).
  template <typename T>
  const T* data() const {
    RequireType(kDTypeOf<T>);
    return static_cast<const T*>(data_);
  }
  template <typename T>
  T* data() {
    RequireType(kDTypeOf<T>);
    return static_cast<T*>(data_);
  }
  const Storage& storage() const { return storage_; }
  /// Whether the memory is AllocateStorage()'s, not an arena's, a file's or a caller's, and only this many tensors and
  /// storages hold it.
  bool IsHeldBy(long holders) const;

  /// The same elements under another shape with the same number of them (kInvalidArgument otherwise).
  Tensor Reshaped(Shape shape) const;
  /// The same bits read as another element type of the same size.
  Tensor Reinterpreted(DType dtype) const;
  /// Elements [begin, end) of axis 0, sharing the memory.
  Tensor Rows(int64_t begin, int64_t end) const;
  /// A copy with memory of its own.
  Tensor Clone() const;

  /// Every element converted to T by static_cast; for the small integer tensors that steer operators (axes, shapes, …).
  /// Fails for strings and complex numbers.
  template <typename T>
  std::vector<T> To() const;

 private:
  void RequireType(DType dtype) const;

  DType dtype_ = DType::kUndefined;
  Shape shape_;
  int64_t elements_ = 0;
  Storage storage_;
  void* data_ = nullptr;
};

template <typename T>
Tensor Tensor::FromVector(const std::vector<T>& values, Shape shape) {
  Tensor t = Allocate(kDTypeOf<T>, std::move(shape));
  Require(t.elements() == static_cast<int64_t>(values.size()), ErrorCode::kInternal, "FromVector: ", values.size(),
          " values for shape ", t.shape());
  T* out = t.data<T>();
  for (const T& v : values) *out++ = v;
  return t;
}

template <typename T>
Tensor Tensor::Scalar(T value) {
  Tensor t = Allocate(kDTypeOf<T>, Shape{});
  *t.data<T>() = std::move(value);
  return t;
}

template <typename T>
std::vector<T> Tensor::To() const {
  std::vector<T> out;
  out.reserve(static_cast<size_t>(elements_));
  Dispatch<Join<Numbers, Join<TypeList<bool>, SmallIntegers>>>(dtype_, "conversion to a list of numbers",
                                                               [&](auto tag) {
                                                                 const auto* p = data<typename decltype(tag)::type>();
                                                                 for (int64_t i = 0; i < elements_; ++i)
                                                                   out.push_back(static_cast<T>(p[i]));
                                                               });
  return out;
}

}  // namespace onnxforge
