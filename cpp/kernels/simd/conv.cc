// Conv-1/11/22 for float32 in one or two spatial dimensions, and the channels-last form that passes make of it. It is
// computed with the channels last: a matrix multiplication whose rows are read where they lie in the image, tap by tap,
// or a loop over the channels where every channel has a filter of its own. Constant filters are packed when the session
// is built, others in every run.

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "reference/window.h"
#include "simd/epilogue.h"
#include "simd/gemm.h"
#include "simd/geometry.h"
#include "simd/list.h"
#include "simd/tasks.h"
#include "simd/transpose.h"
#include "simd/winograd.h"

namespace onnxforge::simd {
namespace {

// Fewer output positions than these are computed directly.
constexpr size_t kWinogradPositions = 128;
// Below this depth of a tap, a padded copy of the image is cheaper than many short taps.
constexpr size_t kShallow = 48;
// Floats of filters that are put in order at a time: they stay in the first-level cache.
constexpr size_t kPackedFloats = 4096;

/// The filters [M, C / group, spatial…] as the multiplication wants them.
struct Filters {
  Tensor tensor;
  size_t groups = 1;
  size_t channels_per_group = 0;
  size_t out_per_group = 0;
  size_t kernel_h = 1;
  size_t kernel_w = 1;
  const float* packed = nullptr;  // [group][panel][tap · channel][nr]; depthwise: [tap][channel]

  Filters() = default;
  Filters(Tensor filters, size_t group_count) : tensor(std::move(filters)), groups(group_count) {
    const Shape& shape = tensor.shape();
    Require(shape.rank() == 3 || shape.rank() == 4, ErrorCode::kInvalidArgument, "filters of shape ", shape,
            " are not for one or two spatial dimensions");
    Require(static_cast<size_t>(shape[0]) % groups == 0, ErrorCode::kInvalidArgument, "filters of shape ", shape,
            " cannot be divided into ", groups, " groups");
    channels_per_group = static_cast<size_t>(shape[1]);
    kernel_h = shape.rank() == 4 ? static_cast<size_t>(shape[2]) : 1;
    kernel_w = static_cast<size_t>(shape[shape.rank() - 1]);
    out_per_group = static_cast<size_t>(shape[0]) / groups;
    Require(depth() != 0, ErrorCode::kInvalidArgument, "filters of shape ", shape, " are empty");
  }

  size_t taps() const { return kernel_h * kernel_w; }
  size_t depth() const { return taps() * channels_per_group; }
  bool depthwise() const { return channels_per_group == 1 && out_per_group == 1 && groups > 1; }
  size_t group_floats(const GemmOps& ops) const { return PackedSize(ops, depth(), out_per_group); }
  size_t packed_floats(const GemmOps& ops) const { return depthwise() ? taps() * groups : groups * group_floats(ops); }

  void Pack(const GemmOps& ops, float* out) {
    packed = out;
    const float* from = tensor.data<float>();
    if (depthwise()) {
      for (size_t c = 0; c < groups; ++c) {
        for (size_t tap = 0; tap < taps(); ++tap) out[tap * groups + c] = *from++;
      }
      return;
    }
    for (size_t group = 0; group < groups; ++group) {
      const float* filters = from + group * out_per_group * depth();
      float* panels = out + group * group_floats(ops);
      for (size_t m = 0; m < out_per_group; m += ops.nr) {
        PackPanel(ops, filters + m * depth(), std::min(ops.nr, out_per_group - m), panels + m * depth());
      }
    }
  }

 private:
  /// [column][channel][tap] → [tap][channel][nr], a few channels at a time so that what is written stays in cache.
  void PackPanel(const GemmOps& ops, const float* from, size_t columns, float* out) const {
    if (taps() == 1) return ops.pack_b(from, depth(), true, depth(), columns, 0, 1, out);
    const size_t channels = std::min(channels_per_group, 1 + kPackedFloats / (taps() * ops.nr));
    std::vector<float> some(channels * taps() * ops.nr);  // [channel][tap][nr]
    for (size_t begin = 0; begin < channels_per_group; begin += channels) {
      const size_t count = std::min(channels, channels_per_group - begin);
      ops.pack_b(from + begin * taps(), depth(), true, count * taps(), columns, 0, 1, some.data());
      const float* row = some.data();
      for (size_t c = begin; c < begin + count; ++c) {
        for (size_t tap = 0; tap < taps(); ++tap, row += ops.nr) {
          std::copy_n(row, ops.nr, out + (tap * channels_per_group + c) * ops.nr);
        }
      }
    }
  }
};

/// Convolution of images with the channels last.
class Convolver {
 public:
  explicit Convolver(const NodeSpec& node)
      : ops_(GemmOpsFor(node.target)), window_(node), groups_(static_cast<size_t>(node.attributes.Int("group", 1))) {
    if (!node.IsConstant(1)) return;
    constant_ = Filters(node.constant_inputs[1], groups_);
    const bool winograd = Winograd::Pays(constant_.tensor, groups_);
    const std::optional<bool> large = winograd ? IsLarge(node) : false;
    if (winograd && large.value_or(true)) winograd_.emplace(node, ops_, constant_.tensor);
    if (!large.value_or(false)) {
      storage_ = node.AllocateWeights(constant_.packed_floats(ops_) * sizeof(float));
      constant_.Pack(ops_, static_cast<float*>(storage_.get()));
    }
    // From here on only the shape is asked for.
    constant_.tensor = Tensor::View(constant_.tensor.dtype(), constant_.tensor.shape(), nullptr, nullptr);
  }

  bool ReadsConstant(size_t input) const { return input != 1 || !constant_.tensor.defined(); }

  Filters FiltersFor(KernelContext& context) const {
    if (constant_.tensor.defined()) return constant_;
    Filters filters(context.Input(1), groups_);
    filters.Pack(ops_, context.Scratch<float>(filters.packed_floats(ops_)));
    return filters;
  }

  /// `spatial`: the input's extents.
  Geometry Measure(const Filters& f, const Shape& x, size_t channels, Span<const int64_t> spatial) const {
    return MeasureConv(window_, f.tensor.shape(), f.groups, static_cast<size_t>(x[0]), channels, spatial);
  }

  void Run(const Filters& f, const Geometry& g, const float* x, const Epilogue& epilogue, float* out,
           KernelContext& context) const {
    if (winograd_.has_value() && UsesWinograd(g)) {
      const WinogradImages images{g.batch, g.height, g.width, g.out_h, g.out_w, g.pad_top, g.pad_left};
      return winograd_->Run(ops_, images, x, epilogue, out, context);
    }
    if (f.depthwise()) return RunDepthwise(f, g, x, epilogue, out, context);
    GemmCall call;
    call.m = g.positions();
    call.n = f.out_per_group;
    call.taps = f.taps();
    call.depth = f.channels_per_group;
    call.c_stride = g.out_channels;
    call.a = x;
    WindowRows window = WindowOf(g);
    if (IsMatrix(g)) {
      call.a_stride = g.channels;
    } else {
      if (MergesTaps(f, g)) MergeTaps(f, g, call, window, context);
      window.zeros = Zeros(call.depth, context);
      call.window = &window;
    }
    RunGemms(ops_, f.groups, call.m, call.n, call.k(), context.Threads(),
             [&](size_t group) { return OfGroup(f, group, call, epilogue, out); });
  }

 private:
  /// Whether the images are such that Winograd's algorithm pays; nothing where that shows in a run only.
  std::optional<bool> IsLarge(const NodeSpec& node) const {
    const auto shape = node.input_types.size() > 0 ? node.input_types[0].StaticShape() : std::nullopt;
    if (!shape || shape->rank() != 4 || shape->elements() == 0) return std::nullopt;
    const bool last = node.domain == kInternalDomain;
    const auto channels = static_cast<size_t>((*shape)[last ? 3 : 1]);
    if (channels != constant_.channels_per_group * groups_) return std::nullopt;  // an error of the run
    return UsesWinograd(Measure(constant_, *shape, channels, shape->dims().subspan(last ? 1 : 2, 2)));
  }

  /// Small images have too few tiles to pay for reading nearly twice the weights.
  static bool UsesWinograd(const Geometry& g) {
    return g.stride_h == 1 && g.stride_w == 1 && g.dilation_h == 1 && g.dilation_w == 1 &&
           g.batch * g.out_h * g.out_w >= kWinogradPositions;
  }

  static const float* Zeros(size_t count, KernelContext& context) {
    float* zeros = context.Scratch<float>(count);
    std::fill_n(zeros, count, 0.0f);
    return zeros;
  }

  /// The taps of one row of a filter meet neighbouring pixels: they can be one deep tap, where none is outside.
  static bool MergesTaps(const Filters& f, const Geometry& g) {
    if (f.groups != 1 || g.dilation_w != 1 || f.kernel_w == 1) return false;
    const bool padded = g.pad_left + g.pad_right != 0;
    return !padded || f.channels_per_group < kShallow / 2;
  }

  static void MergeTaps(const Filters& f, const Geometry& g, GemmCall& call, WindowRows& window,
                        KernelContext& context) {
    call.taps = f.kernel_h;
    call.depth *= f.kernel_w;
    window.kernel_w = 1;
    if (g.pad_left + g.pad_right == 0) return;
    window.width = g.pad_left + g.width + g.pad_right;
    window.pad_left = 0;
    call.a = PadRows(g, call.a, window.width, context);
  }

  static const float* PadRows(const Geometry& g, const float* x, size_t width, KernelContext& context) {
    const size_t rows = g.batch * g.height;
    const size_t row = width * g.channels;
    float* padded = context.Scratch<float>(rows * row);
    const auto grain = static_cast<int64_t>(1 + 16384 / row);
    context.Threads().ParallelFor(static_cast<int64_t>(rows), grain, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        float* to = std::fill_n(padded + i * row, g.pad_left * g.channels, 0.0f);
        std::memcpy(to, x + i * g.width * g.channels, g.width * g.channels * sizeof(float));
        std::fill_n(to + g.width * g.channels, g.pad_right * g.channels, 0.0f);
      }
    });
    return padded;
  }

  GemmCall OfGroup(const Filters& f, size_t group, GemmCall call, Epilogue epilogue, float* out) const {
    const size_t column = group * f.out_per_group;
    call.a += group * f.channels_per_group;
    call.b = f.packed + group * f.group_floats(ops_);
    call.c = out + column;
    if (epilogue.col_bias != nullptr) epilogue.col_bias += column;
    if (epilogue.residual != nullptr) epilogue.residual += column;
    call.epilogue = epilogue;
    return call;
  }

  void RunDepthwise(const Filters& f, const Geometry& g, const float* x, const Epilogue& epilogue, float* out,
                    KernelContext& context) const {
    DepthwiseCall call;
    call.input = x;
    call.window = WindowOf(g);
    call.window.zeros = Zeros(g.channels, context);
    call.channels = g.channels;
    call.taps = f.taps();
    call.filter = f.packed;
    call.output = out;
    call.epilogue = epilogue;
    const size_t work = std::max<size_t>(1, f.taps() * g.channels);
    const auto grain = static_cast<int64_t>(1 + static_cast<size_t>(kMinTaskWork) / 2 / work);
    context.Threads().ParallelFor(static_cast<int64_t>(g.positions()), grain, [&](int64_t begin, int64_t end) {
      ops_.depthwise(call, static_cast<size_t>(begin), static_cast<size_t>(end));
    });
  }

  const GemmOps& ops_;
  reference::WindowAttributes window_;
  size_t groups_;
  Filters constant_;  // undefined where the filters come with every run
  Storage storage_;   // of constant_.packed
  std::optional<Winograd> winograd_;
};

const float* BiasOf(const Filters& f, const KernelContext& context) {
  const Tensor* bias = context.OptionalInput(2);
  if (bias == nullptr) return nullptr;
  Require(bias->elements() == f.tensor.dim(0), ErrorCode::kInvalidArgument, "Conv has ", f.tensor.dim(0),
          " filters and a bias of shape ", bias->shape());
  return bias->data<float>();
}

/// ONNX's own operator: the images are turned on the way in and on the way out.
class Conv final : public Kernel {
 public:
  explicit Conv(const NodeSpec& node) : convolver_(node) {}

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    const Filters filters = convolver_.FiltersFor(context);
    Require(x.rank() == filters.tensor.rank(), ErrorCode::kInvalidArgument, "Conv with filters of shape ",
            filters.tensor.shape(), " needs an input of rank ", filters.tensor.rank(), ", not ", x.shape());
    const Geometry g =
        convolver_.Measure(filters, x.shape(), static_cast<size_t>(x.dim(1)), reference::SpatialOf(x.shape()));
    Epilogue epilogue;
    epilogue.col_bias = BiasOf(filters, context);
    Shape shape{x.dim(0), filters.tensor.dim(0)};
    if (x.rank() == 4) shape.Append(static_cast<int64_t>(g.out_h));
    shape.Append(static_cast<int64_t>(g.out_w));
    Tensor& out = context.Output(0, DType::kFloat32, shape);
    if (out.elements() == 0) return;
    CheckSizes(g);
    auto* turned_x = context.Scratch<float>(static_cast<size_t>(x.elements()));
    auto* turned_y = context.Scratch<float>(static_cast<size_t>(out.elements()));
    TransposeMatrices(x.raw(), sizeof(float), g.batch, g.channels, g.height * g.width, turned_x, context.Threads());
    convolver_.Run(filters, g, turned_x, epilogue, turned_y, context);
    TransposeMatrices(turned_y, sizeof(float), g.batch, g.out_h * g.out_w, g.out_channels, out.raw(),
                      context.Threads());
  }

  bool ReadsConstant(size_t input) const override { return convolver_.ReadsConstant(input); }

 private:
  Convolver convolver_;
};

/// The internal operator, see fused.h.
class ChannelsLastConv final : public Kernel {
 public:
  explicit ChannelsLastConv(const NodeSpec& node) : convolver_(node), epilogue_(ReadEpilogue(node)) {}

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    const Filters filters = convolver_.FiltersFor(context);
    Require(x.rank() == filters.tensor.rank(), ErrorCode::kInvalidArgument, "Conv with filters of shape ",
            filters.tensor.shape(), " needs an input of rank ", filters.tensor.rank(), ", not ", x.shape());
    const size_t spatial = x.rank() - 2;
    const Geometry g = convolver_.Measure(filters, x.shape(), static_cast<size_t>(x.dim(x.rank() - 1)),
                                          x.shape().dims().subspan(1, spatial));
    Epilogue epilogue = epilogue_;
    epilogue.col_bias = BiasOf(filters, context);
    Shape shape{x.dim(0)};
    if (spatial == 2) shape.Append(static_cast<int64_t>(g.out_h));
    shape.Append(static_cast<int64_t>(g.out_w));
    shape.Append(static_cast<int64_t>(g.out_channels));
    if (const Tensor* residual = context.OptionalInput(3)) {
      Require(residual->shape() == shape, ErrorCode::kInvalidArgument, "the residual has shape ", residual->shape(),
              ", and the convolution gives ", shape);
      epilogue.residual = residual->data<float>();
      epilogue.residual_stride = g.out_channels;
    }
    Tensor& out = context.Output(0, DType::kFloat32, shape);
    if (out.elements() == 0) return;
    CheckSizes(g);
    convolver_.Run(filters, g, x.data<float>(), epilogue, out.data<float>(), context);
  }

  bool ReadsConstant(size_t input) const override { return convolver_.ReadsConstant(input); }

 private:
  Convolver convolver_;
  Epilogue epilogue_;
};

/// One or two spatial dimensions, as far as the types say; a rank that turns out different is an error of the run, so
/// nothing is covered where neither is known.
bool Covers(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32 || node.InputDType(1) != DType::kFloat32) return false;
  if (node.attributes.Int("group", 1) < 1) return false;
  const auto rank_of = [&](size_t i) -> size_t {
    if (node.IsConstant(i)) return node.constant_inputs[i].rank();
    return node.input_types[i].shape ? node.input_types[i].shape->size() : 0;
  };
  const size_t rank = std::max(rank_of(0), rank_of(1));
  return rank == 3 || rank == 4;
}

template <typename K>
std::unique_ptr<Kernel> MakeConv(const NodeSpec& node) {
  return Covers(node) ? std::make_unique<K>(node) : nullptr;
}

}  // namespace

void AddConv(KernelTable& table) {
  table.Add("", "Conv", {1, 11, 22}, MakeConv<Conv>);
  table.Add(kInternalDomain, "Conv", {1}, MakeConv<ChannelsLastConv>);
}

}  // namespace onnxforge::simd
