// Picking elements: TopK, NonZero, Compress, Unique, Trilu, ReverseSequence.
#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

/// A strict order: the greatest (or least) first, equal ones by index, NaN as the greatest of all.
template <typename T>
bool Precedes(T a, int64_t i, T b, int64_t j, bool largest) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) {
      if (std::isnan(a) && std::isnan(b)) return i < j;
      return std::isnan(a) == largest;
    }
  }
  if (a != b) return largest ? a > b : a < b;
  return i < j;
}

template <typename T>
void TopKLines(const AxisSplit& s, int64_t k, bool largest, const T* x, T* values, int64_t* indices) {
  std::vector<int64_t> order(static_cast<size_t>(s.extent));
  for (int64_t line = 0; line < s.outer * s.inner; ++line) {
    const T* from = x + (line / s.inner) * s.extent * s.inner + line % s.inner;
    const auto before = [&](int64_t i, int64_t j) {
      return Precedes<Wide<T>>(from[i * s.inner], i, from[j * s.inner], j, largest);
    };
    std::iota(order.begin(), order.end(), int64_t{0});
    std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
    for (int64_t i = 0; i < k; ++i) {
      const int64_t to = (line / s.inner * k + i) * s.inner + line % s.inner;
      values[to] = from[order[static_cast<size_t>(i)] * s.inner];
      indices[to] = order[static_cast<size_t>(i)];
    }
  }
}

/// Version 1 has k as an attribute; whether sorted or not is left to us, so it always is.
std::unique_ptr<Kernel> MakeTopK(const NodeSpec& node) {
  const bool by_attribute = node.since_version == 1;
  return MakeKernel([by_attribute, attribute_k = by_attribute ? node.attributes.Int("k") : 0,
                     attribute_axis = node.attributes.Int("axis", -1),
                     largest = node.attributes.Int("largest", 1) != 0](KernelContext& context) {
    const Tensor x = context.Input(0);
    const size_t axis = NormalizeAxis(attribute_axis, x.rank());
    const int64_t k = by_attribute ? attribute_k : ScalarFrom(context.Input(1));
    Require(k >= 0 && k <= x.dim(axis), ErrorCode::kInvalidArgument, "k is ", k, " for an axis of ", x.dim(axis));
    Shape shape = x.shape();
    shape[axis] = k;
    Tensor& values = context.Output(0, x.dtype(), shape);
    Tensor& indices = context.Output(1, DType::kInt64, shape);
    Dispatch<Numbers>(x.dtype(), "TopK", [&](auto tag) {
      using T = typename decltype(tag)::type;
      TopKLines<T>(SplitAt(x.shape(), axis), k, largest, x.data<T>(), values.data<T>(), indices.data<int64_t>());
    });
  });
}

std::unique_ptr<Kernel> MakeNonZero(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& x = context.Input(0);
    std::vector<int64_t> found;
    if (x.dtype() == DType::kString) {
      for (int64_t i = 0; i < x.elements(); ++i) {
        if (!x.data<std::string>()[i].empty()) found.push_back(i);
      }
    } else {
      Dispatch<Join<Join<Numbers, Complexes>, TypeList<bool>>>(x.dtype(), "NonZero", [&](auto tag) {
        using T = typename decltype(tag)::type;
        for (int64_t i = 0; i < x.elements(); ++i) {
          if (static_cast<Wide<T>>(x.data<T>()[i]) != Wide<T>{}) found.push_back(i);
        }
      });
    }
    const auto count = static_cast<int64_t>(found.size());
    const Shape shape = x.shape();
    // A scalar counts as a vector of one element, as in NumPy before it gave that up.
    const size_t rank = std::max<size_t>(1, shape.rank());
    Tensor& y = context.Output(0, DType::kInt64, {static_cast<int64_t>(rank), count});
    for (int64_t k = 0; k < count; ++k) {
      int64_t rest = found[static_cast<size_t>(k)];
      for (size_t axis = rank; axis-- > 0;) {
        const int64_t extent = shape.rank() == 0 ? 1 : shape[axis];
        y.data<int64_t>()[static_cast<int64_t>(axis) * count + k] = rest % extent;
        rest /= extent;
      }
    }
  });
}

std::unique_ptr<Kernel> MakeCompress(const NodeSpec& node) {
  return MakeKernel([has_axis = node.attributes.Has("axis"),
                     attribute = node.attributes.Int("axis", 0)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& condition = context.Input(1);
    const Shape flat = {x.elements()};
    const Shape& from = has_axis ? x.shape() : flat;
    const size_t axis = has_axis ? NormalizeAxis(attribute, x.rank()) : 0;
    const AxisSplit s = SplitAt(from, axis);
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < condition.elements(); ++i) {
      if (!condition.data<bool>()[i]) continue;
      Require(i < s.extent, ErrorCode::kInvalidArgument, "condition selects element ", i, " of an axis of ", s.extent);
      kept.push_back(i);
    }
    Shape shape = from;
    shape[axis] = static_cast<int64_t>(kept.size());
    Tensor& y = context.Output(0, x.dtype(), shape);
    int64_t to = 0;
    for (int64_t o = 0; o < s.outer; ++o) {
      for (int64_t i : kept) {
        CopyElements(x.dtype(), x.raw(), (o * s.extent + i) * s.inner, y.raw(), to, s.inner);
        to += s.inner;
      }
    }
  });
}

/// The slices along an axis as rows [count, length] of T, compared one with another.
template <typename T>
struct Slices {
  const T* data = nullptr;
  int64_t count = 0;
  int64_t length = 0;

  int Compare(int64_t i, int64_t j) const {
    for (int64_t k = 0; k < length; ++k) {
      const T& a = data[i * length + k];
      const T& b = data[j * length + k];
      if (Less(a, b)) return -1;
      if (Less(b, a)) return 1;
    }
    return 0;
  }

 private:
  /// NaN comes last, and all of them are alike.
  static bool Less(const T& a, const T& b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(b)) return !std::isnan(a);
      return a < b;
    } else {
      return a < b;
    }
  }
};

/// A complex number as two, so that they are ordered by the real part and then by the imaginary one.
template <typename T>
struct Parts {
  using type = T;
  static constexpr int64_t kCount = 1;
};
template <typename R>
struct Parts<std::complex<R>> {
  using type = R;
  static constexpr int64_t kCount = 2;
};

struct UniqueSlices {
  std::vector<int64_t> first;    // of each distinct slice, where it is seen first
  std::vector<int64_t> inverse;  // for each slice, which distinct one it is
  std::vector<int64_t> counts;
};

template <typename T>
UniqueSlices FindUnique(const Slices<T>& slices, bool sorted) {
  std::vector<int64_t> order(static_cast<size_t>(slices.count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return slices.Compare(i, j) < 0; });
  std::vector<int64_t> group(order.size());  // of each slice, in sorted order
  std::vector<int64_t> first;
  for (size_t k = 0; k < order.size(); ++k) {
    if (k == 0 || slices.Compare(order[k - 1], order[k]) != 0) first.push_back(order[k]);
    group[static_cast<size_t>(order[k])] = static_cast<int64_t>(first.size()) - 1;
  }
  // The groups in the order wanted.
  std::vector<int64_t> rank(first.size());
  std::iota(rank.begin(), rank.end(), int64_t{0});
  if (!sorted)
    std::sort(rank.begin(), rank.end(),
              [&](int64_t a, int64_t b) { return first[static_cast<size_t>(a)] < first[static_cast<size_t>(b)]; });
  UniqueSlices out;
  std::vector<int64_t> position(first.size());
  for (size_t k = 0; k < rank.size(); ++k) {
    position[static_cast<size_t>(rank[k])] = static_cast<int64_t>(k);
    out.first.push_back(first[static_cast<size_t>(rank[k])]);
  }
  out.counts.assign(first.size(), 0);
  for (int64_t g : group) {
    out.inverse.push_back(position[static_cast<size_t>(g)]);
    ++out.counts[static_cast<size_t>(out.inverse.back())];
  }
  return out;
}

void StoreIndices(KernelContext& context, size_t output, const std::vector<int64_t>& values) {
  if (!context.HasOutput(output)) return;
  Tensor& t = context.Output(output, DType::kInt64, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), t.data<int64_t>());
}

std::unique_ptr<Kernel> MakeUnique(const NodeSpec& node) {
  return MakeKernel([has_axis = node.attributes.Has("axis"), attribute = node.attributes.Int("axis", 0),
                     sorted = node.attributes.Int("sorted", 1) != 0](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Shape from = has_axis ? x.shape() : Shape{x.elements()};
    const size_t axis = has_axis ? NormalizeAxis(attribute, x.rank()) : 0;
    const AxisSplit s = SplitAt(from, axis);
    UniqueSlices unique;
    Dispatch<Join<Join<Numbers, TypeList<bool>>, Join<Complexes, TypeList<std::string>>>>(
        x.dtype(), "Unique", [&](auto tag) {
          using T = typename Parts<typename decltype(tag)::type>::type;
          constexpr int64_t kParts = Parts<typename decltype(tag)::type>::kCount;
          using W = Wide<T>;
          // std::vector<bool> has no elements to point to.
          using Element = std::conditional_t<std::is_same_v<W, bool>, uint8_t, W>;
          const int64_t inner = s.inner * kParts;
          std::vector<Element> rows(static_cast<size_t>(x.elements() * kParts));
          const T* from_at = static_cast<const T*>(x.raw());
          for (int64_t o = 0; o < s.outer; ++o) {
            for (int64_t i = 0; i < s.extent; ++i) {
              for (int64_t j = 0; j < inner; ++j)
                rows[static_cast<size_t>((i * s.outer + o) * inner + j)] = static_cast<Element>(*from_at++);
            }
          }
          unique = FindUnique(Slices<Element>{rows.data(), s.extent, s.outer * inner}, sorted);
        });
    Shape shape = from;
    shape[axis] = static_cast<int64_t>(unique.first.size());
    Tensor& y = context.Output(0, x.dtype(), shape);
    for (int64_t o = 0, to = 0; o < s.outer; ++o) {
      for (int64_t i : unique.first) {
        CopyElements(x.dtype(), x.raw(), (o * s.extent + i) * s.inner, y.raw(), to, s.inner);
        to += s.inner;
      }
    }
    StoreIndices(context, 1, unique.first);
    StoreIndices(context, 2, unique.inverse);
    StoreIndices(context, 3, unique.counts);
  });
}

std::unique_ptr<Kernel> MakeTrilu(const NodeSpec& node) {
  return MakeKernel([upper = node.attributes.Int("upper", 1) != 0](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() >= 2, ErrorCode::kInvalidArgument, "the input must be matrices, and has shape ", x.shape());
    const int64_t rows = x.dim(x.rank() - 2);
    const int64_t columns = x.dim(x.rank() - 1);
    // Far out diagonals are all alike.
    const int64_t k = context.HasInput(1) ? std::clamp(ScalarFrom(context.Input(1)), -rows - 1, columns + 1) : 0;
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    const uint64_t zeros[2] = {};  // room for any element but a string
    const std::string empty;
    const void* cleared_element = x.dtype() == DType::kString ? static_cast<const void*>(&empty) : zeros;
    for (int64_t r = 0; r < x.shape().elements(0, x.rank() - 1); ++r) {
      const int64_t row = r % rows;
      // Columns [0, split) lie below the diagonal (for the lower triangle: on it and below).
      const int64_t split = std::clamp<int64_t>(row + k + (upper ? 0 : 1), 0, columns);
      const int64_t kept = upper ? split : 0;
      const int64_t cleared = upper ? 0 : split;
      CopyElements(x.dtype(), x.raw(), r * columns + kept, y.raw(), r * columns + kept,
                   upper ? columns - split : split);
      FillElements(x.dtype(), cleared_element, y.raw(), r * columns + cleared, upper ? split : columns - split);
    }
  });
}

std::unique_ptr<Kernel> MakeReverseSequence(const NodeSpec& node) {
  const int64_t batch_axis = node.attributes.Int("batch_axis", 1);
  const int64_t time_axis = node.attributes.Int("time_axis", 0);
  Require((batch_axis == 0 && time_axis == 1) || (batch_axis == 1 && time_axis == 0), ErrorCode::kInvalidModel,
          "batch_axis and time_axis must be 0 and 1, in either order, and are ", batch_axis, " and ", time_axis);
  return MakeKernel([batch_first = batch_axis == 0](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() >= 2, ErrorCode::kInvalidArgument, "the input must have two axes or more, and has shape ",
            x.shape());
    const int64_t batch = x.dim(batch_first ? 0 : 1);
    const int64_t steps = x.dim(batch_first ? 1 : 0);
    const std::vector<int64_t> lengths = context.Input(1).To<int64_t>();
    Require(static_cast<int64_t>(lengths.size()) == batch, ErrorCode::kInvalidArgument, lengths.size(),
            " lengths for a batch of ", batch);
    const int64_t inner = x.shape().elements(2, x.rank());
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t length = lengths[static_cast<size_t>(b)];
      Require(length >= 0 && length <= steps, ErrorCode::kInvalidArgument, "a sequence length is ", length, " of ",
              steps, " steps");
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t source = t < length ? length - 1 - t : t;
        const auto row = [&](int64_t step) { return batch_first ? b * steps + step : step * batch + b; };
        CopyElements(x.dtype(), x.raw(), row(source) * inner, y.raw(), row(t) * inner, inner);
      }
    }
  });
}

}  // namespace

void AddSelect(KernelTable& table) {
  table.Add("", "Compress", {9, 11, 28}, &MakeCompress);
  table.Add("", "NonZero", {9, 13}, &MakeNonZero);
  table.Add("", "ReverseSequence", {10, 28}, &MakeReverseSequence);
  table.Add("", "TopK", {1, 10, 11, 24}, &MakeTopK);
  table.Add("", "Trilu", {14}, &MakeTrilu);
  table.Add("", "Unique", {11, 28}, &MakeUnique);
}

}  // namespace onnxforge::reference
