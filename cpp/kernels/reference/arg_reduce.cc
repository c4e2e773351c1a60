// ArgMax and ArgMin.
#include <cmath>
#include <type_traits>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/reduce.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

/// Whether x goes before the best so far: NaN does before everything, as in NumPy.
template <bool kMax, typename T>
bool Beats(T x, T best) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(best)) return false;
    if (std::isnan(x)) return true;
  }
  return kMax ? x > best : x < best;
}

template <bool kMax>
std::unique_ptr<Kernel> MakeArg(const NodeSpec& node) {
  const int64_t attribute = node.attributes.Int("axis", 0);
  const bool keep_dims = node.attributes.Int("keepdims", 1) != 0;
  const bool last = node.attributes.Int("select_last_index", 0) != 0;
  return MakeKernel([=](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const size_t axis = NormalizeAxis(attribute, x.rank());
    std::vector<bool> reduced(x.rank(), false);
    reduced[axis] = true;
    const AxisSplit s = SplitAt(x.shape(), axis);
    Tensor& y = context.Output(0, DType::kInt64, ReducedShape(x.shape(), reduced, keep_dims));
    Require(s.extent > 0 || y.elements() == 0, ErrorCode::kInvalidArgument, "axis ", axis, " of shape ", x.shape(),
            " is empty");
    Dispatch<Numbers>(x.dtype(), kMax ? "ArgMax" : "ArgMin", [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < y.elements(); ++i) {
        const T* line = x.data<T>() + (i / s.inner) * s.extent * s.inner + i % s.inner;
        int64_t best = 0;
        for (int64_t j = 1; j < s.extent; ++j) {
          const auto v = static_cast<Wide<T>>(line[j * s.inner]);
          const auto b = static_cast<Wide<T>>(line[best * s.inner]);
          if (Beats<kMax>(v, b) || (last && v == b)) best = j;
        }
        y.data<int64_t>()[i] = best;
      }
    });
  });
}

}  // namespace

void AddArgReduce(KernelTable& table) {
  table.Add("", "ArgMax", {1, 11, 12, 13}, &MakeArg<true>);
  table.Add("", "ArgMin", {1, 11, 12, 13}, &MakeArg<false>);
}

}  // namespace onnxforge::reference
