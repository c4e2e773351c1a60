// MatMul and Gemm.
#include "reference/matmul.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/list.h"
#include "reference/matrix.h"

namespace onnxforge::reference {

MatMulShapes MatMulShapesOf(const Shape& a, const Shape& b) {
  Require(a.rank() > 0 && b.rank() > 0, ErrorCode::kInvalidArgument, "a scalar has no matrix product: shapes ", a,
          " and ", b);
  MatMulShapes out;
  const bool row = a.rank() == 1;
  const bool column = b.rank() == 1;
  out.m = row ? 1 : a[a.rank() - 2];
  out.k = a[a.rank() - 1];
  out.n = column ? 1 : b[b.rank() - 1];
  const int64_t depth = column ? b[0] : b[b.rank() - 2];
  Require(out.k == depth, ErrorCode::kInvalidArgument, "shapes ", a, " and ", b, " have no matrix product: ", out.k,
          " against ", depth);
  const Shape a_batch(a.dims().subspan(0, row ? 0 : a.rank() - 2));
  const Shape b_batch(b.dims().subspan(0, column ? 0 : b.rank() - 2));
  out.batch = BroadcastShapes(a_batch, b_batch);
  out.a_batch = BroadcastStrides(a_batch, out.batch);
  out.b_batch = BroadcastStrides(b_batch, out.batch);
  out.output = out.batch;
  if (!row) out.output.Append(out.m);
  if (!column) out.output.Append(out.n);
  return out;
}

template <typename T>
void MatMulBatches(ThreadPool& threads, const MatMulShapes& s, const T* a, const T* b, T* y) {
  const int64_t batches = s.batch.elements();
  std::fill_n(y, batches * s.m * s.n, T{0});
  if (batches == 1) return ParallelMultiplyAdd(threads, s.m, s.n, s.k, a, s.k, int64_t{1}, b, s.n, y, s.n);
  const Shape strides[] = {s.a_batch, s.b_batch};
  const StridedPlan plan(s.batch, Span<const Shape>(strides, 2));
  plan.ForEach(threads, 65536 / std::max<int64_t>(1, s.m * s.n * s.k) + 1, [&](const StridedPlan::Run& run) {
    for (int64_t i = 0; i < run.count; ++i) {
      MultiplyAdd(s.m, s.n, s.k, a + (run.offset[0] + i * plan.inner_stride(0)) * s.m * s.k, s.k, int64_t{1},
                  b + (run.offset[1] + i * plan.inner_stride(1)) * s.k * s.n, s.n, y + (run.position + i) * s.m * s.n,
                  s.n);
    }
  });
}

template void MatMulBatches<float>(ThreadPool&, const MatMulShapes&, const float*, const float*, float*);
template void MatMulBatches<double>(ThreadPool&, const MatMulShapes&, const double*, const double*, double*);
template void MatMulBatches<uint32_t>(ThreadPool&, const MatMulShapes&, const uint32_t*, const uint32_t*, uint32_t*);
template void MatMulBatches<uint64_t>(ThreadPool&, const MatMulShapes&, const uint64_t*, const uint64_t*, uint64_t*);

namespace {

/// Calls f with the type a product of `dtype` is computed in: unsigned for the integers, modulo their width.
template <typename F>
void DispatchProduct(DType dtype, const char* what, F&& f) {
  switch (dtype) {
    case DType::kInt32:
    case DType::kUInt32:
      return f(TypeTag<uint32_t>{});
    case DType::kInt64:
    case DType::kUInt64:
      return f(TypeTag<uint64_t>{});
    default:
      return DispatchFloat(dtype, what, f);
  }
}

/// A tensor of T's integers, signed or not, as they are; floating-point ones converted.
template <typename T>
const T* Read(KernelContext& context, const Tensor& t) {
  if constexpr (std::is_integral_v<T>) return static_cast<const T*>(t.raw());
  return ReadAs<T>(context, t);
}

template <typename T>
DType StorageType(DType dtype) {
  return std::is_integral_v<T> ? kDTypeOf<T> : dtype;
}

std::unique_ptr<Kernel> MakeMatMul(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& a = context.Input(0);
    const Tensor& b = context.Input(1);
    Require(a.dtype() == b.dtype(), ErrorCode::kInvalidModel, "the inputs have different types: ", a.dtype(), " and ",
            b.dtype());
    const MatMulShapes shapes = MatMulShapesOf(a.shape(), b.shape());
    Tensor& y = context.Output(0, a.dtype(), shapes.output);
    DispatchProduct(a.dtype(), "MatMul", [&](auto tag) {
      using T = typename decltype(tag)::type;
      Tensor same_bits = y.Reinterpreted(StorageType<T>(y.dtype()));
      WideOutput<T> out(context, same_bits);
      MatMulBatches<T>(context.Threads(), shapes, Read<T>(context, a), Read<T>(context, b), out.data());
      out.Store();
    });
  });
}

struct GemmAttributes {
  float alpha = 1;
  float beta = 1;
  bool transpose_a = false;
  bool transpose_b = false;
};

/// `factor` as T: integers take its whole part, as the standard's alpha and beta are floats whatever T is.
template <typename T>
T FactorAs(float factor) {
  if constexpr (std::is_integral_v<T>) return static_cast<T>(static_cast<int64_t>(factor));
  return static_cast<T>(factor);
}

template <typename T>
void RunGemm(KernelContext& context, const GemmAttributes& g, int64_t m, int64_t n, int64_t k, Tensor& y) {
  const Tensor& a = context.Input(0);
  const Tensor& b = context.Input(1);
  Tensor same_bits = y.Reinterpreted(StorageType<T>(y.dtype()));
  WideOutput<T> out(context, same_bits);
  std::fill_n(out.data(), m * n, T{0});
  const T* right = Read<T>(context, b);
  if (g.transpose_b) {
    T* turned = context.Scratch<T>(static_cast<size_t>(k * n));
    TransposeMatrix(right, n, k, turned);
    right = turned;
  }
  ParallelMultiplyAdd(context.Threads(), m, n, k, Read<T>(context, a), g.transpose_a ? int64_t{1} : k,
                      g.transpose_a ? m : int64_t{1}, right, n, out.data(), n);
  const T alpha = FactorAs<T>(g.alpha);
  const T beta = FactorAs<T>(g.beta);
  if (alpha != T{1}) {
    for (int64_t i = 0; i < m * n; ++i) out.data()[i] *= alpha;
  }
  if (const Tensor* c = context.OptionalInput(2)) {
    const T* add = Read<T>(context, *c);
    const StridedPlan plan = BroadcastPlan({&c->shape()}, y.shape());
    plan.ForRange(0, m * n, [&](const StridedPlan::Run& run) {
      for (int64_t i = 0; i < run.count; ++i) {
        out.data()[run.position + i] += beta * add[run.offset[0] + i * plan.inner_stride(0)];
      }
    });
  }
  out.Store();
}

/// Versions 1 and 6 have an attribute 'broadcast' for C; a C that broadcasts without it is taken as well.
std::unique_ptr<Kernel> MakeGemm(const NodeSpec& node) {
  const GemmAttributes g = {node.attributes.Float("alpha", 1), node.attributes.Float("beta", 1),
                            node.attributes.Int("transA", 0) != 0, node.attributes.Int("transB", 0) != 0};
  return MakeKernel([g](KernelContext& context) {
    const Tensor& a = context.Input(0);
    const Tensor& b = context.Input(1);
    Require(a.rank() == 2 && b.rank() == 2 && a.dtype() == b.dtype(), ErrorCode::kInvalidArgument,
            "A and B must be matrices of one type, and are ", a.dtype(), a.shape(), " and ", b.dtype(), b.shape());
    const int64_t m = a.dim(g.transpose_a ? 1 : 0);
    const int64_t k = a.dim(g.transpose_a ? 0 : 1);
    const int64_t n = b.dim(g.transpose_b ? 0 : 1);
    Require(b.dim(g.transpose_b ? 1 : 0) == k, ErrorCode::kInvalidArgument, "A of shape ", a.shape(),
            g.transpose_a ? " (transposed)" : "", " and B of shape ", b.shape(), g.transpose_b ? " (transposed)" : "",
            " have no product");
    Tensor& y = context.Output(0, a.dtype(), {m, n});
    DispatchProduct(a.dtype(), "Gemm",
                    [&](auto tag) { RunGemm<typename decltype(tag)::type>(context, g, m, n, k, y); });
  });
}

}  // namespace

void AddMatmul(KernelTable& table) {
  table.Add("", "Gemm", {1, 6, 7, 9, 11, 13}, &MakeGemm);
  table.Add("", "MatMul", {1, 9, 13}, &MakeMatMul);
}

}  // namespace onnxforge::reference
