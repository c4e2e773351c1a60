// QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear.
#include "reference/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {

double RoundToEven(double x) {
  const double rounded = std::floor(x + 0.5);
  // floor(x + 0.5) errs only on halves, where it goes up.
  return rounded - x == 0.5 && std::fmod(rounded, 2.0) != 0 ? rounded - 1 : rounded;
}

QuantizedRange RangeOf(DType dtype) {
  switch (dtype) {
    case DType::kUInt8:
      return {0, 255};
    case DType::kInt8:
      return {-128, 127};
    case DType::kUInt16:
      return {0, 65535};
    case DType::kInt16:
      return {-32768, 32767};
    case DType::kUInt4:
      return {0, 15};
    case DType::kInt4:
      return {-8, 7};
    case DType::kUInt2:
      return {0, 3};
    case DType::kInt2:
      return {-2, 1};
    default:
      Fail(ErrorCode::kUnsupported, "quantisation is not defined for tensors of ", DTypeName(dtype));
  }
}

double Saturate(double value, QuantizedRange range) {
  if (std::isnan(value)) return 0;
  return std::clamp(value, range.least, range.greatest);
}

namespace {

/// How many blocks of that size hold `extent` elements.
int64_t BlocksOf(int64_t extent, int64_t block) { return extent / block + (extent % block != 0 ? 1 : 0); }

/// Which scale (and zero point) belongs to an element: one for all, one per index of an axis, or one per block along
/// it.
class Granularity {
 public:
  Granularity(const Shape& x, const Shape& scale, int64_t axis_attribute, int64_t block) {
    if (scale.elements() == 1 && block == 0) return;
    const size_t axis = NormalizeAxis(axis_attribute, x.rank());
    const AxisSplit s = SplitAt(x, axis);
    inner_ = s.inner;
    extent_ = s.extent;
    if (scale.rank() == 1 && block == 0) {
      Require(scale[0] == s.extent, ErrorCode::kInvalidArgument, "the scale has shape ", scale, " for an axis of ",
              s.extent);
      per_axis_ = true;
      return;
    }
    Shape expected = x;
    Require(scale.rank() == x.rank(), ErrorCode::kInvalidArgument, "the scale has shape ", scale,
            " for an input of shape ", x);
    if (block == 0 && scale[axis] > 0) block = std::max<int64_t>(1, BlocksOf(s.extent, scale[axis]));
    Require(block > 0, ErrorCode::kInvalidArgument, "block_size is ", block);
    expected[axis] = BlocksOf(s.extent, block);
    Require(scale == expected, ErrorCode::kInvalidArgument, "the scale has shape ", scale, ", ", expected,
            " is expected for an input of shape ", x, " and block_size=", block);
    block_ = block;
    blocks_ = expected[axis];
  }

  int64_t operator()(int64_t i) const {
    if (per_axis_) return (i / inner_) % extent_;
    if (block_ == 0) return 0;
    return ((i / (inner_ * extent_)) * blocks_ + (i / inner_) % extent_ / block_) * inner_ + i % inner_;
  }

 private:
  int64_t inner_ = 1;
  int64_t extent_ = 1;
  int64_t block_ = 0;
  int64_t blocks_ = 0;
  bool per_axis_ = false;
};

struct QuantizeAttributes {
  int64_t axis = 1;
  int64_t block_size = 0;
  DType output_dtype = DType::kUndefined;
  DType precision = DType::kUndefined;
  bool saturate = true;
};

QuantizeAttributes ReadAttributes(const NodeSpec& node) {
  QuantizeAttributes out;
  out.axis = node.attributes.Int("axis", 1);
  out.block_size = node.attributes.Int("block_size", 0);
  out.output_dtype = static_cast<DType>(node.attributes.Int("output_dtype", 0));
  out.precision = static_cast<DType>(node.attributes.Int("precision", 0));
  out.saturate = node.attributes.Int("saturate", 1) != 0;
  return out;
}

/// `value` as a number of `dtype` would hold it.
float RoundedTo(DType dtype, float value) {
  if (dtype == DType::kFloat16) return Float16(value);
  if (dtype == DType::kBFloat16) return BFloat16(value);
  return value;
}

void RequireSameShape(const Tensor* zero, const Tensor& scale) {
  Require(zero == nullptr || zero->elements() == scale.elements(), ErrorCode::kInvalidArgument,
          "the zero point has shape ", zero != nullptr ? zero->shape() : Shape{}, " and the scale ", scale.shape());
}

std::unique_ptr<Kernel> MakeQuantizeLinear(const NodeSpec& node) {
  return MakeKernel([a = ReadAttributes(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& scale = context.Input(1);
    const Tensor* zero = context.OptionalInput(2);
    RequireSameShape(zero, scale);
    const DType dtype = zero != nullptr                       ? zero->dtype()
                        : a.output_dtype != DType::kUndefined ? a.output_dtype
                                                              : DType::kUInt8;
    const Granularity at(x.shape(), scale.shape(), a.axis, a.block_size);
    Tensor& y = context.Output(0, dtype, x.shape());
    const DType precision = a.precision != DType::kUndefined ? a.precision : scale.dtype();
    const float* in = ReadAs<float>(context, x);
    const float* scales = ReadAs<float>(context, scale);
    const float* zeros = zero != nullptr ? ReadAs<float>(context, *zero) : nullptr;
    float* out = context.Scratch<float>(static_cast<size_t>(x.elements()));
    const bool to_float = IsFloating(dtype);
    const QuantizedRange range = to_float ? QuantizedRange{} : RangeOf(dtype);
    for (int64_t i = 0; i < x.elements(); ++i) {
      const int64_t s = at(i);
      const double quotient = RoundedTo(precision, in[i] / scales[s]);
      const double offset = zeros != nullptr ? static_cast<double>(zeros[s]) : 0.0;
      out[i] = static_cast<float>(to_float ? quotient + offset : Saturate(RoundToEven(quotient) + offset, range));
    }
    ConvertOptions options;
    options.saturate = a.saturate;
    ConvertElements(DType::kFloat32, out, dtype, y.raw(), x.elements(), options);
  });
}

std::unique_ptr<Kernel> MakeDequantizeLinear(const NodeSpec& node) {
  return MakeKernel([a = ReadAttributes(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& scale = context.Input(1);
    const Tensor* zero = context.OptionalInput(2);
    RequireSameShape(zero, scale);
    const Granularity at(x.shape(), scale.shape(), a.axis, a.block_size);
    const DType dtype = a.output_dtype != DType::kUndefined ? a.output_dtype : scale.dtype();
    Tensor& y = context.Output(0, dtype, x.shape());
    // double holds every int32 and every difference of two of them.
    const double* in = ReadAs<double>(context, x);
    const float* scales = ReadAs<float>(context, scale);
    const double* zeros = zero != nullptr ? ReadAs<double>(context, *zero) : nullptr;
    WideOutput<float> out(context, y);
    for (int64_t i = 0; i < x.elements(); ++i) {
      const int64_t s = at(i);
      out.data()[i] = static_cast<float>(in[i] - (zeros != nullptr ? zeros[s] : 0.0)) * scales[s];
    }
    out.Store();
  });
}

std::unique_ptr<Kernel> MakeDynamicQuantizeLinear(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const float* in = x.data<float>();
    float least = 0;  // the range always has 0 in it
    float greatest = 0;
    for (int64_t i = 0; i < x.elements(); ++i) {
      least = std::min(least, in[i]);
      greatest = std::max(greatest, in[i]);
    }
    // All zeros: any scale will do.
    const float scale = greatest == least ? 1.0f : (greatest - least) / 255.0f;
    const double zero = Saturate(RoundToEven(static_cast<double>(-least / scale)), {0, 255});
    Tensor& y = context.Output(0, DType::kUInt8, x.shape());
    for (int64_t i = 0; i < x.elements(); ++i) {
      y.data<uint8_t>()[i] =
          static_cast<uint8_t>(Saturate(RoundToEven(static_cast<double>(in[i] / scale)) + zero, {0, 255}));
    }
    *context.Output(1, DType::kFloat32, {}).data<float>() = scale;
    *context.Output(2, DType::kUInt8, {}).data<uint8_t>() = static_cast<uint8_t>(zero);
  });
}

}  // namespace

void AddQuantize(KernelTable& table) {
  table.Add("", "DequantizeLinear", {10, 13, 19, 21, 23, 24, 25, 28}, &MakeDequantizeLinear);
  table.Add("", "DynamicQuantizeLinear", {11}, &MakeDynamicQuantizeLinear);
  table.Add("", "QuantizeLinear", {10, 13, 19, 21, 23, 24, 25, 28}, &MakeQuantizeLinear);
}

}  // namespace onnxforge::reference
