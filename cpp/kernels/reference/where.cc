#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

template <typename E>
void Select(KernelContext& context, const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& y) {
  const StridedPlan plan = BroadcastPlan({&condition.shape(), &a.shape(), &b.shape()}, y.shape());
  const bool* c = condition.data<bool>();
  const E* p = MoveData<E>(a);
  const E* q = MoveData<E>(b);
  E* out = MoveData<E>(y);
  plan.ForEach(context.Threads(), kElementwiseGrain, [&](const StridedPlan::Run& run) {
    for (int64_t i = 0; i < run.count; ++i) {
      out[run.position + i] = c[run.offset[0] + i * plan.inner_stride(0)] ? p[run.offset[1] + i * plan.inner_stride(1)]
                                                                          : q[run.offset[2] + i * plan.inner_stride(2)];
    }
  });
}

std::unique_ptr<Kernel> MakeWhere(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& condition = context.Input(0);
    const Tensor& a = context.Input(1);
    const Tensor& b = context.Input(2);
    Require(a.dtype() == b.dtype(), ErrorCode::kInvalidModel, "inputs 1 and 2 have different types: ", a.dtype(),
            " and ", b.dtype());
    Tensor& y = context.Output(0, a.dtype(), BroadcastShapes(condition.shape(), BroadcastShapes(a.shape(), b.shape())));
    DispatchMove(a.dtype(), [&](auto tag) { Select<typename decltype(tag)::type>(context, condition, a, b, y); });
  });
}

}  // namespace

void AddWhere(KernelTable& table) { table.Add("", "Where", {9, 16}, &MakeWhere); }

}  // namespace onnxforge::reference
