// CumSum and CumProd.
#include <type_traits>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

template <bool kProduct>
std::unique_ptr<Kernel> MakeCumulative(const NodeSpec& node) {
  const bool exclusive = node.attributes.Int("exclusive", 0) != 0;
  const bool reverse = node.attributes.Int("reverse", 0) != 0;
  return MakeKernel([=](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const AxisSplit s = SplitAt(x.shape(), NormalizeAxis(ScalarFrom(context.Input(1)), x.rank()));
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    Dispatch<Join<WideFloats, Integers>>(WideDType(x.dtype()), kProduct ? "CumProd" : "CumSum", [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* in = ReadAs<T>(context, x);
      WideOutput<T> out(context, y);
      for (int64_t i = 0; i < s.outer * s.inner; ++i) {
        const int64_t begin = (i / s.inner) * s.extent * s.inner + i % s.inner;
        T acc = kProduct ? T{1} : T{0};
        for (int64_t j = 0; j < s.extent; ++j) {
          const int64_t at = begin + (reverse ? s.extent - 1 - j : j) * s.inner;
          T next;
          if constexpr (std::is_integral_v<T>) {
            const auto a = static_cast<uint64_t>(acc);
            const auto v = static_cast<uint64_t>(in[at]);
            next = static_cast<T>(kProduct ? a * v : a + v);
          } else {
            next = kProduct ? acc * in[at] : acc + in[at];
          }
          out.data()[at] = exclusive ? acc : next;
          acc = next;
        }
      }
      out.Store();
    });
  });
}

}  // namespace

void AddCumulative(KernelTable& table) {
  table.Add("", "CumProd", {26}, &MakeCumulative<true>);
  table.Add("", "CumSum", {11, 14}, &MakeCumulative<false>);
}

}  // namespace onnxforge::reference
