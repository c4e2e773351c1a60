// Normalisations: batch, instance, layer, group, RMS, local response, Lp, mean-variance.
#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/list.h"
#include "reference/reduce.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

template <typename C>
struct Moments {
  C mean = 0;
  C variance = 0;  // of the population
};

/// Of n elements `step` apart, in two passes.
template <typename C>
Moments<C> MomentsOf(const C* x, int64_t n, int64_t step = 1) {
  C sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i * step];
  const C mean = sum / static_cast<C>(n);
  C squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += (x[i * step] - mean) * (x[i * step] - mean);
  return {mean, squares / static_cast<C>(n)};
}

struct BatchNormAttributes {
  float epsilon = 0;
  float momentum = 0;
  bool training = false;
  bool spatial = true;  // statistics per channel; otherwise per element of an image (versions 1 to 8)
};

/// Mean and population variance of each feature of x [batch, features, inner].
template <typename C>
void BatchMoments(const C* x, int64_t batch, int64_t features, int64_t inner, C* mean, C* variance) {
  const C count = static_cast<C>(batch * inner);
  for (int64_t f = 0; f < features; ++f) {
    C sum = 0;
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t i = 0; i < inner; ++i) sum += x[(n * features + f) * inner + i];
    }
    mean[f] = sum / count;
    C squares = 0;
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t i = 0; i < inner; ++i) {
        const C d = x[(n * features + f) * inner + i] - mean[f];
        squares += d * d;
      }
    }
    variance[f] = squares / count;
  }
}

/// Writes a statistic of the batch, blended into the running one, or as it is where there is none.
template <typename C>
void StoreStatistic(KernelContext& context, size_t output, const Tensor& like, const C* running, const C* current,
                    float momentum) {
  if (!context.HasOutput(output)) return;
  Tensor& tensor = context.Output(output, like.dtype(), like.shape());
  WideOutput<C> out(context, tensor);
  const C keep = static_cast<C>(momentum);
  for (int64_t f = 0; f < like.elements(); ++f) {
    out.data()[f] = running != nullptr ? running[f] * keep + current[f] * (C{1} - keep) : current[f];
  }
  out.Store();
}

std::unique_ptr<Kernel> MakeBatchNormalization(const NodeSpec& node) {
  BatchNormAttributes attributes;
  attributes.epsilon = node.attributes.Float("epsilon", 1e-5f);
  attributes.momentum = node.attributes.Float("momentum", 0.9f);
  attributes.spatial = node.since_version >= 9 || node.attributes.Int("spatial", 1) != 0;
  // Version 14 says whether it trains; before, only training has more outputs than one, and versions 1 and 6 can deny
  // it.
  attributes.training = node.since_version >= 14 ? node.attributes.Int("training_mode", 0) != 0
                                                 : node.attributes.Int("is_test", 0) == 0 && node.output_count > 1;
  const bool saved = node.since_version < 14;
  return MakeKernel([attributes, saved](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& mean_in = context.Input(3);
    const Tensor& variance_in = context.Input(4);
    Require(x.rank() >= 1, ErrorCode::kInvalidArgument, "the input must have at least one axis");
    const int64_t batch = x.dim(0);
    const int64_t channels = x.rank() > 1 ? x.dim(1) : 1;
    const int64_t volume = x.rank() > 2 ? x.shape().elements(2, x.rank()) : 1;
    const int64_t features = attributes.spatial ? channels : channels * volume;
    const int64_t inner = attributes.spatial ? volume : 1;
    for (size_t i = 1; i < 5; ++i) {
      Require(context.Input(i).elements() == features, ErrorCode::kInvalidArgument, "input ", i, " has shape ",
              context.Input(i).shape(), " for ", features, " channels");
    }
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    DispatchFloat(x.dtype(), "BatchNormalization", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      const C* scale = ReadAs<C>(context, context.Input(1));
      const C* bias = ReadAs<C>(context, context.Input(2));
      const C* mean = ReadAs<C>(context, mean_in);
      const C* variance = ReadAs<C>(context, variance_in);
      if (attributes.training) {
        C* batch_mean = context.Scratch<C>(static_cast<size_t>(features));
        C* batch_variance = context.Scratch<C>(static_cast<size_t>(features));
        BatchMoments(in, batch, features, inner, batch_mean, batch_variance);
        StoreStatistic<C>(context, 1, mean_in, mean, batch_mean, attributes.momentum);
        StoreStatistic<C>(context, 2, variance_in, variance, batch_variance, attributes.momentum);
        if (saved) {
          StoreStatistic<C>(context, 3, mean_in, nullptr, batch_mean, attributes.momentum);
          StoreStatistic<C>(context, 4, variance_in, nullptr, batch_variance, attributes.momentum);
        }
        mean = batch_mean;
        variance = batch_variance;
      }
      WideOutput<C> out(context, y);
      context.Threads().ParallelFor(
          batch * features, kElementwiseGrain / std::max<int64_t>(inner, 1) + 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const int64_t f = i % features;
              const C factor = scale[f] / std::sqrt(variance[f] + static_cast<C>(attributes.epsilon));
              const C* from = in + i * inner;
              C* to = out.data() + i * inner;
              for (int64_t j = 0; j < inner; ++j) to[j] = (from[j] - mean[f]) * factor + bias[f];
            }
          });
      out.Store();
    });
  });
}

std::unique_ptr<Kernel> MakeInstanceNormalization(const NodeSpec& node) {
  return MakeKernel([epsilon = node.attributes.Float("epsilon", 1e-5f)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() >= 3 && context.Input(1).elements() == x.dim(1) && context.Input(2).elements() == x.dim(1),
            ErrorCode::kInvalidArgument, "x has shape ", x.shape(), ", scale ", context.Input(1).shape(), " and B ",
            context.Input(2).shape(), ": [N, C, D1, …], [C] and [C] are expected");
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    DispatchFloat(x.dtype(), "InstanceNormalization", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      const C* scale = ReadAs<C>(context, context.Input(1));
      const C* bias = ReadAs<C>(context, context.Input(2));
      WideOutput<C> out(context, y);
      const int64_t inner = x.shape().elements(2, x.rank());
      for (int64_t i = 0; i < x.dim(0) * x.dim(1); ++i) {
        const Moments<C> m = MomentsOf(in + i * inner, inner);
        const C factor = scale[i % x.dim(1)] / std::sqrt(m.variance + static_cast<C>(epsilon));
        for (int64_t j = 0; j < inner; ++j) {
          out.data()[i * inner + j] = (in[i * inner + j] - m.mean) * factor + bias[i % x.dim(1)];
        }
      }
      out.Store();
    });
  });
}

/// Version 18 has scale and bias per group, version 21 per channel.
std::unique_ptr<Kernel> MakeGroupNormalization(const NodeSpec& node) {
  const bool per_group = node.since_version < 21;
  return MakeKernel([per_group, epsilon = node.attributes.Float("epsilon", 1e-5f),
                     groups = node.attributes.Int("num_groups")](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() >= 2 && groups > 0 && x.dim(1) % groups == 0, ErrorCode::kInvalidArgument, "x of shape ",
            x.shape(), " does not divide into ", groups, " groups");
    const int64_t channels = x.dim(1);
    const int64_t factors = per_group ? groups : channels;
    Require(context.Input(1).elements() == factors && context.Input(2).elements() == factors,
            ErrorCode::kInvalidArgument, "scale has shape ", context.Input(1).shape(), " and bias ",
            context.Input(2).shape(), ", [", factors, "] is expected");
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    DispatchFloat(x.dtype(), "GroupNormalization", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      const C* scale = ReadAs<C>(context, context.Input(1));
      const C* bias = ReadAs<C>(context, context.Input(2));
      WideOutput<C> out(context, y);
      const int64_t plane = x.shape().elements(2, x.rank());
      const int64_t per = channels / groups;
      for (int64_t i = 0; i < x.dim(0) * groups; ++i) {
        const int64_t begin = i * per * plane;
        const Moments<C> m = MomentsOf(in + begin, per * plane);
        const C inverse = C{1} / std::sqrt(m.variance + static_cast<C>(epsilon));
        for (int64_t j = 0; j < per * plane; ++j) {
          const int64_t f = per_group ? i % groups : (i % groups) * per + j / plane;
          out.data()[begin + j] = (in[begin + j] - m.mean) * inverse * scale[f] + bias[f];
        }
      }
      out.Store();
    });
  });
}

/// Over all axes from `axis` on; scale and bias broadcast to those of x. `centred`: LayerNormalization, otherwise RMS.
template <typename C>
void RunLayerNorm(KernelContext& context, const Tensor& x, Tensor& y, size_t axis, float epsilon, DType stash,
                  bool centred) {
  const int64_t rows = x.shape().elements(0, axis);
  const int64_t width = x.shape().elements(axis, x.rank());
  const C* in = ReadAs<C>(context, x);
  WideOutput<C> out(context, y);
  Shape statistics = x.shape();
  for (size_t i = axis; i < x.rank(); ++i) statistics[i] = 1;
  C* means = context.Scratch<C>(static_cast<size_t>(rows));
  C* inverses = context.Scratch<C>(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) {
    const C* row = in + r * width;
    Moments<C> m;
    if (centred) {
      m = MomentsOf(row, width);
    } else {
      for (int64_t i = 0; i < width; ++i) m.variance += row[i] * row[i];
      m.variance /= static_cast<C>(width);
    }
    means[r] = m.mean;
    inverses[r] = C{1} / std::sqrt(m.variance + static_cast<C>(epsilon));
    for (int64_t i = 0; i < width; ++i) out.data()[r * width + i] = (row[i] - m.mean) * inverses[r];
  }
  // The standard rounds to the input's type before it scales; in float that changes nothing.
  const auto apply = [&](const Tensor& t, bool multiply) {
    const C* v = ReadAs<C>(context, t);
    const StridedPlan plan = BroadcastPlan({&t.shape()}, x.shape());
    plan.ForRange(0, x.elements(), [&](const StridedPlan::Run& run) {
      for (int64_t i = 0; i < run.count; ++i) {
        C& to = out.data()[run.position + i];
        const C by = v[run.offset[0] + i * plan.inner_stride(0)];
        to = multiply ? to * by : to + by;
      }
    });
  };
  apply(context.Input(1), true);
  if (centred && context.HasInput(2)) apply(context.Input(2), false);
  out.Store();
  const C* values[] = {nullptr, means, inverses};
  for (size_t i = 1; i <= 2; ++i) {
    if (!centred || !context.HasOutput(i)) continue;
    Tensor& t = context.Output(i, stash, statistics);
    ConvertElements(kDTypeOf<C>, values[i], stash, t.raw(), rows);
  }
}

template <bool kCentred>
std::unique_ptr<Kernel> MakeLayerNormalization(const NodeSpec& node) {
  const auto stash = static_cast<DType>(node.attributes.Int("stash_type", 1));
  Require(IsFloating(stash), ErrorCode::kInvalidModel, "attribute 'stash_type' is ", static_cast<int>(stash));
  return MakeKernel([stash, epsilon = node.attributes.Float("epsilon", 1e-5f),
                     attribute = node.attributes.Int("axis", -1)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const size_t axis = NormalizeAxis(attribute, x.rank());
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    DispatchFloat(x.dtype(), kCentred ? "LayerNormalization" : "RMSNormalization", [&](auto tag) {
      RunLayerNorm<typename decltype(tag)::type>(context, x, y, axis, epsilon, stash, kCentred);
    });
  });
}

/// y = x / (bias + alpha / size * Σ x²)^beta, the sum over `size` neighbouring channels.
std::unique_ptr<Kernel> MakeLrn(const NodeSpec& node) {
  const float alpha = node.attributes.Float("alpha", 1e-4f);
  const float beta = node.attributes.Float("beta", 0.75f);
  const float bias = node.attributes.Float("bias", 1.0f);
  const int64_t size = node.attributes.Int("size");
  Require(size > 0, ErrorCode::kInvalidModel, "attribute 'size' must be positive, not ", size);
  return MakeKernel([=](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() >= 2, ErrorCode::kInvalidArgument, "the input must be [N, C, …], and has shape ", x.shape());
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    DispatchFloat(x.dtype(), "LRN", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      WideOutput<C> out(context, y);
      const int64_t channels = x.dim(1);
      const int64_t plane = x.shape().elements(2, x.rank());
      context.Threads().ParallelFor(x.dim(0) * channels, 1, [&](int64_t begin, int64_t end) {
        std::vector<C> squares(static_cast<size_t>(plane));
        for (int64_t i = begin; i < end; ++i) {
          const int64_t image = i / channels * channels;
          const int64_t first = std::max<int64_t>(0, i % channels - (size - 1) / 2);
          const int64_t last = std::min(channels - 1, i % channels + size / 2);
          std::fill(squares.begin(), squares.end(), C{0});
          for (int64_t c = first; c <= last; ++c) {
            const C* from = in + (image + c) * plane;
            for (int64_t j = 0; j < plane; ++j) squares[static_cast<size_t>(j)] += from[j] * from[j];
          }
          for (int64_t j = 0; j < plane; ++j) {
            const C base =
                static_cast<C>(bias) + static_cast<C>(alpha) / static_cast<C>(size) * squares[static_cast<size_t>(j)];
            out.data()[i * plane + j] = in[i * plane + j] / std::pow(base, static_cast<C>(beta));
          }
        }
      });
      out.Store();
    });
  });
}

/// Lines of zeros stay zeros.
std::unique_ptr<Kernel> MakeLpNormalization(const NodeSpec& node) {
  const int64_t p = node.attributes.Int("p", 2);
  Require(p == 1 || p == 2, ErrorCode::kInvalidModel, "attribute 'p' must be 1 or 2, not ", p);
  return MakeKernel([p, attribute = node.attributes.Int("axis", -1)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const AxisSplit s = SplitAt(x.shape(), NormalizeAxis(attribute, x.rank()));
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    DispatchFloat(x.dtype(), "LpNormalization", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      WideOutput<C> out(context, y);
      for (int64_t i = 0; i < s.outer * s.inner; ++i) {
        const int64_t begin = (i / s.inner) * s.extent * s.inner + i % s.inner;
        C norm = 0;
        for (int64_t j = 0; j < s.extent; ++j) {
          const C v = in[begin + j * s.inner];
          norm += p == 1 ? std::abs(v) : v * v;
        }
        if (p == 2) norm = std::sqrt(norm);
        for (int64_t j = 0; j < s.extent; ++j) {
          out.data()[begin + j * s.inner] = norm == C{0} ? C{0} : in[begin + j * s.inner] / norm;
        }
      }
      out.Store();
    });
  });
}

/// (x - mean) / (standard deviation + 1e-9) over the axes.
std::unique_ptr<Kernel> MakeMeanVarianceNormalization(const NodeSpec& node) {
  std::vector<int64_t> axes = node.attributes.Ints("axes");
  if (!node.attributes.Has("axes")) axes = {0, 2, 3};
  return MakeKernel([axes](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Shape strides = RowMajorStrides(x.shape());
    std::vector<bool> reduced(x.rank(), false);
    for (size_t axis : NormalizeAxes(axes, x.rank())) reduced[axis] = true;
    Shape extents[2], steps[2];  // of the kept and the reduced axes
    for (size_t i = 0; i < x.rank(); ++i) {
      extents[reduced[i] ? 1 : 0].Append(x.dim(i));
      steps[reduced[i] ? 1 : 0].Append(strides[i]);
    }
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    DispatchFloat(x.dtype(), "MeanVarianceNormalization", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      WideOutput<C> out(context, y);
      const StridedPlan kept(extents[0], Span<const Shape>(&steps[0], 1));
      const StridedPlan inner(extents[1], Span<const Shape>(&steps[1], 1));
      const C count = static_cast<C>(inner.elements());
      const auto each = [&](int64_t base, auto f) {
        inner.ForRange(0, inner.elements(), [&](const StridedPlan::Run& run) {
          for (int64_t i = 0; i < run.count; ++i) f(base + run.offset[0] + i * inner.inner_stride(0));
        });
      };
      kept.ForRange(0, kept.elements(), [&](const StridedPlan::Run& run) {
        for (int64_t k = 0; k < run.count; ++k) {
          const int64_t base = run.offset[0] + k * kept.inner_stride(0);
          C mean = 0;
          each(base, [&](int64_t i) { mean += in[i]; });
          mean /= count;
          C variance = 0;
          each(base, [&](int64_t i) { variance += (in[i] - mean) * (in[i] - mean); });
          const C deviation = std::sqrt(variance / count) + static_cast<C>(1e-9);
          each(base, [&](int64_t i) { out.data()[i] = (in[i] - mean) / deviation; });
        }
      });
      out.Store();
    });
  });
}

}  // namespace

void AddNormalization(KernelTable& table) {
  table.Add("", "BatchNormalization", {1, 6, 7, 9, 14, 15}, &MakeBatchNormalization);
  table.Add("", "GroupNormalization", {18, 21}, &MakeGroupNormalization);
  table.Add("", "InstanceNormalization", {1, 6, 22}, &MakeInstanceNormalization);
  table.Add("", "LRN", {1, 13}, &MakeLrn);
  table.Add("", "LayerNormalization", {17}, &MakeLayerNormalization<true>);
  table.Add("", "LpNormalization", {1, 22}, &MakeLpNormalization);
  table.Add("", "MeanVarianceNormalization", {9, 13}, &MakeMeanVarianceNormalization);
  table.Add("", "RMSNormalization", {23}, &MakeLayerNormalization<false>);
}

}  // namespace onnxforge::reference
