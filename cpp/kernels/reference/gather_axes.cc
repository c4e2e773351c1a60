#include "reference/gather_axes.h"

#include <algorithm>

#include "reference/broadcast.h"
#include "reference/compute.h"

namespace onnxforge::reference {
namespace {

template <typename E>
void GatherElements(ThreadPool& threads, const Tensor& x, const std::vector<std::vector<int64_t>>& sources,
                    const E& fill, Tensor& y) {
  const E* in = MoveData<E>(x);
  E* out = MoveData<E>(y);
  const size_t rank = x.rank();
  const std::vector<int64_t>& row = sources[rank - 1];
  const auto width = static_cast<int64_t>(row.size());
  const Shape strides = RowMajorStrides(x.shape());
  const int64_t rows = y.shape().elements(0, rank - 1);
  threads.ParallelFor(rows, kElementwiseGrain / std::max<int64_t>(width, 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      int64_t from = 0;
      bool filled = false;
      int64_t rest = r;
      for (size_t axis = rank - 1; axis-- > 0;) {
        const int64_t source = sources[axis][static_cast<size_t>(rest % y.dim(axis))];
        rest /= y.dim(axis);
        filled = filled || source == kFill;
        from += source * strides[axis];
      }
      E* to = out + r * width;
      for (int64_t i = 0; i < width; ++i) {
        const int64_t source = row[static_cast<size_t>(i)];
        to[i] = filled || source == kFill ? fill : in[from + source];
      }
    }
  });
}

}  // namespace

void GatherAxes(ThreadPool& threads, const Tensor& x, const std::vector<std::vector<int64_t>>& sources,
                const void* fill, Tensor& y) {
  if (y.elements() == 0) return;
  DispatchMove(x.dtype(), [&](auto tag) {
    using E = typename decltype(tag)::type;
    GatherElements<E>(threads, x, sources, fill != nullptr ? *static_cast<const E*>(fill) : E{}, y);
  });
}

}  // namespace onnxforge::reference
