// The internal operators on images with the channels last, see fused.h: pooling, LRN, and a factor and a summand per
// channel.

#include <algorithm>
#include <cmath>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "reference/broadcast.h"
#include "reference/window.h"
#include "simd/byte_rows.h"
#include "simd/epilogue.h"
#include "simd/list.h"
#include "simd/rows.h"

namespace onnxforge::simd {
namespace {

// Elements looked at that are worth another thread.
constexpr int64_t kGrain = 65536;

Span<const int64_t> SpatialOf(const Shape& shape) {
  Require(shape.rank() >= 3, ErrorCode::kInvalidArgument, "the input must be [N, spatial…, C], and has shape ", shape);
  return shape.dims().subspan(1, shape.rank() - 2);
}

Shape ShapeOf(const Shape& x, const std::vector<int64_t>& spatial) {
  Shape shape{x[0]};
  for (int64_t extent : spatial) shape.Append(extent);
  shape.Append(x[x.rank() - 1]);
  return shape;
}

/// The taps of one window along one axis that lie within the input.
struct Reach {
  int64_t first, count, step;  // elements of the input

  Reach(const reference::Window& w, size_t axis, int64_t position) : step(w.dilations[axis]) {
    const int64_t start = position * w.strides[axis] - w.pad_begin[axis];
    const int64_t before = start < 0 ? (-start + step - 1) / step : 0;
    first = start + before * step;
    const int64_t fitting = first < w.input[axis] ? (w.input[axis] - 1 - first) / step + 1 : 0;
    count = std::max<int64_t>(0, std::min(w.kernel[axis] - before, fitting));
  }
};

/// The first elements of the lines of input that row `row` of the output sees, all axes but the last one unrolled.
void LinesOf(const reference::Window& w, int64_t row, std::vector<int64_t>& lines) {
  lines.assign(1, 0);
  int64_t stride = w.input[w.rank() - 1];
  for (size_t axis = w.rank() - 1; axis-- > 0;) {
    const Reach reach(w, axis, row % w.output[axis]);
    row /= w.output[axis];
    std::vector<int64_t> longer;
    for (int64_t k = 0; k < reach.count; ++k) {
      for (int64_t line : lines) longer.push_back(line + (reach.first + k * reach.step) * stride);
    }
    lines = std::move(longer);
    stride *= w.input[axis];
  }
}

/// Calls `reduce(window, pixels, count, position, to)` for every position of the window, with the pixels it sees.
template <typename T, typename F>
void ForWindows(KernelContext& context, const reference::WindowAttributes& attributes, const F& reduce) {
  const Tensor x = context.Input(0);
  reference::Window window = attributes.Resolve(SpatialOf(x.shape()), {});
  Tensor& y = context.Output(0, x.dtype(), ShapeOf(x.shape(), window.output));
  if (y.elements() == 0) return;
  const int64_t channels = x.dim(x.rank() - 1);
  const size_t last = window.rank() - 1;
  const int64_t row = window.output[last];
  const int64_t rows = window.positions() / row;  // of one image
  const T* from = static_cast<const T*>(x.raw());
  T* to = static_cast<T*>(y.raw());
  const int64_t grain = 1 + kGrain / (1 + row * window.taps() * channels);
  context.Threads().ParallelFor(x.dim(0) * rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<const T*> pixels(static_cast<size_t>(window.taps()));
    std::vector<int64_t> lines;  // where the lines of input that a row of output sees begin
    for (int64_t at = begin; at < end; ++at) {
      const int64_t image = at / rows;
      LinesOf(window, at % rows, lines);
      for (int64_t ox = 0; ox < row; ++ox) {
        const Reach reach(window, last, ox);
        size_t seen = 0;
        for (int64_t line : lines) {
          const T* pixel = from + (image * window.plane() + line + reach.first) * channels;
          for (int64_t k = 0; k < reach.count; ++k, pixel += reach.step * channels) pixels[seen++] = pixel;
        }
        reduce(window, pixels.data(), seen, at % rows * row + ox, to + (at * row + ox) * channels);
      }
    }
  });
}

std::unique_ptr<Kernel> MakeMaxPoolOfBytes(const NodeSpec& node) {
  const bool is_signed = node.InputDType(0) == DType::kInt8;
  return MakeKernel([attributes = reference::WindowAttributes(node), &ops = ByteRowOpsFor(node.target),
                     is_signed](KernelContext& context) {
    const auto channels = static_cast<size_t>(context.Input(0).dim(context.Input(0).rank() - 1));
    ForWindows<uint8_t>(
        context, attributes,
        [&](const reference::Window&, const uint8_t* const* pixels, size_t count, int64_t, uint8_t* to) {
          if (count != 0) return ops.max_of(pixels, count, is_signed, channels, to);
          std::fill_n(to, channels, static_cast<uint8_t>(is_signed ? 0x80 : 0));
        });
  });
}

std::unique_ptr<Kernel> MakeMaxPool(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32) return MakeMaxPoolOfBytes(node);
  return MakeKernel(
      [attributes = reference::WindowAttributes(node), &ops = RowOpsFor(node.target)](KernelContext& context) {
        const auto channels = static_cast<size_t>(context.Input(0).dim(context.Input(0).rank() - 1));
        ForWindows<float>(context, attributes,
                          [&](const reference::Window&, const float* const* pixels, size_t count, int64_t, float* to) {
                            if (count != 0) return ops.max_of(pixels, count, channels, to);
                            std::fill_n(to, channels, std::numeric_limits<float>::lowest());
                          });
      });
}

std::unique_ptr<Kernel> MakeAveragePool(const NodeSpec& node) {
  return MakeKernel([attributes = reference::WindowAttributes(node), &ops = RowOpsFor(node.target),
                     count_pad = node.attributes.Int("count_include_pad", 0) != 0](KernelContext& context) {
    const auto channels = static_cast<size_t>(context.Input(0).dim(context.Input(0).rank() - 1));
    ForWindows<float>(
        context, attributes,
        [&](const reference::Window& window, const float* const* pixels, size_t count, int64_t position, float* to) {
          const int64_t divisor = count_pad ? window.PaddedTaps(position) : static_cast<int64_t>(count);
          ops.sum_of(pixels, count, channels, divisor > 0 ? 1.0f / static_cast<float>(divisor) : 0.0f, to);
        });
  });
}

/// One number per channel: reduce(pixels, count, channels, to).
template <typename F>
void ReduceImages(KernelContext& context, const F& reduce) {
  const Tensor& x = context.Input(0);
  const Span<const int64_t> spatial = SpatialOf(x.shape());
  Tensor& y = context.Output(0, DType::kFloat32, ShapeOf(x.shape(), std::vector<int64_t>(spatial.size(), int64_t{1})));
  const auto channels = static_cast<size_t>(x.dim(x.rank() - 1));
  const auto pixels = static_cast<size_t>(x.shape().elements(1, x.rank() - 1));
  auto** rows = context.Scratch<const float*>(pixels);
  for (int64_t image = 0; image < x.dim(0); ++image) {
    const float* from = x.data<float>() + static_cast<size_t>(image) * pixels * channels;
    for (size_t i = 0; i < pixels; ++i) rows[i] = from + i * channels;
    reduce(rows, pixels, channels, y.data<float>() + static_cast<size_t>(image) * channels);
  }
}

std::unique_ptr<Kernel> MakeGlobalAveragePool(const NodeSpec& node) {
  return MakeKernel([&ops = RowOpsFor(node.target)](KernelContext& context) {
    ReduceImages(context, [&](const float* const* rows, size_t count, size_t channels, float* to) {
      ops.sum_of(rows, count, channels, 1.0f / static_cast<float>(count), to);
    });
  });
}

std::unique_ptr<Kernel> MakeGlobalMaxPool(const NodeSpec& node) {
  return MakeKernel([&ops = RowOpsFor(node.target)](KernelContext& context) {
    ReduceImages(context, [&](const float* const* rows, size_t count, size_t channels, float* to) {
      if (count != 0) return ops.max_of(rows, count, channels, to);
      std::fill_n(to, channels, -std::numeric_limits<float>::infinity());
    });
  });
}

struct LrnAttributes {
  float factor;  // alpha / size
  float beta;
  float bias;
  int64_t size;
};

/// to = base^-beta, by way of the square root where beta is the usual 3/4.
void InversePower(const float* base, float beta, int64_t n, float* to) {
  if (beta == 0.75f) {
    for (int64_t i = 0; i < n; ++i) {
      const float root = std::sqrt(base[i]);
      to[i] = 1.0f / (root * std::sqrt(root));
    }
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = std::pow(base[i], -beta);
  }
}

/// One pixel: the sum over neighbouring channels slides along. `scratch`: [2 · channels].
void LrnPixel(const LrnAttributes& a, const float* x, int64_t channels, float* scratch, float* y) {
  float* squares = scratch;
  float* base = scratch + channels;
  for (int64_t c = 0; c < channels; ++c) squares[c] = x[c] * x[c];
  const int64_t before = (a.size - 1) / 2;
  const int64_t after = a.size / 2;
  std::fill_n(base, channels, 0.0f);
  for (int64_t shift = -before; shift <= after; ++shift) {
    const int64_t begin = std::max<int64_t>(0, -shift);
    const int64_t end = std::min(channels, channels - shift);
    for (int64_t c = begin; c < end; ++c) base[c] += squares[c + shift];
  }
  for (int64_t c = 0; c < channels; ++c) base[c] = a.bias + a.factor * base[c];
  InversePower(base, a.beta, channels, squares);
  for (int64_t c = 0; c < channels; ++c) y[c] = x[c] * squares[c];
}

std::unique_ptr<Kernel> MakeLrn(const NodeSpec& node) {
  LrnAttributes a{node.attributes.Float("alpha", 1e-4f), node.attributes.Float("beta", 0.75f),
                  node.attributes.Float("bias", 1.0f), node.attributes.Int("size")};
  Require(a.size > 0, ErrorCode::kInvalidModel, "attribute 'size' must be positive, not ", a.size);
  a.factor /= static_cast<float>(a.size);
  return MakeKernel([a](KernelContext& context) {
    const Tensor x = context.Input(0);
    const int64_t channels = x.dim(x.rank() - 1);
    Tensor& y = context.Output(0, DType::kFloat32, x.shape());
    const float* from = x.data<float>();
    float* to = y.data<float>();
    const int64_t pixels = channels == 0 ? 0 : x.elements() / channels;
    context.Threads().ParallelFor(pixels, 2048 / (channels + 1) + 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(2 * channels));
      for (int64_t i = begin; i < end; ++i) {
        LrnPixel(a, from + i * channels, channels, scratch.data(), to + i * channels);
      }
    });
  });
}

std::unique_ptr<Kernel> MakeAffine(const NodeSpec& node) {
  return MakeKernel([e = ReadEpilogue(node), &ops = RowOpsFor(node.target)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const float* scale = context.Input(1).data<float>();
    const float* shift = context.Input(2).data<float>();
    const int64_t channels = x.dim(x.rank() - 1);
    Require(context.Input(1).elements() == channels && context.Input(2).elements() == channels,
            ErrorCode::kInvalidArgument, "factors ", context.Input(1).shape(), " and summands ",
            context.Input(2).shape(), " for ", channels, " channels");
    Tensor& y = context.OutputInPlace(0, DType::kFloat32, x.shape(), {0});
    if (y.elements() == 0) return;
    const float* from = x.data<float>();
    float* to = y.data<float>();
    const int64_t grain = reference::kElementwiseGrain / channels + 1;
    context.Threads().ParallelFor(x.elements() / channels, grain, [&](int64_t begin, int64_t end) {
      const auto n = static_cast<size_t>(channels);
      for (int64_t i = begin; i < end; ++i) {
        ops.affine(from + i * channels, scale, shift, e.lo, e.hi, n, to + i * channels);
        if (e.activation) e.activation(to + i * channels, to + i * channels, n);
        if (e.HasPost()) ops.affine1(to + i * channels, e.post_scale, e.post_shift, n, to + i * channels);
      }
    });
  });
}

}  // namespace

void AddChannelsLast(KernelTable& table) {
  table.Add(kInternalDomain, "Affine", {1}, MakeAffine);
  table.Add(kInternalDomain, "AveragePool", {1}, MakeAveragePool);
  table.Add(kInternalDomain, "GlobalAveragePool", {1}, MakeGlobalAveragePool);
  table.Add(kInternalDomain, "GlobalMaxPool", {1}, MakeGlobalMaxPool);
  table.Add(kInternalDomain, "LRN", {1}, MakeLrn);
  table.Add(kInternalDomain, "MaxPool", {1}, MakeMaxPool);
}

}  // namespace onnxforge::simd
