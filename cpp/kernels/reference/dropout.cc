#include <algorithm>
#include <random>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/random.h"

namespace onnxforge::reference {
namespace {

void FillMask(KernelContext& context, const Shape& shape) {
  if (!context.HasOutput(1)) return;
  Tensor& mask = context.Output(1, DType::kBool, shape);
  std::fill_n(mask.data<bool>(), mask.elements(), true);
}

/// Before version 12 the node says how it was trained; what is run is inference, where nothing is dropped.
std::unique_ptr<Kernel> MakeDropoutInference(const NodeSpec& node) {
  // The mask has the input's type before version 10.
  return MakeKernel([version = node.since_version](KernelContext& context) {
    const Tensor x = context.Input(0);
    context.SetOutput(0, x);
    if (version >= 10) return FillMask(context, x.shape());
    if (!context.HasOutput(1)) return;
    Tensor& mask = context.Output(1, x.dtype(), x.shape());
    const float one = 1;
    double converted = 0;
    ConvertElements(DType::kFloat32, &one, x.dtype(), &converted, 1);
    FillElements(x.dtype(), &converted, mask.raw(), 0, mask.elements());
  });
}

std::unique_ptr<Kernel> MakeDropout(const NodeSpec& node) {
  return MakeKernel([seed = Seed(node)](KernelContext& context) {
    const Tensor x = context.Input(0);
    const Tensor* ratio_input = context.OptionalInput(1);
    const Tensor* training = context.OptionalInput(2);
    for (const Tensor* number : {ratio_input, training}) {
      Require(number == nullptr || number->elements() == 1, ErrorCode::kInvalidArgument,
              "ratio and training_mode must be one number each, not a tensor of shape ",
              number != nullptr ? number->shape() : Shape{});
    }
    const float ratio = ratio_input != nullptr ? *ReadAs<float>(context, *ratio_input) : 0.5f;
    if (training == nullptr || !*training->data<bool>() || ratio == 0) {
      context.SetOutput(0, x);
      return FillMask(context, x.shape());
    }
    Require(ratio > 0 && ratio < 1, ErrorCode::kInvalidArgument, "ratio must be in [0, 1), and is ", ratio);
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    bool* mask = context.HasOutput(1) ? context.Output(1, DType::kBool, x.shape()).data<bool>() : nullptr;
    std::mt19937 engine = seed.Engine();
    DispatchFloat(WideDType(x.dtype()) == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32, "Dropout",
                  [&](auto tag) {
                    using C = typename decltype(tag)::type;
                    const C* in = ReadAs<C>(context, x);
                    WideOutput<C> out(context, y);
                    const C scale = C{1} / (C{1} - static_cast<C>(ratio));
                    for (int64_t i = 0; i < x.elements(); ++i) {
                      const bool kept = UniformReal(engine) >= static_cast<double>(ratio);
                      if (mask != nullptr) mask[i] = kept;
                      out.data()[i] = kept ? scale * in[i] : C{0};
                    }
                    out.Store();
                  });
  });
}

}  // namespace

void AddDropout(KernelTable& table) {
  table.Add("", "Dropout", {1, 6, 7, 10}, &MakeDropoutInference);
  table.Add("", "Dropout", {12, 13, 22}, &MakeDropout);
}

}  // namespace onnxforge::reference
