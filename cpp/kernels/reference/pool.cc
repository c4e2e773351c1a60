// Pooling: MaxPool, AveragePool, LpPool, their global forms, and MaxUnpool.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/window.h"

namespace onnxforge::reference {
namespace {

constexpr int64_t kBlock = 512;  // window positions whose sources are tabulated at once

/// Calls reduce(plane's elements, sources, step, tap count, position) for every window position and stores the result.
/// sources[tap * step] is the element a tap sees.
template <typename T, typename R>
void PoolPlanes(ThreadPool& threads, const Window& window, int64_t planes, R reduce) {
  const int64_t positions = window.positions();
  const int64_t taps = window.taps();
  const int64_t blocks = (positions + kBlock - 1) / kBlock;
  threads.ParallelFor(blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> sources(static_cast<size_t>(taps * kBlock));
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kBlock;
      const int64_t count = std::min(kBlock, positions - first);
      window.Sources(first, count, sources.data());
      for (int64_t plane = 0; plane < planes; ++plane) {
        for (int64_t p = 0; p < count; ++p) reduce(plane, first + p, sources.data() + p, count);
      }
    }
  });
}

/// The row-major index of an element of a plane as a column-major one.
int64_t ColumnMajor(int64_t index, const std::vector<int64_t>& extents) {
  int64_t out = 0;
  int64_t scale = 1;
  for (int64_t extent : extents) scale *= extent;
  for (size_t axis = extents.size(); axis-- > 0;) {
    scale /= extents[axis];
    out += (index % extents[axis]) * scale;
    index /= extents[axis];
  }
  return out;
}

template <typename T>
bool Exceeds(T x, T best) {
  if constexpr (std::is_floating_point_v<T>) {
    return x > best || std::isnan(x);
  } else {
    return x > best;
  }
}

template <typename T>
void MaxPoolPlanes(ThreadPool& threads, const Window& window, int64_t planes, bool column_major, const T* x, T* y,
                   int64_t* indices) {
  const int64_t taps = window.taps();
  PoolPlanes<T>(threads, window, planes, [&](int64_t plane, int64_t position, const int64_t* sources, int64_t step) {
    const T* in = x + plane * window.plane();
    int64_t best = Window::kOutside;
    for (int64_t k = 0; k < taps; ++k) {
      const int64_t source = sources[k * step];
      if (source == Window::kOutside) continue;
      if (best == Window::kOutside || Exceeds<Wide<T>>(in[source], in[best])) best = source;
    }
    const int64_t out = plane * window.positions() + position;
    // A window that sees nothing but padding has the least value, as if the padding held it.
    y[out] = best != Window::kOutside ? in[best] : static_cast<T>(std::numeric_limits<Wide<T>>::lowest());
    if (indices == nullptr) return;
    const int64_t at = std::max<int64_t>(best, 0);
    indices[out] = plane * window.plane() + (column_major ? ColumnMajor(at, window.input) : at);
  });
}

std::unique_ptr<Kernel> MakeMaxPool(const NodeSpec& node) {
  return MakeKernel([attributes = WindowAttributes(node),
                     column_major = node.attributes.Int("storage_order", 0) != 0](KernelContext& context) {
    const Tensor x = context.Input(0);
    const Window window = attributes.Resolve(SpatialOf(x.shape()), {});
    const Shape shape = WithSpatial(x.dim(0), x.dim(1), window.output);
    Tensor& y = context.Output(0, x.dtype(), shape);
    int64_t* indices = context.HasOutput(1) ? context.Output(1, DType::kInt64, shape).data<int64_t>() : nullptr;
    Dispatch<Join<Floats, TypeList<int8_t, uint8_t>>>(x.dtype(), "MaxPool", [&](auto tag) {
      using T = typename decltype(tag)::type;
      MaxPoolPlanes<T>(context.Threads(), window, x.dim(0) * x.dim(1), column_major, x.data<T>(), y.template data<T>(),
                       indices);
    });
  });
}

std::unique_ptr<Kernel> MakeAveragePool(const NodeSpec& node) {
  return MakeKernel([attributes = WindowAttributes(node),
                     count_pad = node.attributes.Int("count_include_pad", 0) != 0](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Window window = attributes.Resolve(SpatialOf(x.shape()), {});
    Tensor& y = context.Output(0, x.dtype(), WithSpatial(x.dim(0), x.dim(1), window.output));
    DispatchFloat(x.dtype(), "AveragePool", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      WideOutput<C> out(context, y);
      C* to = out.data();
      const int64_t taps = window.taps();
      PoolPlanes<C>(context.Threads(), window, x.dim(0) * x.dim(1),
                    [&](int64_t plane, int64_t position, const int64_t* sources, int64_t step) {
                      C sum = 0;
                      int64_t seen = 0;
                      for (int64_t k = 0; k < taps; ++k) {
                        if (sources[k * step] == Window::kOutside) continue;
                        sum += in[plane * window.plane() + sources[k * step]];
                        ++seen;
                      }
                      const int64_t count = count_pad ? window.PaddedTaps(position) : seen;
                      to[plane * window.positions() + position] = count > 0 ? sum / static_cast<C>(count) : C{0};
                    });
      out.Store();
    });
  });
}

/// p is a float in version 1 and an integer later.
double ReadP(const NodeSpec& node) {
  return node.since_version == 1 ? static_cast<double>(node.attributes.Float("p", 2.0f))
                                 : static_cast<double>(node.attributes.Int("p", 2));
}

template <typename C>
C Power(C x, double p) {
  const C magnitude = std::abs(x);
  return p == 1 ? magnitude : p == 2 ? magnitude * magnitude : std::pow(magnitude, static_cast<C>(p));
}

template <typename C>
C Root(C sum, double p) {
  return p == 1 ? sum : p == 2 ? std::sqrt(sum) : std::pow(sum, static_cast<C>(1 / p));
}

std::unique_ptr<Kernel> MakeLpPool(const NodeSpec& node) {
  return MakeKernel([attributes = WindowAttributes(node), p = ReadP(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Window window = attributes.Resolve(SpatialOf(x.shape()), {});
    Tensor& y = context.Output(0, x.dtype(), WithSpatial(x.dim(0), x.dim(1), window.output));
    DispatchFloat(x.dtype(), "LpPool", [&](auto tag) {
      using C = typename decltype(tag)::type;
      const C* in = ReadAs<C>(context, x);
      WideOutput<C> out(context, y);
      C* to = out.data();
      const int64_t taps = window.taps();
      PoolPlanes<C>(context.Threads(), window, x.dim(0) * x.dim(1),
                    [&](int64_t plane, int64_t position, const int64_t* sources, int64_t step) {
                      C sum = 0;
                      for (int64_t k = 0; k < taps; ++k) {
                        if (sources[k * step] != Window::kOutside)
                          sum += Power(in[plane * window.plane() + sources[k * step]], p);
                      }
                      to[plane * window.positions() + position] = Root(sum, p);
                    });
      out.Store();
    });
  });
}

/// One number per channel: reduce(elements, count).
template <typename R>
void RunGlobalPool(KernelContext& context, const char* name, R reduce) {
  const Tensor& x = context.Input(0);
  const std::vector<int64_t> ones(SpatialOf(x.shape()).size(), 1);
  Tensor& y = context.Output(0, x.dtype(), WithSpatial(x.dim(0), x.dim(1), ones));
  DispatchFloat(x.dtype(), name, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* in = ReadAs<C>(context, x);
    WideOutput<C> out(context, y);
    const int64_t plane = x.shape().elements(2, x.rank());
    for (int64_t i = 0; i < y.elements(); ++i) out.data()[i] = reduce(in + i * plane, plane);
    out.Store();
  });
}

std::unique_ptr<Kernel> MakeGlobalAveragePool(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    RunGlobalPool(context, "GlobalAveragePool", [](auto* x, int64_t n) {
      std::decay_t<decltype(*x)> sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += x[i];
      return sum / static_cast<decltype(sum)>(n);
    });
  });
}

std::unique_ptr<Kernel> MakeGlobalMaxPool(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    RunGlobalPool(context, "GlobalMaxPool", [](auto* x, int64_t n) {
      using C = std::decay_t<decltype(*x)>;
      C best = -std::numeric_limits<C>::infinity();
      for (int64_t i = 0; i < n; ++i) best = Exceeds<C>(x[i], best) ? x[i] : best;
      return best;
    });
  });
}

std::unique_ptr<Kernel> MakeGlobalLpPool(const NodeSpec& node) {
  return MakeKernel([p = ReadP(node)](KernelContext& context) {
    RunGlobalPool(context, "GlobalLpPool", [p](auto* x, int64_t n) {
      std::decay_t<decltype(*x)> sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += Power(x[i], p);
      return Root(sum, p);
    });
  });
}

/// Puts each element where its index says. The indices are of the tensor that was pooled, of the size the attributes
/// give; a greater output_shape keeps their coordinates.
std::unique_ptr<Kernel> MakeMaxUnpool(const NodeSpec& node) {
  return MakeKernel([attributes = WindowAttributes(node)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& indices = context.Input(1);
    Require(indices.shape() == x.shape(), ErrorCode::kInvalidArgument, "indices have shape ", indices.shape(),
            " and x ", x.shape());
    const Span<const int64_t> spatial = SpatialOf(x.shape());
    const Window w = attributes.Open({});
    Require(w.kernel.size() == spatial.size(), ErrorCode::kInvalidModel, "attribute 'kernel_shape' has ",
            w.kernel.size(), " numbers for ", spatial.size(), " spatial axes");
    Shape inferred = {x.dim(0), x.dim(1)};
    for (size_t axis = 0; axis < spatial.size(); ++axis) {
      inferred.Append((spatial[axis] - 1) * w.strides[axis] - w.pad_begin[axis] - w.pad_end[axis] + w.kernel[axis]);
    }
    Shape shape = inferred;
    if (const Tensor* given = context.OptionalInput(2)) {
      const std::vector<int64_t> extents = given->To<int64_t>();
      shape = Shape(Span<const int64_t>(extents));
      Require(shape.rank() == x.rank(), ErrorCode::kInvalidArgument, "output_shape ", shape, " has not the rank of ",
              x.shape());
    }
    for (int64_t extent : shape)
      Require(extent >= 0, ErrorCode::kInvalidArgument, "the output would have shape ", shape);
    Tensor& y = context.Output(0, x.dtype(), shape);
    const int64_t* at = indices.data<int64_t>();
    const Shape strides = RowMajorStrides(shape);
    DispatchMove(x.dtype(), [&](auto tag) {
      using E = typename decltype(tag)::type;
      std::fill_n(MoveData<E>(y), y.elements(), E{});
      for (int64_t i = 0; i < x.elements(); ++i) {
        int64_t target = 0;
        int64_t rest = at[i];
        for (size_t axis = shape.rank(); axis-- > 0;) {
          const int64_t coordinate = rest % std::max<int64_t>(1, inferred[axis]);
          rest /= std::max<int64_t>(1, inferred[axis]);
          Require(coordinate >= 0 && coordinate < shape[axis], ErrorCode::kInvalidArgument, "index ", at[i],
                  " lies outside of the output's shape ", shape);
          target += coordinate * strides[axis];
        }
        Require(rest == 0, ErrorCode::kInvalidArgument, "index ", at[i], " lies outside of shape ", inferred);
        MoveData<E>(y)[target] = MoveData<E>(x)[i];
      }
    });
  });
}

}  // namespace

void AddPool(KernelTable& table) {
  table.Add("", "AveragePool", {1, 7, 10, 11, 19, 22}, &MakeAveragePool);
  table.Add("", "GlobalAveragePool", {1, 22}, &MakeGlobalAveragePool);
  table.Add("", "GlobalLpPool", {1, 2, 22}, &MakeGlobalLpPool);
  table.Add("", "GlobalMaxPool", {1, 22}, &MakeGlobalMaxPool);
  table.Add("", "LpPool", {1, 2, 11, 18, 22}, &MakeLpPool);
  table.Add("", "MaxPool", {1, 8, 10, 11, 12, 22}, &MakeMaxPool);
  table.Add("", "MaxUnpool", {9, 11, 22}, &MakeMaxUnpool);
}

}  // namespace onnxforge::reference
