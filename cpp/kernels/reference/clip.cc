#include <limits>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

template <typename T>
void ClipElements(ThreadPool& threads, const T* x, const T* low, const T* high, T* y, int64_t n) {
  threads.ParallelFor(n, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T v = x[i];
      // Comparisons that NaN fails, so that NaN stays; the upper bound is last, so that it wins over a greater lower
      // one.
      if (low != nullptr && static_cast<Wide<T>>(v) < static_cast<Wide<T>>(*low)) v = *low;
      if (high != nullptr && static_cast<Wide<T>>(v) > static_cast<Wide<T>>(*high)) v = *high;
      y[i] = v;
    }
  });
}

const void* Bound(const KernelContext& context, size_t i, DType dtype) {
  const Tensor* bound = context.OptionalInput(i);
  if (bound == nullptr) return nullptr;
  Require(bound->elements() == 1 && bound->dtype() == dtype, ErrorCode::kInvalidArgument, "input ", i,
          " must be one number of ", dtype, ", and is ", bound->dtype(), bound->shape());
  return bound->raw();
}

/// From version 11 on the bounds are inputs.
std::unique_ptr<Kernel> MakeClip(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor x = context.Input(0);
    const void* low = Bound(context, 1, x.dtype());
    const void* high = Bound(context, 2, x.dtype());
    Dispatch<Numbers>(x.dtype(), "Clip", [&](auto tag) {
      using T = typename decltype(tag)::type;
      Tensor& y = context.OutputInPlace(0, x.dtype(), x.shape(), {0});
      ClipElements(context.Threads(), x.data<T>(), static_cast<const T*>(low), static_cast<const T*>(high),
                   y.template data<T>(), x.elements());
    });
  });
}

std::unique_ptr<Kernel> MakeClipByAttributes(const NodeSpec& node) {
  // Version 6 gives the bounds a default, the greatest finite numbers; version 1 has none.
  const bool bounded = node.since_version >= 6;
  const bool has_low = bounded || node.attributes.Has("min");
  const bool has_high = bounded || node.attributes.Has("max");
  const float low = node.attributes.Float("min", std::numeric_limits<float>::lowest());
  const float high = node.attributes.Float("max", std::numeric_limits<float>::max());
  return MakeKernel([=](KernelContext& context) {
    const Tensor x = context.Input(0);
    Dispatch<Floats>(x.dtype(), "Clip", [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T least = static_cast<T>(low);
      const T greatest = static_cast<T>(high);
      Tensor& y = context.OutputInPlace(0, x.dtype(), x.shape(), {0});
      ClipElements(context.Threads(), x.data<T>(), has_low ? &least : nullptr, has_high ? &greatest : nullptr,
                   y.template data<T>(), x.elements());
    });
  });
}

}  // namespace

void AddClip(KernelTable& table) {
  table.Add("", "Clip", {1, 6}, &MakeClipByAttributes);
  table.Add("", "Clip", {11, 12, 13}, &MakeClip);
}

}  // namespace onnxforge::reference
