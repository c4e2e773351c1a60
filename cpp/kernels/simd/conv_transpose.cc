// ConvTranspose-1/11/22 for float32 in one or two spatial dimensions with constant filters of one group: one
// multiplication gives what every input pixel contributes to the outputs around it, and those are added up.

#include <algorithm>
#include <string>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/table.h"

#include "simd/gemm.h"
#include "simd/list.h"
#include "simd/rows.h"
#include "simd/tasks.h"
#include "simd/transpose.h"

namespace onnxforge::simd {
namespace {

struct Extents {
  int64_t kernel, stride, dilation, pad, input, output;
};

class ConvTranspose final : public Kernel {
 public:
  ConvTranspose(const NodeSpec& node, std::unique_ptr<Kernel> other)
      : ops_(GemmOpsFor(node.target)),
        rows_(RowOpsFor(node.target)),
        filters_(node.constant_inputs[1]),
        strides_(node.attributes.Ints("strides")),
        dilations_(node.attributes.Ints("dilations")),
        pads_(node.attributes.Ints("pads")),
        output_padding_(node.attributes.Ints("output_padding")),
        other_(std::move(other)) {
    channels_ = static_cast<size_t>(filters_.dim(0));
    out_channels_ = static_cast<size_t>(filters_.dim(1));
    taps_ = static_cast<size_t>(filters_.shape().elements(2, filters_.rank()));
    Pack(node);
  }

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    if (x.rank() != filters_.rank() || x.dim(1) != filters_.dim(0) || x.elements() == 0) return other_->Run(context);
    const Extents h = x.rank() == 4 ? Along(x, 0) : Extents{1, 1, 1, 0, 1, 1};
    const Extents w = Along(x, x.rank() - 3);
    const Tensor* bias = context.OptionalInput(2);
    if (h.output <= 0 || w.output <= 0 || (bias != nullptr && bias->elements() != filters_.dim(1))) {
      return other_->Run(context);
    }
    Shape shape{x.dim(0), filters_.dim(1)};
    if (x.rank() == 4) shape.Append(h.output);
    shape.Append(w.output);
    Tensor& y = context.Output(0, DType::kFloat32, shape);
    const auto pixels = static_cast<size_t>(h.input * w.input);
    const auto positions = static_cast<size_t>(h.output * w.output);
    float* turned = context.Scratch<float>(pixels * channels_);
    float* parts = context.Scratch<float>(pixels * taps_ * out_channels_);
    float* sums = context.Scratch<float>(positions * out_channels_);
    for (int64_t image = 0; image < x.dim(0); ++image) {
      TransposeMatrices(x.data<float>() + static_cast<size_t>(image) * channels_ * pixels, sizeof(float), 1, channels_,
                        pixels, turned, context.Threads());
      Multiply(turned, pixels, parts, context.Threads());
      AddUp(h, w, parts, bias == nullptr ? nullptr : bias->data<float>(), sums, context.Threads());
      TransposeMatrices(sums, sizeof(float), 1, positions, out_channels_,
                        y.data<float>() + static_cast<size_t>(image) * out_channels_ * positions, context.Threads());
    }
  }

 private:
  /// Filters [C, M, taps] as the right-hand side [C, taps · M].
  void Pack(const NodeSpec& node) {
    const size_t n = taps_ * out_channels_;
    std::vector<float> turned(channels_ * n);
    const float* from = filters_.data<float>();
    for (size_t c = 0; c < channels_; ++c) {
      for (size_t m = 0; m < out_channels_; ++m) {
        for (size_t tap = 0; tap < taps_; ++tap) turned[(c * taps_ + tap) * out_channels_ + m] = *from++;
      }
    }
    packed_ = node.AllocateWeights(PackedSize(ops_, channels_, n) * sizeof(float));
    ops_.pack_b(turned.data(), n, false, channels_, n, 0, CeilDiv(n, ops_.nr), static_cast<float*>(packed_.get()));
  }

  Extents Along(const Tensor& x, size_t axis) const {
    const size_t rank = x.rank() - 2;
    const auto at = [&](const std::vector<int64_t>& list, size_t i, int64_t fallback) {
      return i < list.size() ? list[i] : fallback;
    };
    Extents e{};
    e.kernel = filters_.dim(axis + 2);
    e.stride = at(strides_, axis, 1);
    e.dilation = at(dilations_, axis, 1);
    e.pad = at(pads_, axis, 0);
    e.input = x.dim(axis + 2);
    e.output = e.stride * (e.input - 1) + at(output_padding_, axis, 0) + (e.kernel - 1) * e.dilation + 1 - e.pad -
               at(pads_, axis + rank, 0);
    return e;
  }

  void Multiply(const float* x, size_t pixels, float* parts, ThreadPool& threads) const {
    GemmCall call;
    call.m = pixels;
    call.n = taps_ * out_channels_;
    call.depth = channels_;
    call.a = x;
    call.a_stride = channels_;
    call.b = static_cast<const float*>(packed_.get());
    call.c = parts;
    call.c_stride = call.n;
    RunGemms(ops_, 1, call.m, call.n, call.depth, threads, [&](size_t) { return call; });
  }

  /// Each row of the output gathers what the input rows that reach it contribute.
  void AddUp(const Extents& h, const Extents& w, const float* parts, const float* bias, float* sums,
             ThreadPool& threads) const {
    const auto row = static_cast<size_t>(w.output) * out_channels_;
    threads.ParallelFor(h.output, 1, [&](int64_t begin, int64_t end) {
      for (int64_t oy = begin; oy < end; ++oy) {
        float* to = sums + static_cast<size_t>(oy) * row;
        StartRow(w, bias, to);
        for (int64_t ky = 0; ky < h.kernel; ++ky) {
          const int64_t reach = oy + h.pad - ky * h.dilation;
          if (reach < 0 || reach % h.stride != 0 || reach / h.stride >= h.input) continue;
          AddRow(w, parts + static_cast<size_t>(reach / h.stride * w.input) * taps_ * out_channels_, ky * w.kernel, to);
        }
      }
    });
  }

  void StartRow(const Extents& w, const float* bias, float* to) const {
    for (int64_t x = 0; x < w.output; ++x, to += out_channels_) {
      if (bias == nullptr) {
        std::fill_n(to, out_channels_, 0.0f);
      } else {
        std::copy_n(bias, out_channels_, to);
      }
    }
  }

  void AddRow(const Extents& w, const float* parts, int64_t first_tap, float* to) const {
    const auto count = static_cast<int64_t>(out_channels_);
    for (int64_t x = 0; x < w.input; ++x, parts += taps_ * out_channels_) {
      for (int64_t kx = 0; kx < w.kernel; ++kx) {
        const int64_t ox = x * w.stride + kx * w.dilation - w.pad;
        if (ox < 0 || ox >= w.output) continue;
        float* at = to + static_cast<size_t>(ox) * out_channels_;
        rows_.add(at, 1, parts + static_cast<size_t>(first_tap + kx) * out_channels_, 1, at, count);
      }
    }
  }

  const GemmOps& ops_;
  const RowOps& rows_;
  Tensor filters_;
  std::vector<int64_t> strides_, dilations_, pads_, output_padding_;
  size_t channels_ = 0;
  size_t out_channels_ = 0;
  size_t taps_ = 0;
  Storage packed_;
  std::unique_ptr<Kernel> other_;  // for what is not covered here, errors included
};

std::unique_ptr<Kernel> MakeConvTranspose(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32 || !node.IsConstant(1)) return nullptr;
  const Tensor& w = node.constant_inputs[1];
  if (w.dtype() != DType::kFloat32 || (w.rank() != 3 && w.rank() != 4) || w.elements() == 0) return nullptr;
  const std::string auto_pad = node.attributes.String("auto_pad", "NOTSET");
  if (node.attributes.Int("group", 1) != 1 || auto_pad != "NOTSET" || node.attributes.Has("output_shape")) {
    return nullptr;
  }
  const std::vector<int64_t> kernel = node.attributes.Ints("kernel_shape");
  const Span<const int64_t> spatial = w.shape().dims().subspan(2, w.rank() - 2);
  if (!kernel.empty() && !std::equal(kernel.begin(), kernel.end(), spatial.begin(), spatial.end())) return nullptr;
  const KernelFactory reference = ReferenceKernels().Find(node.domain, node.op_type, node.since_version);
  return std::make_unique<ConvTranspose>(node, reference(node));
}

}  // namespace

void AddConvTranspose(KernelTable& table) { table.Add("", "ConvTranspose", {1, 11, 22}, MakeConvTranspose); }

}  // namespace onnxforge::simd
