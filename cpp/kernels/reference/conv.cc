// Conv and ConvTranspose.
#include <algorithm>
#include <vector>

#include "reference/compute.h"
#include "reference/convolution.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

/// Fills y[N, M, positions] with the bias, or with 0 where there is none.
template <typename C>
void FillBias(KernelContext& context, int64_t batch, int64_t channels, int64_t positions, C* y) {
  const Tensor* bias = context.OptionalInput(2);
  const C* b = bias != nullptr ? ReadAs<C>(context, *bias) : nullptr;
  Require(bias == nullptr || (bias->rank() == 1 && bias->dim(0) == channels), ErrorCode::kInvalidArgument,
          "the bias has shape ", bias != nullptr ? bias->shape() : Shape{}, " for ", channels, " channels");
  for (int64_t i = 0; i < batch * channels; ++i)
    std::fill_n(y + i * positions, positions, b != nullptr ? b[i % channels] : C{0});
}

std::unique_ptr<Kernel> MakeConv(const NodeSpec& node) {
  return MakeKernel(
      [attributes = WindowAttributes(node), groups = node.attributes.Int("group", 1)](KernelContext& context) {
        const Tensor& x = context.Input(0);
        const Tensor& w = context.Input(1);
        const ConvSizes sizes = ConvSizesOf(x.shape(), w.shape(), groups);
        const Window window = attributes.Resolve(SpatialOf(x.shape()), SpatialOf(w.shape()));
        Require(SpatialOf(w.shape()).size() == window.rank() &&
                    std::equal(window.kernel.begin(), window.kernel.end(), SpatialOf(w.shape()).begin()),
                ErrorCode::kInvalidModel, "attribute 'kernel_shape' contradicts the weights' shape ", w.shape());
        Tensor& y = context.Output(0, x.dtype(), WithSpatial(sizes.batch, sizes.out_channels, window.output));
        DispatchFloat(x.dtype(), "Conv", [&](auto tag) {
          using C = typename decltype(tag)::type;
          WideOutput<C> out(context, y);
          FillBias(context, sizes.batch, sizes.out_channels, window.positions(), out.data());
          Convolve(context.Threads(), sizes, window, ReadAs<C>(context, x), ReadAs<C>(context, w), out.data());
          out.Store();
        });
      });
}

/// The window whose positions are the input's elements and which slides over the output.
Window ResolveTransposed(const WindowAttributes& attributes, Span<const int64_t> spatial, Span<const int64_t> kernel,
                         const std::vector<int64_t>& output_padding, const std::vector<int64_t>& output_shape) {
  Window w = attributes.Open(kernel);
  const size_t rank = w.kernel.size();
  Require(rank == spatial.size(), ErrorCode::kInvalidArgument, "the kernel has ", rank, " spatial axes and the input ",
          spatial.size());
  Require(output_padding.empty() || output_padding.size() == rank, ErrorCode::kInvalidModel,
          "attribute 'output_padding' has ", output_padding.size(), " numbers for ", rank, " spatial axes");
  Require(output_shape.empty() || output_shape.size() == rank, ErrorCode::kInvalidModel,
          "attribute 'output_shape' has ", output_shape.size(), " numbers for ", rank, " spatial axes");
  const AutoPad auto_pad = attributes.auto_pad();
  const bool same = auto_pad == AutoPad::kSameUpper || auto_pad == AutoPad::kSameLower;
  w.output.assign(spatial.begin(), spatial.end());
  w.input.resize(rank);
  for (size_t axis = 0; axis < rank; ++axis) {
    const int64_t extra = output_padding.empty() ? 0 : output_padding[axis];
    const int64_t full = w.strides[axis] * (spatial[axis] - 1) + extra + (w.kernel[axis] - 1) * w.dilations[axis] + 1;
    if (output_shape.empty() && !same) {
      w.input[axis] = full - w.pad_begin[axis] - w.pad_end[axis];
    } else {
      w.input[axis] = output_shape.empty() ? spatial[axis] * w.strides[axis] : output_shape[axis];
      const int64_t total = std::max<int64_t>(0, full - w.input[axis]);
      w.pad_begin[axis] = auto_pad == AutoPad::kSameUpper ? total / 2 : total - total / 2;
      w.pad_end[axis] = total - w.pad_begin[axis];
    }
    Require(w.input[axis] >= 0, ErrorCode::kInvalidArgument, "the output would have the extent ", w.input[axis],
            " along spatial axis ", axis);
  }
  return w;
}

std::unique_ptr<Kernel> MakeConvTranspose(const NodeSpec& node) {
  return MakeKernel([attributes = WindowAttributes(node), groups = node.attributes.Int("group", 1),
                     output_padding = node.attributes.Ints("output_padding"),
                     output_shape = node.attributes.Ints("output_shape")](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& w = context.Input(1);
    Require(x.rank() >= 3 && w.rank() == x.rank() && groups > 0 && x.dim(1) == w.dim(0) && x.dim(1) % groups == 0,
            ErrorCode::kInvalidArgument, "x of shape ", x.shape(), " and w of shape ", w.shape(),
            " do not agree on the channels, with group=", groups);
    const ConvSizes sizes = {x.dim(0), groups, x.dim(1), w.dim(1) * groups};
    const Window window =
        ResolveTransposed(attributes, SpatialOf(x.shape()), SpatialOf(w.shape()), output_padding, output_shape);
    Require(std::equal(window.kernel.begin(), window.kernel.end(), SpatialOf(w.shape()).begin()),
            ErrorCode::kInvalidModel, "attribute 'kernel_shape' contradicts the weights' shape ", w.shape());
    Tensor& y = context.Output(0, x.dtype(), WithSpatial(sizes.batch, sizes.out_channels, window.input));
    DispatchFloat(x.dtype(), "ConvTranspose", [&](auto tag) {
      using C = typename decltype(tag)::type;
      WideOutput<C> out(context, y);
      FillBias(context, sizes.batch, sizes.out_channels, window.plane(), out.data());
      ConvolveTransposed(context.Threads(), sizes, window, ReadAs<C>(context, x), ReadAs<C>(context, w), out.data());
      out.Store();
    });
  });
}

}  // namespace

void AddConv(KernelTable& table) {
  table.Add("", "Conv", {1, 11, 22}, &MakeConv);
  table.Add("", "ConvTranspose", {1, 11, 22}, &MakeConvTranspose);
}

}  // namespace onnxforge::reference
