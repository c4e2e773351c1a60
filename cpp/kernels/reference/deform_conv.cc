// DeformConv: a convolution whose taps are moved by offsets and sampled between the elements.
#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/compute.h"
#include "reference/convolution.h"
#include "reference/list.h"
#include "reference/matrix.h"

namespace onnxforge::reference {
namespace {

constexpr size_t kMostAxes = 8;  // a point between the elements has 2^axes neighbours

/// Window positions that are worked on at once.
constexpr int64_t kBlock = 128;

struct DeformAttributes {
  WindowAttributes window;
  int64_t groups = 1;
  int64_t offset_groups = 1;
};

/// An element of a plane and its weight.
struct Neighbour {
  int64_t at = 0;
  double weight = 0;
};

/// The elements around a point of a plane; those outside of it are zeros and left out.
void NeighboursOf(const std::vector<double>& point, Span<const int64_t> extents, std::vector<Neighbour>& out) {
  out.clear();
  for (size_t axis = 0; axis < point.size(); ++axis) {
    // Written so that NaN is outside too.
    if (!(point[axis] > -1 && point[axis] < static_cast<double>(extents[axis]))) return;
  }
  out.push_back({0, 1.0});
  for (size_t axis = 0; axis < point.size(); ++axis) {
    const double base = std::floor(point[axis]);
    const double fraction = point[axis] - base;
    const auto low = static_cast<int64_t>(base);
    const size_t count = out.size();
    for (size_t i = 0; i < count; ++i) {
      const Neighbour outer = out[i];
      const int64_t row = outer.at * extents[axis];
      out[i] = {row + std::max<int64_t>(low, 0), low >= 0 ? outer.weight * (1 - fraction) : 0};
      if (low + 1 < extents[axis]) out.push_back({row + low + 1, outer.weight * fraction});
    }
  }
}

/// One deformable convolution over tensors of C.
template <typename C>
class DeformedConvolution {
 public:
  DeformedConvolution(const ConvSizes& sizes, const Window& window, int64_t offset_groups, const C* x, const C* offset,
                      const C* mask)
      : sizes_(sizes), window_(window), offset_groups_(offset_groups), x_(x), offset_(offset), mask_(mask) {}

  /// patches[channel, tap, position] for the positions [first, first + count) of an image.
  void Gather(int64_t image, int64_t first, int64_t count, C* patches) const {
    const int64_t taps = window_.taps();
    const int64_t channels = sizes_.in_channels / offset_groups_;
    std::vector<double> point(window_.rank());
    std::vector<Neighbour> neighbours;
    for (int64_t group = 0; group < offset_groups_; ++group) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t i = 0; i < count; ++i) {
          const int64_t sampled = (image * offset_groups_ + group) * taps + tap;
          PointOf(sampled, tap, first + i, point);
          NeighboursOf(point, window_.input, neighbours);
          const double scale =
              mask_ == nullptr ? 1.0 : static_cast<double>(mask_[sampled * window_.positions() + first + i]);
          for (int64_t c = group * channels; c < (group + 1) * channels; ++c) {
            const C* plane = x_ + (image * sizes_.in_channels + c) * window_.plane();
            double sum = 0;
            for (const Neighbour& n : neighbours) sum += n.weight * static_cast<double>(plane[n.at]);
            patches[(c * taps + tap) * count + i] = static_cast<C>(sum * scale);
          }
        }
      }
    }
  }

 private:
  /// Where a tap of a window position lies, in elements of the input.
  void PointOf(int64_t sampled, int64_t tap, int64_t position, std::vector<double>& point) const {
    const auto rank = static_cast<int64_t>(window_.rank());
    const int64_t positions = window_.positions();
    int64_t taps_left = tap;
    int64_t positions_left = position;
    for (int64_t axis = rank - 1; axis >= 0; --axis) {
      const auto a = static_cast<size_t>(axis);
      const int64_t regular = positions_left % window_.output[a] * window_.strides[a] - window_.pad_begin[a] +
                              taps_left % window_.kernel[a] * window_.dilations[a];
      positions_left /= window_.output[a];
      taps_left /= window_.kernel[a];
      point[a] =
          static_cast<double>(regular) + static_cast<double>(offset_[(sampled * rank + axis) * positions + position]);
    }
  }

  const ConvSizes& sizes_;
  const Window& window_;
  int64_t offset_groups_;
  const C* x_;
  const C* offset_;
  const C* mask_;
};

template <typename C>
void RunDeformConv(KernelContext& context, const ConvSizes& sizes, const Window& window, int64_t offset_groups,
                   Tensor& y) {
  const Tensor* bias = context.OptionalInput(3);
  const Tensor* mask = context.OptionalInput(4);
  const C* w = ReadAs<C>(context, context.Input(1));
  const C* b = bias == nullptr ? nullptr : ReadAs<C>(context, *bias);
  const DeformedConvolution<C> convolution(sizes, window, offset_groups, ReadAs<C>(context, context.Input(0)),
                                           ReadAs<C>(context, context.Input(2)),
                                           mask == nullptr ? nullptr : ReadAs<C>(context, *mask));
  WideOutput<C> out(context, y);
  const int64_t positions = window.positions();
  for (int64_t i = 0; i < sizes.batch * sizes.out_channels; ++i)
    std::fill_n(out.data() + i * positions, positions, b == nullptr ? C{0} : b[i % sizes.out_channels]);
  const int64_t patch = sizes.in_channels / sizes.groups * window.taps();
  const int64_t out_channels = sizes.out_channels / sizes.groups;
  const int64_t blocks = (positions + kBlock - 1) / kBlock;
  context.Threads().ParallelFor(sizes.batch * blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<C> patches(static_cast<size_t>(patch * sizes.groups * kBlock));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % blocks * kBlock;
      const int64_t count = std::min(kBlock, positions - first);
      convolution.Gather(task / blocks, first, count, patches.data());
      for (int64_t group = 0; group < sizes.groups; ++group) {
        C* to = out.data() + (task / blocks * sizes.out_channels + group * out_channels) * positions + first;
        MultiplyAdd(out_channels, count, patch, w + group * out_channels * patch, patch, int64_t{1},
                    patches.data() + group * patch * count, count, to, positions);
      }
    }
  });
  out.Store();
}

void RequireShape(const Tensor& t, const Shape& wanted, const char* name) {
  Require(t.shape() == wanted, ErrorCode::kInvalidArgument, name, " has shape ", t.shape(), ", and ", wanted,
          " is expected");
}

std::unique_ptr<Kernel> MakeDeformConv(const NodeSpec& node) {
  DeformAttributes a = {WindowAttributes(node), node.attributes.Int("group", 1),
                        node.attributes.Int("offset_group", 1)};
  return MakeKernel([a = std::move(a)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& w = context.Input(1);
    const ConvSizes sizes = ConvSizesOf(x.shape(), w.shape(), a.groups);
    const Span<const int64_t> kernel = SpatialOf(w.shape());
    const Window window = a.window.Resolve(SpatialOf(x.shape()), kernel);
    Require(window.rank() <= kMostAxes, ErrorCode::kUnsupported, "DeformConv over ", window.rank(), " spatial axes");
    Require(std::equal(window.kernel.begin(), window.kernel.end(), kernel.begin(), kernel.end()),
            ErrorCode::kInvalidModel, "attribute 'kernel_shape' contradicts the weights' shape ", w.shape());
    Require(a.offset_groups > 0 && sizes.in_channels % a.offset_groups == 0, ErrorCode::kInvalidArgument,
            sizes.in_channels, " channels cannot be split into ", a.offset_groups, " groups of offsets");
    const int64_t samples = a.offset_groups * window.taps();
    const auto rank = static_cast<int64_t>(window.rank());
    RequireShape(context.Input(2), WithSpatial(sizes.batch, samples * rank, window.output), "the offset");
    if (context.HasInput(3)) RequireShape(context.Input(3), {sizes.out_channels}, "the bias");
    if (context.HasInput(4))
      RequireShape(context.Input(4), WithSpatial(sizes.batch, samples, window.output), "the mask");
    Tensor& y = context.Output(0, x.dtype(), WithSpatial(sizes.batch, sizes.out_channels, window.output));
    DispatchFloat(x.dtype(), "DeformConv", [&](auto tag) {
      RunDeformConv<typename decltype(tag)::type>(context, sizes, window, a.offset_groups, y);
    });
  });
}

}  // namespace

void AddDeformConv(KernelTable& table) { table.Add("", "DeformConv", {19, 22}, &MakeDeformConv); }

}  // namespace onnxforge::reference
