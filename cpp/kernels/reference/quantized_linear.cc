// Products of quantised tensors: MatMulInteger, QLinearMatMul, ConvInteger, QLinearConv.
#include <algorithm>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/convolution.h"
#include "reference/list.h"
#include "reference/matmul.h"
#include "reference/quantize.h"

namespace onnxforge::reference {
namespace {

/// A zero point or scale as a shape that broadcasts to [..., rows, columns]: a vector counts rows of the left operand
/// and columns of the right one.
Shape ParameterShape(const Shape& shape, bool rows) {
  return rows && shape.rank() == 1 && shape[0] > 1 ? Shape{shape[0], 1} : shape;
}

/// t - zero as int32, in the bits of uint32_t, in scratch memory.
const uint32_t* Centred(KernelContext& context, const Tensor& t, const Tensor* zero, const Shape& zero_shape) {
  auto* out = context.Scratch<int32_t>(static_cast<size_t>(t.elements()));
  ConvertElements(t.dtype(), t.raw(), DType::kInt32, out, t.elements());
  if (zero != nullptr) {
    const int32_t* z = ReadAs<int32_t>(context, *zero);
    const StridedPlan plan = BroadcastPlan({&zero_shape}, t.shape());
    plan.ForRange(0, t.elements(), [&](const StridedPlan::Run& run) {
      for (int64_t i = 0; i < run.count; ++i) out[run.position + i] -= z[run.offset[0] + i * plan.inner_stride(0)];
    });
  }
  return reinterpret_cast<const uint32_t*>(out);
}

const uint32_t* CentredMatrix(KernelContext& context, const Tensor& t, const Tensor* zero, bool rows) {
  return Centred(context, t, zero, zero != nullptr ? ParameterShape(zero->shape(), rows) : Shape{});
}

std::unique_ptr<Kernel> MakeMatMulInteger(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& a = context.Input(0);
    const Tensor& b = context.Input(1);
    const MatMulShapes shapes = MatMulShapesOf(a.shape(), b.shape());
    Tensor& y = context.Output(0, DType::kInt32, shapes.output);
    MatMulBatches<uint32_t>(
        context.Threads(), shapes, CentredMatrix(context, a, context.OptionalInput(2), a.rank() > 1),
        CentredMatrix(context, b, context.OptionalInput(3), false), static_cast<uint32_t*>(y.raw()));
  });
}

/// The dequantised matrix, for the formats that have no integer arithmetic.
const float* Dequantized(KernelContext& context, const Tensor& t, const Tensor& scale, const Tensor& zero, bool rows) {
  float* out = context.Scratch<float>(static_cast<size_t>(t.elements()));
  const float* x = ReadAs<float>(context, t);
  const float* s = ReadAs<float>(context, scale);
  const float* z = ReadAs<float>(context, zero);
  const Shape scale_shape = ParameterShape(scale.shape(), rows);
  const Shape zero_shape = ParameterShape(zero.shape(), rows);
  const StridedPlan plan = BroadcastPlan({&scale_shape, &zero_shape}, t.shape());
  plan.ForRange(0, t.elements(), [&](const StridedPlan::Run& run) {
    for (int64_t i = 0; i < run.count; ++i) {
      const int64_t at = run.position + i;
      out[at] = (x[at] - z[run.offset[1] + i * plan.inner_stride(1)]) * s[run.offset[0] + i * plan.inner_stride(0)];
    }
  });
  return out;
}

std::unique_ptr<Kernel> MakeQLinearMatMul(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& a = context.Input(0);
    const Tensor& a_scale = context.Input(1);
    const Tensor& b = context.Input(3);
    const Tensor& b_scale = context.Input(4);
    const Tensor& y_zero = context.Input(7);
    const MatMulShapes shapes = MatMulShapesOf(a.shape(), b.shape());
    Tensor& y = context.Output(0, y_zero.dtype(), shapes.output);
    const auto count = static_cast<size_t>(y.elements());
    const float* y_scale = ReadAs<float>(context, context.Input(6));
    const double* zero = ReadAs<double>(context, y_zero);
    const Shape y_scale_shape = ParameterShape(context.Input(6).shape(), a.rank() > 1);
    double* out = context.Scratch<double>(count);
    const bool integers = IsInteger(a.dtype()) && IsInteger(b.dtype());
    float* product = context.Scratch<float>(count);
    if (integers) {
      auto* sums = context.Scratch<uint32_t>(count);
      MatMulBatches<uint32_t>(context.Threads(), shapes, CentredMatrix(context, a, &context.Input(2), a.rank() > 1),
                              CentredMatrix(context, b, &context.Input(5), false), sums);
      const float* left = ReadAs<float>(context, a_scale);
      const float* right = ReadAs<float>(context, b_scale);
      const Shape left_shape = ParameterShape(a_scale.shape(), a.rank() > 1);
      const StridedPlan plan = BroadcastPlan({&left_shape, &b_scale.shape(), &y_scale_shape}, y.shape());
      plan.ForRange(0, y.elements(), [&](const StridedPlan::Run& run) {
        for (int64_t i = 0; i < run.count; ++i) {
          const float factor = left[run.offset[0] + i * plan.inner_stride(0)] *
                               right[run.offset[1] + i * plan.inner_stride(1)] /
                               y_scale[run.offset[2] + i * plan.inner_stride(2)];
          product[run.position + i] = static_cast<float>(static_cast<int32_t>(sums[run.position + i])) * factor;
        }
      });
    } else {
      MatMulBatches<float>(context.Threads(), shapes, Dequantized(context, a, a_scale, context.Input(2), a.rank() > 1),
                           Dequantized(context, b, b_scale, context.Input(5), false), product);
      const StridedPlan plan = BroadcastPlan({&y_scale_shape}, y.shape());
      plan.ForRange(0, y.elements(), [&](const StridedPlan::Run& run) {
        for (int64_t i = 0; i < run.count; ++i) {
          product[run.position + i] /= y_scale[run.offset[0] + i * plan.inner_stride(0)];
        }
      });
    }
    const bool to_integer = IsInteger(y_zero.dtype());
    const QuantizedRange range = to_integer ? RangeOf(y_zero.dtype()) : QuantizedRange{};
    const Shape zero_shape = ParameterShape(y_zero.shape(), a.rank() > 1);
    const StridedPlan plan = BroadcastPlan({&zero_shape}, y.shape());
    plan.ForRange(0, y.elements(), [&](const StridedPlan::Run& run) {
      for (int64_t i = 0; i < run.count; ++i) {
        const double offset = zero[run.offset[0] + i * plan.inner_stride(0)];
        const double value = product[run.position + i];
        out[run.position + i] = to_integer ? Saturate(RoundToEven(value) + offset, range) : value + offset;
      }
    });
    ConvertElements(DType::kFloat64, out, y.dtype(), y.raw(), y.elements());
  });
}

/// Parameters of the weights are one for all or one per output channel.
Shape ChannelShape(const Tensor& parameter, const Tensor& w) {
  if (parameter.elements() == 1) return {};
  Require(parameter.rank() == 1 && parameter.dim(0) == w.dim(0), ErrorCode::kInvalidArgument,
          "a parameter of the weights has shape ", parameter.shape(), " for ", w.dim(0), " output channels");
  Shape shape = Shape::Filled(w.rank(), 1);
  shape[0] = w.dim(0);
  return shape;
}

struct IntegerConv {
  ConvSizes sizes;
  Window window;
};

IntegerConv ResolveConv(const WindowAttributes& attributes, int64_t groups, const Tensor& x, const Tensor& w) {
  return {ConvSizesOf(x.shape(), w.shape(), groups), attributes.Resolve(SpatialOf(x.shape()), SpatialOf(w.shape()))};
}

/// The one element that a parameter of a whole tensor has.
template <typename T>
T Single(const Tensor& parameter, const char* name) {
  Require(parameter.elements() == 1, ErrorCode::kInvalidArgument, name, " must have one element, and has shape ",
          parameter.shape());
  return parameter.To<T>()[0];
}

/// The int32 sums of a convolution whose padding is the zero point.
void ConvolveIntegers(KernelContext& context, const IntegerConv& conv, const Tensor& x, const Tensor* x_zero,
                      const Tensor& w, const Tensor* w_zero, uint32_t* sums) {
  if (x_zero != nullptr) Single<int32_t>(*x_zero, "x_zero_point");
  const uint32_t* left = Centred(context, x, x_zero, Shape{});
  const uint32_t* right = Centred(context, w, w_zero, w_zero != nullptr ? ChannelShape(*w_zero, w) : Shape{});
  Convolve<uint32_t>(context.Threads(), conv.sizes, conv.window, left, right, sums);
}

std::unique_ptr<Kernel> MakeConvInteger(const NodeSpec& node) {
  return MakeKernel([attributes = WindowAttributes(node),
                     groups = node.attributes.Int("group", 1)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& w = context.Input(1);
    const IntegerConv conv = ResolveConv(attributes, groups, x, w);
    Tensor& y =
        context.Output(0, DType::kInt32, WithSpatial(conv.sizes.batch, conv.sizes.out_channels, conv.window.output));
    auto* sums = static_cast<uint32_t*>(y.raw());
    std::fill_n(sums, y.elements(), uint32_t{0});
    ConvolveIntegers(context, conv, x, context.OptionalInput(2), w, context.OptionalInput(3), sums);
  });
}

std::unique_ptr<Kernel> MakeQLinearConv(const NodeSpec& node) {
  return MakeKernel(
      [attributes = WindowAttributes(node), groups = node.attributes.Int("group", 1)](KernelContext& context) {
        const Tensor& x = context.Input(0);
        const Tensor& w = context.Input(3);
        const Tensor& w_scale = context.Input(4);
        const Tensor& y_zero = context.Input(7);
        const IntegerConv conv = ResolveConv(attributes, groups, x, w);
        const int64_t channels = conv.sizes.out_channels;
        const int64_t positions = conv.window.positions();
        Tensor& y = context.Output(0, y_zero.dtype(), WithSpatial(conv.sizes.batch, channels, conv.window.output));
        auto* sums = context.Scratch<uint32_t>(static_cast<size_t>(y.elements()));
        const Tensor* bias = context.OptionalInput(8);
        Require(bias == nullptr || bias->elements() == channels, ErrorCode::kInvalidArgument, "the bias has shape ",
                bias != nullptr ? bias->shape() : Shape{}, " for ", channels, " channels");
        const int32_t* b = bias != nullptr ? bias->data<int32_t>() : nullptr;
        for (int64_t i = 0; i < conv.sizes.batch * channels; ++i) {
          std::fill_n(sums + i * positions, positions, b != nullptr ? static_cast<uint32_t>(b[i % channels]) : 0u);
        }
        ConvolveIntegers(context, conv, x, &context.Input(2), w, &context.Input(5), sums);
        ChannelShape(w_scale, w);
        const float x_scale = Single<float>(context.Input(1), "x_scale");
        const std::vector<float> w_scales = w_scale.To<float>();
        const float y_scale = Single<float>(context.Input(6), "y_scale");
        const double zero = Single<double>(y_zero, "y_zero_point");
        const QuantizedRange range = RangeOf(y_zero.dtype());
        float* out = context.Scratch<float>(static_cast<size_t>(y.elements()));
        for (int64_t i = 0; i < y.elements(); ++i) {
          const size_t channel = w_scales.size() == 1 ? 0 : static_cast<size_t>((i / positions) % channels);
          const float factor = x_scale * w_scales[channel] / y_scale;
          const float value = static_cast<float>(static_cast<int32_t>(sums[i])) * factor;
          out[i] = static_cast<float>(Saturate(RoundToEven(static_cast<double>(value)) + zero, range));
        }
        ConvertElements(DType::kFloat32, out, y.dtype(), y.raw(), y.elements());
      });
}

}  // namespace

void AddQuantizedLinear(KernelTable& table) {
  table.Add("", "ConvInteger", {10}, &MakeConvInteger);
  table.Add("", "MatMulInteger", {10}, &MakeMatMulInteger);
  table.Add("", "QLinearConv", {10}, &MakeQLinearConv);
  table.Add("", "QLinearMatMul", {10, 21}, &MakeQLinearMatMul);
}

}  // namespace onnxforge::reference
