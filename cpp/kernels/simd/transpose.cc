// Transpose of elements of four bytes and of one where, after axes that stay together are merged, it swaps two
// neighbours: images between channels first and last, the matrices and heads of attention.

#include "simd/transpose.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/table.h"

#include "reference/strided.h"
#include "simd/list.h"

// clang-format off: the order matters
#include "simd/disabled_targets.h"
#include "hwy/highway.h"
// clang-format on

namespace onnxforge::simd {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// As many rows and columns go through registers of 128 bits, which every target has, as one of them has elements.
template <typename T>
constexpr size_t kSide = 16 / sizeof(T);
// A tile's rows and columns together stay in the first-level cache.
constexpr size_t kTile = 32;
// Elements that are worth another thread.
constexpr size_t kGrain = 32768;

void TransposeSquare(const uint32_t* HWY_RESTRICT from, size_t from_stride, uint32_t* HWY_RESTRICT to,
                     size_t to_stride) {
  const hn::Full128<uint32_t> d;
  const hn::Full128<uint64_t> wide;
  const auto r0 = hn::LoadU(d, from);
  const auto r1 = hn::LoadU(d, from + from_stride);
  const auto r2 = hn::LoadU(d, from + 2 * from_stride);
  const auto r3 = hn::LoadU(d, from + 3 * from_stride);
  const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, r0, r1));
  const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, r0, r1));
  const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, r2, r3));
  const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, low01, low23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23)), d, to + to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, high01, high23)), d, to + 2 * to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23)), d, to + 3 * to_stride);
}

/// Rows i and i + 8 interleaved become rows 2i and 2i + 1; after four times all bits of the row's and the column's
/// number have changed places.
void TransposeSquare(const uint8_t* HWY_RESTRICT from, size_t from_stride, uint8_t* HWY_RESTRICT to, size_t to_stride) {
  const hn::Full128<uint8_t> d;
  hn::Vec<decltype(d)> rows[16];
  hn::Vec<decltype(d)> next[16];
  for (size_t i = 0; i < 16; ++i) rows[i] = hn::LoadU(d, from + i * from_stride);
  for (int round = 0; round < 4; ++round) {
    for (size_t i = 0; i < 8; ++i) {
      next[2 * i] = hn::InterleaveLower(d, rows[i], rows[i + 8]);
      next[2 * i + 1] = hn::InterleaveUpper(d, rows[i], rows[i + 8]);
    }
    std::copy_n(next, 16, rows);
  }
  for (size_t i = 0; i < 16; ++i) hn::StoreU(rows[i], d, to + i * to_stride);
}

/// Whatever type the bytes are of.
template <typename T>
void CopyOne(const T* from, T* to) {
  std::memcpy(to, from, sizeof *to);
}

template <typename T>
void TransposeTile(const T* from, size_t from_stride, size_t rows, size_t columns, T* to, size_t to_stride) {
  size_t i = 0;
  for (; i + kSide<T> <= rows; i += kSide<T>) {
    size_t j = 0;
    for (; j + kSide<T> <= columns; j += kSide<T>) {
      TransposeSquare(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    }
    for (; j < columns; ++j) {
      for (size_t r = 0; r < kSide<T>; ++r) CopyOne(from + (i + r) * from_stride + j, to + j * to_stride + i + r);
    }
  }
  for (; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) CopyOne(from + i * from_stride + j, to + j * to_stride + i);
  }
}

/// The shape and permutation that remain when extents of 1 go and axes that stay neighbours become one.
struct Merged {
  std::vector<size_t> extents;  // of the input
  std::vector<size_t> perm;

  Merged(const Shape& shape, const std::vector<size_t>& order) {
    std::vector<size_t> axes;  // of the input, in the output's order
    for (size_t axis : order) {
      if (shape[axis] != 1) axes.push_back(axis);
    }
    std::vector<std::pair<size_t, size_t>> groups;  // first input axis, extent
    for (size_t i = 0; i < axes.size(); ++i) {
      const auto extent = static_cast<size_t>(shape[axes[i]]);
      const bool joins = i > 0 && Next(shape, axes[i - 1]) == axes[i];
      if (joins) {
        groups.back().second *= extent;
      } else {
        groups.emplace_back(axes[i], extent);
      }
    }
    std::vector<size_t> by_input(groups.size());
    std::iota(by_input.begin(), by_input.end(), size_t{0});
    std::sort(by_input.begin(), by_input.end(), [&](size_t a, size_t b) { return groups[a] < groups[b]; });
    perm.resize(groups.size());
    for (size_t i = 0; i < by_input.size(); ++i) {
      perm[by_input[i]] = i;
      extents.push_back(groups[by_input[i]].second);
    }
  }

  static size_t Next(const Shape& shape, size_t axis) {
    do ++axis;
    while (axis < shape.rank() && shape[axis] == 1);
    return axis;
  }
};

template <typename T>
void TransposeAll(const T* from, size_t batch, size_t rows, size_t columns, T* to, ThreadPool& threads) {
  const size_t strips = (columns + kTile - 1) / kTile;
  const auto grain = static_cast<int64_t>(std::max<size_t>(1, kGrain / (1 + rows * kTile)));
  threads.ParallelFor(static_cast<int64_t>(batch * strips), grain, [&](int64_t begin, int64_t end) {
    for (auto at = static_cast<size_t>(begin); at < static_cast<size_t>(end); ++at) {
      const size_t column = at % strips * kTile;
      const T* source = from + at / strips * rows * columns + column;
      T* target = to + (at / strips * columns + column) * rows;
      for (size_t row = 0; row < rows; row += kTile) {
        TransposeTile(source + row * columns, columns, std::min(kTile, rows - row), std::min(kTile, columns - column),
                      target + row, rows);
      }
    }
  });
}

/// to[b, j, i, :] = from[b, i, j, :], each of `bytes` bytes.
void SwapRows(const char* from, size_t batch, size_t rows, size_t columns, size_t bytes, char* to,
              ThreadPool& threads) {
  const auto grain = static_cast<int64_t>(std::max<size_t>(1, kGrain * 4 / (1 + rows * bytes)));
  threads.ParallelFor(static_cast<int64_t>(batch * columns), grain, [&](int64_t begin, int64_t end) {
    for (auto at = static_cast<size_t>(begin); at < static_cast<size_t>(end); ++at) {
      const size_t b = at / columns;
      const size_t j = at % columns;
      for (size_t i = 0; i < rows; ++i) {
        std::memcpy(to + (at * rows + i) * bytes, from + ((b * rows + i) * columns + j) * bytes, bytes);
      }
    }
  });
}

class Transpose final : public Kernel {
 public:
  Transpose(const NodeSpec& node, std::unique_ptr<Kernel> other)
      : perm_(node.attributes.Ints("perm")), given_(node.attributes.Has("perm")), other_(std::move(other)) {}

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    const size_t bytes = ElementSize(x.dtype());
    if ((bytes != 4 && bytes != 1) || x.dtype() == DType::kString || x.elements() == 0) return other_->Run(context);
    std::vector<size_t> order;
    for (size_t i = x.rank(); i-- > 0 && !given_;) order.push_back(i);
    if (given_) order = reference::NormalizeAxes(perm_, x.rank());
    if (order.size() != x.rank()) return other_->Run(context);
    const Merged m(x.shape(), order);
    Shape shape;
    for (size_t axis : order) shape.Append(x.dim(axis));
    Swap(context, m, shape);
  }

 private:
  void Swap(KernelContext& context, const Merged& m, const Shape& shape) const {
    const std::vector<size_t>& perm = m.perm;
    const bool leading = perm.size() >= 3 && perm[0] == 0;  // a batch axis in front
    const size_t first = leading ? 1 : 0;
    const size_t rest = perm.size() - first;
    const bool swaps = rest >= 2 && rest <= 3 && perm[first] == first + 1 && perm[first + 1] == first;
    if (perm.size() > 1 && !swaps) return other_->Run(context);
    const Tensor x = context.Input(0);
    Tensor& y = context.Output(0, x.dtype(), shape);
    if (perm.size() <= 1) {
      std::memcpy(y.raw(), x.raw(), x.bytes());
      return;
    }
    const size_t batch = leading ? m.extents[0] : 1;
    const size_t rows = m.extents[first];
    const size_t columns = m.extents[first + 1];
    const size_t bytes = ElementSize(x.dtype());
    if (rest == 2) {
      TransposeMatrices(x.raw(), bytes, batch, rows, columns, y.raw(), context.Threads());
    } else {
      SwapRows(static_cast<const char*>(x.raw()), batch, rows, columns, m.extents[first + 2] * bytes,
               static_cast<char*>(y.raw()), context.Threads());
    }
  }

  std::vector<int64_t> perm_;
  bool given_;
  std::unique_ptr<Kernel> other_;  // for what is not covered here
};

std::unique_ptr<Kernel> MakeTranspose(const NodeSpec& node) {
  const KernelFactory reference = ReferenceKernels().Find(node.domain, node.op_type, node.since_version);
  return std::make_unique<Transpose>(node, reference(node));
}

}  // namespace

void TransposeMatrices(const void* from, size_t bytes, size_t batch, size_t rows, size_t columns, void* to,
                       ThreadPool& threads) {
  if (bytes == 1) {
    TransposeAll(static_cast<const uint8_t*>(from), batch, rows, columns, static_cast<uint8_t*>(to), threads);
  } else {
    TransposeAll(static_cast<const uint32_t*>(from), batch, rows, columns, static_cast<uint32_t*>(to), threads);
  }
}

void TransposeWords(const void* from, size_t from_stride, size_t rows, size_t columns, void* to, size_t to_stride) {
  TransposeTile(static_cast<const uint32_t*>(from), from_stride, rows, columns, static_cast<uint32_t*>(to), to_stride);
}

void TransposeBytes(const uint8_t* from, size_t rows, size_t columns, uint8_t* to) {
  constexpr size_t kSquare = kSide<uint8_t>;
  for (size_t j = 0; j < columns; j += kSquare) {
    const size_t width = std::min(kSquare, columns - j);
    size_t i = 0;
    // Of a row that is narrower, the next one is read too.
    for (; i + kSquare <= rows && (i + kSquare - 1) * columns + j + kSquare <= rows * columns; i += kSquare) {
      uint8_t square[kSquare * kSquare];
      TransposeSquare(from + i * columns + j, columns, square, kSquare);
      for (size_t c = 0; c < width; ++c) std::memcpy(to + (j + c) * rows + i, square + c * kSquare, kSquare);
    }
    for (; i < rows; ++i) {
      for (size_t c = j; c < j + width; ++c) to[c * rows + i] = from[i * columns + c];
    }
  }
}

void AddTranspose(KernelTable& table) { table.Add("", "Transpose", {1, 13, 21, 23, 24, 25}, MakeTranspose); }

}  // namespace onnxforge::simd
