// Signals and matrices: DFT, STFT, MelWeightMatrix, Det.
#include <algorithm>
#include <cmath>
#include <complex>
#include <utility>
#include <vector>

#include "reference/compute.h"
#include "reference/fourier.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

struct DftAttributes {
  bool inverse = false;
  bool onesided = false;
  bool axis_is_input = false;
  int64_t axis = 0;
};

/// One side of the spectrum of a real signal; the other side is its mirror.
template <typename C>
void Mirror(std::vector<std::complex<C>>& spectrum, int64_t given) {
  const auto n = static_cast<int64_t>(spectrum.size());
  for (int64_t k = given; k < n; ++k)
    spectrum[static_cast<size_t>(k)] = std::conj(spectrum[static_cast<size_t>(n - k)]);
}

/// What a transform is of.
struct DftSizes {
  int64_t given = 0;   // elements of a line
  int64_t length = 0;  // of the transform: lines are cut or filled with zeros
  int64_t bins = 0;    // elements of a line of the output
  int64_t lines = 0;
  int64_t inner = 0;  // elements from one of a line to the next
  int64_t parts = 1;  // 1: real, 2: complex
  int64_t out_parts = 2;
  bool to_real = false;
};

template <typename C>
void TransformLines(KernelContext& context, const DftSizes& s, bool inverse, Tensor& y) {
  const C* in = ReadAs<C>(context, context.Input(0));
  WideOutput<C> out(context, y);
  const FourierTransform<C> transform(s.length, inverse);
  const int64_t used = std::min(s.given, s.to_real ? s.length / 2 + 1 : s.length);
  context.Threads().ParallelFor(s.lines, 1, [&](int64_t begin, int64_t end) {
    std::vector<std::complex<C>> line(static_cast<size_t>(s.length));
    for (int64_t i = begin; i < end; ++i) {
      std::fill(line.begin(), line.end(), std::complex<C>{});
      for (int64_t j = 0; j < used; ++j) {
        const C* at = in + ((i / s.inner * s.given + j) * s.inner + i % s.inner) * s.parts;
        line[static_cast<size_t>(j)] = {at[0], s.parts == 2 ? at[1] : C{0}};
      }
      if (s.to_real) Mirror(line, s.length / 2 + 1);
      transform(line.data());
      for (int64_t j = 0; j < s.bins; ++j) {
        C* at = out.data() + ((i / s.inner * s.bins + j) * s.inner + i % s.inner) * s.out_parts;
        at[0] = line[static_cast<size_t>(j)].real();
        if (s.out_parts == 2) at[1] = line[static_cast<size_t>(j)].imag();
      }
    }
  });
  out.Store();
}

void RunDft(KernelContext& context, const DftAttributes& a) {
  const Tensor& x = context.Input(0);
  Require(x.rank() >= 2 && (x.dim(x.rank() - 1) == 1 || x.dim(x.rank() - 1) == 2), ErrorCode::kInvalidArgument,
          "the input must end with an axis of 1 (real) or 2 (complex), and has shape ", x.shape());
  const int64_t parts = x.dim(x.rank() - 1);
  const int64_t attribute = a.axis_is_input ? (context.HasInput(2) ? ScalarFrom(context.Input(2)) : -2) : a.axis;
  const size_t axis = NormalizeAxis(attribute, x.rank());
  Require(axis + 1 < x.rank(), ErrorCode::kInvalidArgument, "axis ", attribute,
          " is that of the real and imaginary parts");
  const bool to_real = a.inverse && a.onesided;
  Require(!(a.onesided && !a.inverse && parts == 2), ErrorCode::kInvalidArgument,
          "the spectrum of a complex signal has two sides");
  const int64_t given = x.dim(axis);
  const int64_t length = context.HasInput(1) ? ScalarFrom(context.Input(1)) : to_real ? 2 * (given - 1) : given;
  Require(length > 0, ErrorCode::kInvalidArgument, "dft_length is ", length);
  const int64_t bins = a.onesided && !a.inverse ? length / 2 + 1 : length;
  Shape shape = x.shape();
  shape[axis] = bins;
  shape[x.rank() - 1] = to_real ? 1 : 2;
  Tensor& y = context.Output(0, x.dtype(), shape);
  DftSizes sizes;
  sizes.given = given;
  sizes.length = length;
  sizes.bins = bins;
  sizes.inner = x.shape().elements(axis + 1, x.rank() - 1);
  sizes.lines = x.shape().elements(0, axis) * sizes.inner;
  sizes.parts = parts;
  sizes.out_parts = shape[x.rank() - 1];
  sizes.to_real = to_real;
  // NumPy's precisions, which the standard's examples are made with and hold to 1e-7: float64 forwards whatever the
  // tensor's type is, that type itself backwards.
  DispatchFloat(a.inverse ? x.dtype() : DType::kFloat64, "DFT",
                [&](auto tag) { TransformLines<typename decltype(tag)::type>(context, sizes, a.inverse, y); });
}

std::unique_ptr<Kernel> MakeDft(const NodeSpec& node) {
  const DftAttributes a = {node.attributes.Int("inverse", 0) != 0, node.attributes.Int("onesided", 0) != 0,
                           node.since_version >= 20, node.attributes.Int("axis", 1)};
  return MakeKernel([a](KernelContext& context) { RunDft(context, a); });
}

std::unique_ptr<Kernel> MakeStft(const NodeSpec& node) {
  return MakeKernel([onesided = node.attributes.Int("onesided", 1) != 0](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() == 2 || (x.rank() == 3 && (x.dim(2) == 1 || x.dim(2) == 2)), ErrorCode::kInvalidArgument,
            "the signal must be [batch, length, 1 or 2], and has shape ", x.shape());
    const int64_t parts = x.rank() == 3 ? x.dim(2) : 1;
    const int64_t length = x.dim(1);
    const int64_t step = ScalarFrom(context.Input(1));
    const Tensor* window = context.OptionalInput(2);
    const int64_t frame = context.HasInput(3) ? ScalarFrom(context.Input(3))
                          : window != nullptr ? window->elements()
                                              : length;
    Require(step > 0 && frame > 0 && frame <= length && (window == nullptr || window->elements() == frame),
            ErrorCode::kInvalidArgument, "frame_step is ", step, " and frame_length ", frame, " for a signal of ",
            length);
    Require(!(onesided && parts == 2), ErrorCode::kInvalidArgument, "the spectrum of a complex signal has two sides");
    const int64_t frames = (length - frame) / step + 1;
    const int64_t bins = onesided ? frame / 2 + 1 : frame;
    Tensor& y = context.Output(0, x.dtype(), {x.dim(0), frames, bins, 2});
    const double* in = ReadAs<double>(context, x);
    const double* weights = window != nullptr ? ReadAs<double>(context, *window) : nullptr;
    WideOutput<double> out(context, y);
    const FourierTransform<double> transform(frame, false);
    context.Threads().ParallelFor(x.dim(0) * frames, 1, [&](int64_t begin, int64_t end) {
      std::vector<std::complex<double>> line(static_cast<size_t>(frame));
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = 0; j < frame; ++j) {
          const double* at = in + (i / frames * length + i % frames * step + j) * parts;
          const double weight = weights != nullptr ? weights[j] : 1.0;
          line[static_cast<size_t>(j)] = {at[0] * weight, parts == 2 ? at[1] * weight : 0.0};
        }
        transform(line.data());
        for (int64_t k = 0; k < bins; ++k) {
          out.data()[(i * bins + k) * 2] = line[static_cast<size_t>(k)].real();
          out.data()[(i * bins + k) * 2 + 1] = line[static_cast<size_t>(k)].imag();
        }
      }
    });
    out.Store();
  });
}

double HertzToMel(double hertz) { return 2595 * std::log10(1 + hertz / 700); }
double MelToHertz(double mel) { return 700 * (std::pow(10.0, mel / 2595) - 1); }

std::unique_ptr<Kernel> MakeMelWeightMatrix(const NodeSpec& node) {
  return MakeKernel([dtype = static_cast<DType>(node.attributes.Int("output_datatype", 1))](KernelContext& context) {
    const int64_t bands = ScalarFrom(context.Input(0));
    const int64_t length = ScalarFrom(context.Input(1));
    const int64_t rate = ScalarFrom(context.Input(2));
    for (size_t i : {size_t{3}, size_t{4}}) {
      Require(context.Input(i).elements() == 1, ErrorCode::kInvalidArgument,
              "an edge of the bands must be one number, ", "and has shape ", context.Input(i).shape());
    }
    const double low = HertzToMel(context.Input(3).To<double>()[0]);
    const double high = HertzToMel(context.Input(4).To<double>()[0]);
    Require(bands > 0 && length > 0 && rate > 0 && bands < (int64_t{1} << 31) && length < (int64_t{1} << 31),
            ErrorCode::kInvalidArgument, "num_mel_bins is ", bands, ", dft_length ", length, " and sample_rate ", rate);
    const int64_t bins = length / 2 + 1;
    Tensor& y = context.Output(0, dtype, {bins, bands});  // first: what is too big for memory is not to be computed
    std::vector<int64_t> edges;                           // of the triangles, as bins of the spectrum
    const double step = (high - low) / static_cast<double>(bands + 2);
    for (int64_t i = 0; i < bands + 2; ++i) {
      const double hertz = MelToHertz(static_cast<double>(i) * step + low);
      const double bin = std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate));
      Require(bin >= 0 && bin < static_cast<double>(bins), ErrorCode::kInvalidArgument, "a band reaches to ", hertz,
              " Hz, and the spectrum to ", static_cast<double>(rate) / 2);
      edges.push_back(static_cast<int64_t>(bin));
    }
    std::vector<double> weights(static_cast<size_t>(bins * bands), 0.0);
    for (int64_t i = 0; i < bands; ++i) {
      const int64_t first = edges[static_cast<size_t>(i)];
      const int64_t center = edges[static_cast<size_t>(i) + 1];
      const int64_t last = edges[static_cast<size_t>(i) + 2];
      const auto at = [&](int64_t bin) -> double& { return weights[static_cast<size_t>(bin * bands + i)]; };
      if (first == center) at(center) = 1;
      for (int64_t j = first; j <= center && first != center; ++j)
        at(j) = static_cast<double>(j - first) / static_cast<double>(center - first);
      for (int64_t j = center; j < last; ++j)
        at(j) = static_cast<double>(last - j) / static_cast<double>(last - center);
    }
    ConvertElements(DType::kFloat64, weights.data(), dtype, y.raw(), y.elements());
  });
}

/// By elimination with the greatest pivot of each column. NaN is passed on: elimination would lose it among noughts.
double Determinant(std::vector<double> m, int64_t n) {
  for (double value : m) {
    if (std::isnan(value)) return value;
  }
  double product = 1;
  const auto at = [&](int64_t i, int64_t j) -> double& { return m[static_cast<size_t>(i * n + j)]; };
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; ++i) pivot = std::abs(at(i, k)) > std::abs(at(pivot, k)) ? i : pivot;
    if (at(pivot, k) == 0) return 0;
    if (pivot != k) {
      for (int64_t j = 0; j < n; ++j) std::swap(at(k, j), at(pivot, j));
      product = -product;
    }
    product *= at(k, k);
    for (int64_t i = k + 1; i < n; ++i) {
      const double factor = at(i, k) / at(k, k);
      for (int64_t j = k; j < n; ++j) at(i, j) -= factor * at(k, j);
    }
  }
  return product;
}

std::unique_ptr<Kernel> MakeDet(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() >= 2 && x.dim(x.rank() - 1) == x.dim(x.rank() - 2), ErrorCode::kInvalidArgument,
            "the input must be square matrices, and has shape ", x.shape());
    const int64_t n = x.dim(x.rank() - 1);
    const double* in = ReadAs<double>(context, x);
    Tensor& y = context.Output(0, x.dtype(), Shape(x.shape().dims().subspan(0, x.rank() - 2)));
    WideOutput<double> out(context, y);
    for (int64_t i = 0; i < y.elements(); ++i)
      out.data()[i] = Determinant(std::vector<double>(in + i * n * n, in + (i + 1) * n * n), n);
    out.Store();
  });
}

}  // namespace

void AddSignal(KernelTable& table) {
  table.Add("", "DFT", {17, 20}, &MakeDft);
  table.Add("", "Det", {11, 22}, &MakeDet);
  table.Add("", "MelWeightMatrix", {17}, &MakeMelWeightMatrix);
  table.Add("", "STFT", {17}, &MakeStft);
}

}  // namespace onnxforge::reference
