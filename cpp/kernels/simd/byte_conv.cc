// ConvInteger, QLinearConv and the internal QLinearConv, which has the channels last, in one or two spatial dimensions
// of bytes: a multiplication whose rows are gathered from the image, or a loop over the channels where every channel
// has a filter of its own. Constant filters are packed when the session is built, others in every run.

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "simd/byte_product.h"
#include "simd/geometry.h"
#include "simd/list.h"
#include "simd/tasks.h"
#include "simd/transpose.h"

namespace onnxforge::simd {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);
// With fewer channels, a padded copy of the image is cheaper than many short taps.
constexpr size_t kShallow = 32;

/// Which inputs of an operator are what.
struct Roles {
  size_t x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias;
};
constexpr Roles kConvInteger = {0, kNone, 2, 1, kNone, 3, kNone, kNone, kNone};
constexpr Roles kQLinearConv = {0, 1, 2, 3, 4, 5, 6, 7, 8};

const Tensor* Given(const KernelContext& context, size_t input) {
  return input == kNone ? nullptr : context.OptionalInput(input);
}

/// The filters [M, C / groups, spatial…] as they are multiplied.
struct ByteFilters {
  bool depthwise = false;
  PackedBytes packed;             // one matrix per group
  const int16_t* taps = nullptr;  // depthwise: [pair of taps][channel, padded][2], less the zero point
  Storage storage;                // of `taps` where they were packed ahead
};

class ByteConvolver {
 public:
  ByteConvolver(const NodeSpec& node, const Roles& roles)
      : ops_(ByteGemmOpsFor(node.target)),
        roles_(roles),
        window_(node),
        groups_(static_cast<size_t>(node.attributes.Int("group", 1))),
        least_(node.attributes.Int("least", -128)),
        most_(node.attributes.Int("most", 255)) {}

  const Roles& roles() const { return roles_; }

  /// `zero`: of the filters, or null.
  void PackAhead(const NodeSpec& node, const Tensor& w, const Tensor* zero) {
    constant_ = FiltersOf(w);
    if (constant_.depthwise) {
      constant_.storage = node.AllocateWeights(DepthwiseBytes(w));
      PackDepthwise(w, zero, constant_.storage.get(), constant_);
    } else {
      constant_.packed = PackedBytes::PackAhead(node, ops_, MatrixOf(w), GroupBytes(w), groups_, IsUnsigned(w));
    }
  }

  /// Whether the parameters are what is covered: zero points of the right type, one number for X and Y, one or one per
  /// channel for W.
  bool Covers(const KernelContext& context) const {
    const Tensor& w = context.Input(roles_.w);
    const auto is_one = [&](size_t input) {
      const Tensor* t = Given(context, input);
      return t == nullptr || t->elements() == 1;
    };
    const auto fits = [&](size_t input) {
      const Tensor* t = Given(context, input);
      return t == nullptr || t->elements() == 1 || (t->rank() == 1 && t->dim(0) == w.dim(0));
    };
    const auto has_type = [&](size_t input, DType dtype) {
      const Tensor* t = Given(context, input);
      return t == nullptr || t->dtype() == dtype;
    };
    return is_one(roles_.x_scale) && is_one(roles_.x_zero) && is_one(roles_.y_scale) && is_one(roles_.y_zero) &&
           fits(roles_.w_scale) && fits(roles_.w_zero) && has_type(roles_.w_zero, w.dtype()) &&
           has_type(roles_.x_zero, context.Input(roles_.x).dtype()) && has_type(roles_.bias, DType::kInt32);
  }

  Geometry Measure(const KernelContext& context, size_t channels, Span<const int64_t> spatial) const {
    const Tensor& x = context.Input(roles_.x);
    const Tensor& w = context.Input(roles_.w);
    Require(x.rank() == w.rank(), ErrorCode::kInvalidArgument, "a convolution with filters of shape ", w.shape(),
            " needs an input of rank ", w.rank(), ", not ", x.shape());
    Require(w.elements() != 0 && static_cast<size_t>(w.dim(0)) % groups_ == 0, ErrorCode::kInvalidArgument,
            "filters of shape ", w.shape(), " cannot be divided into ", groups_, " groups");
    return MeasureConv(window_, w.shape(), groups_, static_cast<size_t>(x.dim(0)), channels, spatial);
  }

  DType ResultType(const KernelContext& context) const {
    return roles_.y_zero == kNone ? DType::kInt32 : context.Input(roles_.y_zero).dtype();
  }

  /// x and y with the channels last.
  void Run(const Geometry& g, const uint8_t* x, void* y, KernelContext& context) const {
    const ByteFilters filters = FiltersNow(context);
    if (filters.depthwise) return RunDepthwise(filters, g, x, y, context);
    LeftBytes left(context.Input(roles_.x), Given(context, roles_.x_zero), ops_.signed_a);
    left.data = x;
    ByteTerms terms(context, filters.packed, left, Bias(context), Given(context, roles_.w_zero));
    const ByteResult result = ResultOf(terms, y, g.out_channels, context);
    ByteGemmCall call;
    call.m = g.positions();
    call.n = filters.packed.n;
    call.taps = g.kernel_h * g.kernel_w;
    call.depth = g.channels / groups_;
    call.a = left.data;
    call.a_stride = g.channels;
    call.flip = left.flip;
    WindowRows window = WindowOf(g);
    if (!IsMatrix(g)) {
      if (MergesTaps(g)) MergeTaps(g, left.outside, call, window, context);
      call.outside = Filled(call.depth, left.outside, context);
      call.window = &window;
    }
    const size_t bytes = roles_.y_zero == kNone ? sizeof(int32_t) : 1;
    RunGemms(ops_, groups_, call.m, call.n, call.k(), context.Threads(), [&](size_t group) {
      ByteGemmCall one = call;
      one.a += group * (g.channels / groups_);
      one.b = filters.packed.matrix(group);
      one.result = terms.Of(result, group);
      one.result.c = static_cast<char*>(y) + group * call.n * bytes;
      return one;
    });
  }

 private:
  static bool IsUnsigned(const Tensor& w) { return w.dtype() == DType::kUInt8; }
  static size_t Taps(const Tensor& w) { return static_cast<size_t>(w.shape().elements(2, w.rank())); }
  size_t GroupBytes(const Tensor& w) const { return static_cast<size_t>(w.elements()) / groups_; }

  ByteFilters FiltersOf(const Tensor& w) const {
    ByteFilters f;
    f.depthwise = groups_ > 1 && w.dim(1) == 1 && static_cast<size_t>(w.dim(0)) == groups_;
    return f;
  }

  ByteFilters FiltersNow(KernelContext& context) const {
    if (constant_.packed.packed != nullptr || constant_.taps != nullptr) return constant_;
    const Tensor& w = context.Input(roles_.w);
    ByteFilters f = FiltersOf(w);
    if (f.depthwise) {
      PackDepthwise(w, Given(context, roles_.w_zero), context.Scratch<char>(DepthwiseBytes(w)), f);
    } else {
      const ByteMatrix m = MatrixOf(w);
      void* memory = context.Scratch<char>(PackedBytes::Bytes(ops_, m.taps * m.depth, m.columns, groups_));
      f.packed = PackedBytes::Pack(ops_, m, GroupBytes(w), groups_, IsUnsigned(w), memory, context.Threads());
    }
    return f;
  }

  /// The filters of the first group.
  ByteMatrix MatrixOf(const Tensor& w) const {
    ByteMatrix m;
    m.data = BytesOf(w);
    m.taps = Taps(w);
    m.depth = static_cast<size_t>(w.dim(1));
    m.columns = static_cast<size_t>(w.dim(0)) / groups_;
    m.tap_stride = 1;
    m.depth_stride = m.taps;
    m.column_stride = m.taps * m.depth;
    return m;
  }

  size_t PaddedChannels() const { return CeilDiv(groups_, ops_.channels) * ops_.channels; }
  size_t DepthwiseBytes(const Tensor& w) const {
    return PaddedChannels() * (CeilDiv(Taps(w), 2) * 2 * sizeof(int16_t) + sizeof(int32_t));
  }

  void PackDepthwise(const Tensor& w, const Tensor* zero, void* memory, ByteFilters& f) const {
    const size_t taps = Taps(w);
    const size_t padded = PaddedChannels();
    auto* sums = static_cast<int32_t*>(memory);
    auto* to = reinterpret_cast<int16_t*>(sums + padded);
    std::memset(memory, 0, DepthwiseBytes(w));
    for (size_t c = 0; c < groups_; ++c) {
      const int32_t shift = zero == nullptr ? 0 : ByteAt(*zero, zero->elements() == 1 ? 0 : static_cast<int64_t>(c));
      for (size_t tap = 0; tap < taps; ++tap) {
        const int32_t value = ByteAt(w, static_cast<int64_t>(c * taps + tap)) - shift;
        to[2 * (tap / 2 * padded + c) + tap % 2] = static_cast<int16_t>(value);
        sums[c] += value;
      }
    }
    f.taps = to;
    // As one matrix whose zero points are 0: what the terms need to know.
    f.packed.n = groups_;
    f.packed.padded = padded;
    f.packed.count = 1;
    f.packed.column_sums = sums;
  }

  const Tensor* Bias(const KernelContext& context) const {
    const Tensor* bias = Given(context, roles_.bias);
    const Tensor& w = context.Input(roles_.w);
    Require(bias == nullptr || bias->elements() == w.dim(0), ErrorCode::kInvalidArgument, "the bias has shape ",
            bias == nullptr ? Shape{} : bias->shape(), " for ", w.dim(0), " channels");
    return bias;
  }

  ByteResult ResultOf(ByteTerms& terms, void* y, size_t stride, KernelContext& context) const {
    ByteResult result;
    result.c = y;
    result.stride = stride;
    if (roles_.y_zero == kNone) return result;
    SetByteKind(result, context.Input(roles_.y_zero));
    result.lo = std::max(result.lo, static_cast<int32_t>(least_));
    result.hi = std::min(result.hi, static_cast<int32_t>(most_));
    terms.SetScales(context, *context.Input(roles_.x_scale).data<float>(), context.Input(roles_.w_scale),
                    context.Input(roles_.y_scale).data<float>());
    return result;
  }

  static const uint8_t* Filled(size_t count, uint8_t byte, KernelContext& context) {
    auto* filled = context.Scratch<uint8_t>(count);
    std::memset(filled, byte, count);
    return filled;
  }

  /// The taps of one row of a filter meet neighbouring pixels: they can be one deep tap, where none is outside.
  bool MergesTaps(const Geometry& g) const {
    if (groups_ != 1 || g.dilation_w != 1 || g.kernel_w == 1) return false;
    return g.pad_left + g.pad_right == 0 || g.channels < kShallow;
  }

  static void MergeTaps(const Geometry& g, uint8_t outside, ByteGemmCall& call, WindowRows& window,
                        KernelContext& context) {
    call.taps = g.kernel_h;
    call.depth *= g.kernel_w;
    window.kernel_w = 1;
    if (g.pad_left + g.pad_right == 0) return;
    window.width = g.pad_left + g.width + g.pad_right;
    window.pad_left = 0;
    call.a = PadRows(g, call.a, window.width, outside, context);
  }

  static const uint8_t* PadRows(const Geometry& g, const uint8_t* x, size_t width, uint8_t outside,
                                KernelContext& context) {
    const size_t rows = g.batch * g.height;
    const size_t row = width * g.channels;
    auto* padded = context.Scratch<uint8_t>(rows * row);
    const auto grain = static_cast<int64_t>(1 + 65536 / row);
    context.Threads().ParallelFor(static_cast<int64_t>(rows), grain, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        uint8_t* to = padded + i * row;
        std::memset(to, outside, g.pad_left * g.channels);
        to += g.pad_left * g.channels;
        std::memcpy(to, x + i * g.width * g.channels, g.width * g.channels);
        std::memset(to + g.width * g.channels, outside, g.pad_right * g.channels);
      }
    });
    return padded;
  }

  void RunDepthwise(const ByteFilters& filters, const Geometry& g, const uint8_t* x, void* y,
                    KernelContext& context) const {
    const LeftBytes left(context.Input(roles_.x), Given(context, roles_.x_zero), false);
    ByteTerms terms(context, filters.packed, left, Bias(context), nullptr);
    const ByteResult result = ResultOf(terms, y, g.out_channels, context);
    ByteDepthwiseCall call;
    call.input = x;
    call.window = WindowOf(g);
    call.outside = Filled(g.channels, left.outside, context);
    call.flip = left.flip;
    call.channels = g.channels;
    call.taps = g.kernel_h * g.kernel_w;
    call.filter = filters.taps;
    call.result = terms.Of(result, 0);
    const size_t work = std::max<size_t>(1, call.taps * g.channels);
    const auto grain = static_cast<int64_t>(1 + static_cast<size_t>(kMinTaskWork) / work);
    context.Threads().ParallelFor(static_cast<int64_t>(g.positions()), grain, [&](int64_t begin, int64_t end) {
      ops_.depthwise(call, static_cast<size_t>(begin), static_cast<size_t>(end));
    });
  }

  const ByteGemmOps& ops_;
  Roles roles_;
  reference::WindowAttributes window_;
  size_t groups_;
  int64_t least_;
  int64_t most_;
  ByteFilters constant_;
};

/// The filters are packed ahead where they, and for a depthwise one their zero point, are known.
void PackConstants(const NodeSpec& node, ByteConvolver& convolver) {
  const Roles& r = convolver.roles();
  const bool has_zero = node.input_count > r.w_zero && node.InputDType(r.w_zero) != DType::kUndefined;
  if (!node.IsConstant(r.w) || (has_zero && !node.IsConstant(r.w_zero))) return;
  const Tensor& w = node.constant_inputs[r.w];
  const Tensor* zero = has_zero ? &node.constant_inputs[r.w_zero] : nullptr;
  const int64_t groups = node.attributes.Int("group", 1);
  if (w.elements() == 0 || w.dim(0) % groups != 0) return;                               // an error of the run
  if (zero != nullptr && zero->elements() != 1 && zero->elements() != w.dim(0)) return;  // not covered
  convolver.PackAhead(node, w, zero);
}

/// ONNX's own operators: the images are turned on the way in and on the way out.
class ByteConv final : public Kernel {
 public:
  ByteConv(const NodeSpec& node, const Roles& roles, std::unique_ptr<Kernel> other)
      : convolver_(node, roles), other_(std::move(other)) {
    PackConstants(node, convolver_);
  }

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(convolver_.roles().x);
    const Tensor& w = context.Input(convolver_.roles().w);
    if (!convolver_.Covers(context) || (w.rank() != 3 && w.rank() != 4)) return other_->Run(context);
    const Geometry g = convolver_.Measure(context, static_cast<size_t>(x.dim(1)), reference::SpatialOf(x.shape()));
    Shape shape{x.dim(0), w.dim(0)};
    if (x.rank() == 4) shape.Append(static_cast<int64_t>(g.out_h));
    shape.Append(static_cast<int64_t>(g.out_w));
    Tensor& y = context.Output(0, convolver_.ResultType(context), shape);
    if (y.elements() == 0) return;
    CheckSizes(g);
    auto* turned_x = context.Scratch<uint8_t>(x.bytes());
    auto* turned_y = context.Scratch<uint8_t>(y.bytes());
    TransposeMatrices(x.raw(), 1, g.batch, g.channels, g.height * g.width, turned_x, context.Threads());
    convolver_.Run(g, turned_x, turned_y, context);
    TransposeMatrices(turned_y, ElementSize(y.dtype()), g.batch, g.out_h * g.out_w, g.out_channels, y.raw(),
                      context.Threads());
  }

 private:
  ByteConvolver convolver_;
  std::unique_ptr<Kernel> other_;  // for what is not covered here
};

/// The internal operator, see fused.h.
class ChannelsLastByteConv final : public Kernel {
 public:
  explicit ChannelsLastByteConv(const NodeSpec& node) : convolver_(node, kQLinearConv) {
    PackConstants(node, convolver_);
  }

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    Require(convolver_.Covers(context) && x.rank() >= 3, ErrorCode::kInvalidArgument,
            "QLinearConv of an image of shape ", x.shape(), " with filters of shape ", context.Input(3).shape(),
            " and such parameters");
    const size_t spatial = x.rank() - 2;
    const Geometry g =
        convolver_.Measure(context, static_cast<size_t>(x.dim(x.rank() - 1)), x.shape().dims().subspan(1, spatial));
    Shape shape{x.dim(0)};
    if (spatial == 2) shape.Append(static_cast<int64_t>(g.out_h));
    shape.Append(static_cast<int64_t>(g.out_w));
    shape.Append(static_cast<int64_t>(g.out_channels));
    Tensor& y = context.Output(0, convolver_.ResultType(context), shape);
    if (y.elements() == 0) return;
    CheckSizes(g);
    convolver_.Run(g, BytesOf(x), y.raw(), context);
  }

 private:
  ByteConvolver convolver_;
};

/// Whether the types are those of bytes.
bool HasByteTypes(const NodeSpec& node, const Roles& r) {
  if (!IsByte(node.InputDType(r.x)) || !IsByte(node.InputDType(r.w))) return false;
  if (node.attributes.Int("group", 1) < 1) return false;
  if (r.y_zero == kNone) return true;
  const auto is_float = [&](size_t input) { return node.InputDType(input) == DType::kFloat32; };
  return IsByte(node.InputDType(r.y_zero)) && is_float(r.x_scale) && is_float(r.w_scale) && is_float(r.y_scale);
}

std::unique_ptr<Kernel> Make(const NodeSpec& node, const Roles& roles) {
  if (!HasByteTypes(node, roles)) return nullptr;
  return std::make_unique<ByteConv>(node, roles,
                                    ReferenceKernels().Find(node.domain, node.op_type, node.since_version)(node));
}

std::unique_ptr<Kernel> MakeConvInteger(const NodeSpec& node) { return Make(node, kConvInteger); }
std::unique_ptr<Kernel> MakeQLinearConv(const NodeSpec& node) { return Make(node, kQLinearConv); }
std::unique_ptr<Kernel> MakeChannelsLast(const NodeSpec& node) {
  return HasByteTypes(node, kQLinearConv) ? std::make_unique<ChannelsLastByteConv>(node) : nullptr;
}

}  // namespace

void AddByteConv(KernelTable& table) {
  table.Add("", "ConvInteger", {10}, MakeConvInteger);
  table.Add("", "QLinearConv", {10}, MakeQLinearConv);
  table.Add(kInternalDomain, "QLinearConv", {1}, MakeChannelsLast);
}

}  // namespace onnxforge::simd
