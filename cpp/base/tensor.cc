#include "onnxforge/base/tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace onnxforge {
namespace {

/// The larger pages of most processors. Memory that is cleared and mapped in these pieces, not in 4 KiB, is there in a
/// fraction of the time, and needs fewer entries of the address translation cache when it is read.
constexpr size_t kHugePage = size_t{2} << 20;

size_t AlignmentFor([[maybe_unused]] size_t bytes) {
#if defined(__linux__)
  if (bytes >= kHugePage) return kHugePage;
#endif
  return kAlignment;
}

/// Asks for huge pages for the whole ones in the memory, which is aligned to them. A hint: nothing hangs on it.
void PreferHugePages([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes >= kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
}

/// Gives back what AllocateStorage() took.
struct Release {
  std::align_val_t alignment;
  void operator()(void* memory) const { ::operator delete(memory, alignment); }
};

Storage AllocateStrings(size_t count) {
  return Storage(new std::string[count], [](void* p) { delete[] static_cast<std::string*>(p); });
}

size_t CheckedBytes(DType dtype, const Shape& shape, int64_t elements) {
  const size_t size = ElementSize(dtype);
  Require(static_cast<uint64_t>(elements) <= std::numeric_limits<size_t>::max() / 2 / std::max<size_t>(size, 1),
          ErrorCode::kInvalidArgument, "a tensor of ", dtype, shape, " is larger than the address space");
  return static_cast<size_t>(elements) * size;
}

}  // namespace

Storage AllocateStorage(size_t bytes) {
  const auto alignment = std::align_val_t{AlignmentFor(bytes)};
  void* memory = ::operator new(std::max<size_t>(bytes, 1), alignment, std::nothrow);
  Require(memory != nullptr, ErrorCode::kInvalidArgument, "not enough memory for a tensor of ", bytes, " bytes");
  PreferHugePages(memory, bytes);
  return Storage(memory, Release{alignment});
}

Storage StorageArena::Allocate(size_t bytes) {
  if (bytes > block_bytes_ / 4) return AllocateStorage(bytes);
  const std::lock_guard<std::mutex> lock(mutex_);
  Storage block = block_.lock();
  if (block == nullptr || bytes > block_bytes_ - used_) {
    block = AllocateStorage(block_bytes_);
    block_ = block;
    used_ = 0;
  }
  void* piece = static_cast<char*>(block.get()) + used_;
  used_ = std::min(block_bytes_, (used_ + bytes + kAlignment - 1) / kAlignment * kAlignment);
  return Storage(std::move(block), piece);
}

Tensor Tensor::Allocate(DType dtype, Shape shape) {
  Require(IsValid(dtype), ErrorCode::kInternal, "a tensor needs an element type");
  const int64_t elements = shape.elements();
  const size_t bytes = CheckedBytes(dtype, shape, elements);
  Storage storage = dtype == DType::kString ? AllocateStrings(static_cast<size_t>(elements)) : AllocateStorage(bytes);
  void* data = storage.get();
  return View(dtype, std::move(shape), std::move(storage), data);
}

Tensor Tensor::View(DType dtype, Shape shape, Storage storage, void* data) {
  Tensor t;
  t.dtype_ = dtype;
  t.elements_ = shape.elements();
  t.shape_ = std::move(shape);
  t.storage_ = std::move(storage);
  t.data_ = data;
  return t;
}

bool Tensor::IsHeldBy(long holders) const {
  return storage_ != nullptr && storage_.get() == data_ && std::get_deleter<Release>(storage_) != nullptr &&
         storage_.use_count() == holders;
}

Tensor Tensor::Reshaped(Shape shape) const {
  Require(shape.elements() == elements_, ErrorCode::kInvalidArgument, "cannot reshape ", shape_, " to ", shape);
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::Reinterpreted(DType dtype) const {
  Require(ElementSize(dtype) == ElementSize(dtype_) && dtype != DType::kString && dtype_ != DType::kString,
          ErrorCode::kInternal, "cannot read ", dtype_, " as ", dtype);
  Tensor t = *this;
  t.dtype_ = dtype;
  return t;
}

Tensor Tensor::Rows(int64_t begin, int64_t end) const {
  Require(rank() > 0 && begin >= 0 && begin <= end && end <= dim(0), ErrorCode::kInternal, "rows ", begin, " to ", end,
          " of ", shape_);
  Shape shape = shape_;
  shape[0] = end - begin;
  const size_t row_bytes = static_cast<size_t>(shape_.elements(1, rank())) * ElementSize(dtype_);
  return View(dtype_, std::move(shape), storage_, static_cast<char*>(data_) + static_cast<size_t>(begin) * row_bytes);
}

Tensor Tensor::Clone() const {
  Tensor t = Allocate(dtype_, shape_);
  if (dtype_ == DType::kString) {
    std::copy_n(data<std::string>(), elements_, t.data<std::string>());
  } else if (bytes() != 0) {
    std::memcpy(t.data_, data_, bytes());
  }
  return t;
}

void Tensor::RequireType(DType dtype) const {
  Require(dtype == dtype_, ErrorCode::kInternal, "a tensor of ", dtype_, " was read as ", dtype);
}

}  // namespace onnxforge
