// MatMul-1/9/13, Gemm-1…13 and the internal MatMul for float32. B is packed when the session is built where it is a
// constant, and not at all where A is known to have one row.

#include <algorithm>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "simd/epilogue.h"
#include "simd/gemm.h"
#include "simd/list.h"
#include "simd/tasks.h"

namespace onnxforge::simd {
namespace {

/// A stack of matrices B[k, n], packed one after the other, or as they are for one row of A.
struct Stack {
  Shape batch;  // the leading dimensions
  size_t k = 0;
  size_t n = 0;
  size_t matrix_floats = 0;
  const float* data = nullptr;
  Storage storage;          // owns `data` when it was packed ahead
  size_t stride = 0;        // not 0: not packed, and so many floats from row to row
  bool transposed = false;  // of what is not packed: [n, k]
};

void PackStack(const GemmOps& ops, const Tensor& b, bool transposed, size_t count, const Stack& to, float* out,
               ThreadPool& threads) {
  const float* source = b.data<float>();
  const size_t panels = CeilDiv(to.n, ops.nr);
  const size_t stride = transposed ? to.k : to.n;
  const auto grain = static_cast<int64_t>(std::max(1.0, kMinTaskWork / (1.0 + static_cast<double>(to.k * ops.nr))));
  threads.ParallelFor(static_cast<int64_t>(count * panels), grain, [&](int64_t begin, int64_t end) {
    const auto last = static_cast<size_t>(end);
    for (auto i = static_cast<size_t>(begin); i < last;) {
      const size_t matrix = i / panels;
      const size_t panel = i % panels;
      const size_t some = std::min(panels - panel, last - i);
      ops.pack_b(source + matrix * to.k * to.n, stride, transposed, to.k, to.n, panel, panel + some,
                 out + matrix * to.matrix_floats);
      i += some;
    }
  });
}

Stack Layout(const GemmOps& ops, const Shape& shape, bool transposed) {
  Stack stack;
  const size_t rank = shape.rank();
  stack.k = static_cast<size_t>(shape[transposed ? rank - 1 : rank - 2]);
  stack.n = static_cast<size_t>(shape[transposed ? rank - 2 : rank - 1]);
  stack.batch = Shape(shape.dims().subspan(0, rank - 2));
  stack.matrix_floats = PackedSize(ops, stack.k, stack.n);
  return stack;
}

Stack PackAhead(const NodeSpec& node, const GemmOps& ops, const Tensor& b, bool transposed) {
  Stack stack = Layout(ops, b.shape(), transposed);
  const auto count = static_cast<size_t>(stack.batch.elements());
  stack.storage = node.AllocateWeights(count * stack.matrix_floats * sizeof(float));
  auto* out = static_cast<float*>(stack.storage.get());
  ThreadPool serial(1);
  PackStack(ops, b, transposed, count, stack, out, serial);
  stack.data = out;
  return stack;
}

Stack PackNow(const GemmOps& ops, const Tensor& b, bool transposed, KernelContext& context) {
  Stack stack = Layout(ops, b.shape(), transposed);
  const auto count = static_cast<size_t>(stack.batch.elements());
  float* out = context.Scratch<float>(count * stack.matrix_floats);
  PackStack(ops, b, transposed, count, stack, out, context.Threads());
  stack.data = out;
  return stack;
}

Stack AsItIs(const GemmOps& ops, const Tensor& b, bool transposed) {
  Stack stack = Layout(ops, b.shape(), transposed);
  stack.matrix_floats = stack.k * stack.n;
  stack.data = b.data<float>();
  stack.stride = transposed ? stack.k : stack.n;
  stack.transposed = transposed;
  return stack;
}

Shape WithoutLast(const Shape& shape, size_t count) { return Shape(shape.dims().subspan(0, shape.rank() - count)); }

/// Whether each matrix of B is multiplied with one row.
bool TakesOneRow(const Shape& a, const Shape& b_batch) {
  const int64_t rows = WithoutLast(a, 1).elements();
  return a[a.rank() - 2] == 1 && (rows == 1 || b_batch.elements() != 1);
}

/// Whether A is known to have one row, of any length: all of its axes but that one have extent 1.
bool IsOneRow(const Type& a, bool transposed) {
  if (!a.shape || a.shape->empty()) return false;
  std::vector<Dim> others = *a.shape;
  others.erase(transposed ? others.begin() : others.end() - 1);
  return std::all_of(others.begin(), others.end(), [](const Dim& dim) { return dim.value == 1; });
}

/// Where matrix `i` of a broadcast stack lies in a stack of shape `from`.
size_t SourceMatrix(size_t i, const Shape& out, const Shape& from) {
  size_t index = 0;
  size_t stride = 1;
  for (size_t axis = out.rank(); axis-- > 0;) {
    const size_t position = i % static_cast<size_t>(out[axis]);
    i /= static_cast<size_t>(out[axis]);
    if (axis + from.rank() < out.rank()) break;  // `from` has no more axes
    const auto extent = static_cast<size_t>(from[axis + from.rank() - out.rank()]);
    if (extent != 1) index += position * stride;
    stride *= extent;
  }
  return index;
}

/// ONNX's operator and the internal one, which has an epilogue besides.
class MatMul final : public Kernel {
 public:
  explicit MatMul(const NodeSpec& node)
      : ops_(GemmOpsFor(node.target)),
        transpose_b_(node.attributes.Int("transB", 0) != 0),
        epilogue_(ReadEpilogue(node)) {
    epilogue_.alpha = node.attributes.Float("alpha", 1.0f);
    if (!node.IsConstant(1)) return;
    const Tensor& b = node.constant_inputs[1];
    if (b.rank() == 0 || (b.rank() <= 2 && IsOneRow(node.input_types[0], false))) return;
    constant_rank_ = b.rank();
    constant_b_ = PackAhead(node, ops_, AsMatrices(b), transpose_b_);
  }

  void Run(KernelContext& context) const override {
    const Tensor& a = context.Input(0);
    const Tensor& b = context.Input(1);
    Require(a.rank() >= 1 && b.rank() >= 1, ErrorCode::kInvalidArgument, "MatMul needs tensors of rank 1 or more, not ",
            a.shape(), " and ", b.shape());
    const Shape a_shape = a.rank() == 1 ? Shape{1, a.dim(0)} : a.shape();
    const int64_t b_rows = b.dim(b.rank() < 2 ? 0 : transpose_b_ ? b.rank() - 1 : b.rank() - 2);
    Require(a_shape[a_shape.rank() - 1] == b_rows, ErrorCode::kInvalidArgument, "MatMul of ", a.shape(), " and ",
            b.shape(), ": ", a_shape[a_shape.rank() - 1], " columns against ", b_rows, " rows");
    const Stack stack = constant_rank_ != 0 ? constant_b_ : StackOf(AsMatrices(b), a_shape, context);

    const Shape a_batch = WithoutLast(a_shape, 2);
    const Shape batch = BroadcastShapes(a_batch, stack.batch);
    Shape out_shape = batch;
    if (a.rank() > 1) out_shape.Append(a_shape[a_shape.rank() - 2]);
    if (b.rank() > 1) out_shape.Append(static_cast<int64_t>(stack.n));
    const Epilogue epilogue = EpilogueOf(context, out_shape);
    Tensor& out = context.Output(0, DType::kFloat32, out_shape);
    Multiply(a.data<float>(), a_shape, a_batch, stack, batch, epilogue, out.data<float>(), context.Threads());
  }

  bool ReadsConstant(size_t input) const override { return input != 1 || constant_rank_ == 0; }

 private:
  Stack StackOf(const Tensor& b, const Shape& a, KernelContext& context) const {
    return TakesOneRow(a, WithoutLast(b.shape(), 2)) ? AsItIs(ops_, b, transpose_b_)
                                                     : PackNow(ops_, b, transpose_b_, context);
  }

  static Tensor AsMatrices(const Tensor& b) { return b.rank() == 1 ? b.Reshaped({b.dim(0), 1}) : b; }

  Epilogue EpilogueOf(const KernelContext& context, const Shape& out) const {
    Epilogue epilogue = epilogue_;
    const int64_t n = out.rank() == 0 ? 1 : out[out.rank() - 1];
    if (const Tensor* bias = context.OptionalInput(2)) {
      Require(bias->elements() == n, ErrorCode::kInvalidArgument, "a bias of shape ", bias->shape(), " for ", n,
              " columns");
      epilogue.col_bias = bias->data<float>();
    }
    if (const Tensor* residual = context.OptionalInput(3)) {
      Require(residual->shape() == out, ErrorCode::kInvalidArgument, "the residual has shape ", residual->shape(),
              ", and the product ", out);
      epilogue.residual = residual->data<float>();
      epilogue.residual_stride = static_cast<size_t>(n);
    }
    return epilogue;
  }

  void Multiply(const float* a, const Shape& a_shape, const Shape& a_batch, const Stack& stack, const Shape& batch,
                const Epilogue& epilogue, float* out, ThreadPool& threads) const {
    auto m = static_cast<size_t>(a_shape[a_shape.rank() - 2]);
    auto count = static_cast<size_t>(batch.elements());
    const bool one_b = stack.batch.elements() == 1;
    if (one_b && a_batch.elements() == batch.elements()) {  // the rows of all matrices of A are one tall matrix
      m *= count;
      count = count == 0 ? 0 : 1;
    }
    const auto call_at = [&](size_t i) {
      GemmCall call;
      call.m = m;
      call.n = stack.n;
      call.depth = stack.k;
      call.a = a + (count <= 1 ? 0 : SourceMatrix(i, batch, a_batch)) * m * stack.k;
      call.a_stride = stack.k;
      call.b = stack.data + (one_b ? 0 : SourceMatrix(i, batch, stack.batch)) * stack.matrix_floats;
      call.b_stride = stack.stride;
      call.b_transposed = stack.transposed;
      call.c = out + i * m * stack.n;
      call.c_stride = stack.n;
      call.epilogue = epilogue;
      if (epilogue.residual != nullptr) call.epilogue.residual += i * m * stack.n;
      return call;
    };
    RunGemms(ops_, count, m, stack.n, stack.k, threads, call_at);
  }

  const GemmOps& ops_;
  bool transpose_b_;
  Epilogue epilogue_;
  size_t constant_rank_ = 0;
  Stack constant_b_;
};

class Gemm final : public Kernel {
 public:
  explicit Gemm(const NodeSpec& node)
      : ops_(GemmOpsFor(node.target)),
        alpha_(node.attributes.Float("alpha", 1.0f)),
        beta_(node.attributes.Float("beta", 1.0f)),
        transpose_a_(node.attributes.Int("transA", 0) != 0),
        transpose_b_(node.attributes.Int("transB", 0) != 0),
        epilogue_(ReadEpilogue(node)) {
    if (node.IsConstant(1) && node.constant_inputs[1].rank() == 2 && !IsOneRow(node.input_types[0], transpose_a_)) {
      constant_b_ = PackAhead(node, ops_, node.constant_inputs[1], transpose_b_);
    }
  }

  void Run(KernelContext& context) const override {
    const Tensor& a = context.Input(0);
    const Tensor& b = context.Input(1);
    Require(a.rank() == 2 && b.rank() == 2, ErrorCode::kInvalidArgument, "Gemm needs matrices, not ", a.shape(),
            " and ", b.shape());
    const int64_t m = a.dim(transpose_a_ ? 1 : 0);
    const int64_t k = a.dim(transpose_a_ ? 0 : 1);
    const int64_t n = b.dim(transpose_b_ ? 0 : 1);
    Require(b.dim(transpose_b_ ? 1 : 0) == k, ErrorCode::kInvalidArgument, "Gemm of ", a.shape(),
            transpose_a_ ? "ᵀ" : "", " and ", b.shape(), transpose_b_ ? "ᵀ" : "", ": the inner extents differ");
    const Stack stack = constant_b_.data != nullptr ? constant_b_
                        : m == 1                    ? AsItIs(ops_, b, transpose_b_)
                                                    : PackNow(ops_, b, transpose_b_, context);
    Tensor& out = context.Output(0, DType::kFloat32, {m, n});

    GemmCall call;
    call.m = static_cast<size_t>(m);
    call.n = static_cast<size_t>(n);
    call.depth = static_cast<size_t>(k);
    call.a = transpose_a_ ? Transposed(a, context) : a.data<float>();
    call.a_stride = call.depth;
    call.b = stack.data;
    call.b_stride = stack.stride;
    call.b_transposed = stack.transposed;
    call.c = out.data<float>();
    call.c_stride = call.n;
    call.epilogue = epilogue_;
    call.epilogue.alpha = alpha_;
    if (const Tensor* c = context.OptionalInput(2); c != nullptr && beta_ != 0.0f) AddBias(*c, call, context);
    RunGemms(ops_, 1, call.m, call.n, call.depth, context.Threads(), [&](size_t) { return call; });
  }

  bool ReadsConstant(size_t input) const override { return input != 1 || constant_b_.data == nullptr; }

 private:
  static const float* Transposed(const Tensor& a, KernelContext& context) {
    const auto rows = static_cast<size_t>(a.dim(0));
    const auto columns = static_cast<size_t>(a.dim(1));
    const float* from = a.data<float>();
    float* to = context.Scratch<float>(rows * columns);
    for (size_t j = 0; j < columns; ++j) {
      for (size_t i = 0; i < rows; ++i) to[j * rows + i] = from[i * columns + j];
    }
    return to;
  }

  /// C broadcasts to [m, n]: as a row, a column, one number, or a whole matrix.
  void AddBias(const Tensor& c, GemmCall& call, KernelContext& context) const {
    const auto rows = static_cast<size_t>(c.rank() >= 2 ? c.dim(c.rank() - 2) : 1);
    const auto columns = static_cast<size_t>(c.rank() >= 1 ? c.dim(c.rank() - 1) : 1);
    Require(c.rank() <= 2 && (rows == 1 || rows == call.m) && (columns == 1 || columns == call.n),
            ErrorCode::kInvalidArgument, "Gemm cannot broadcast C of shape ", c.shape(), " to [", call.m, ", ", call.n,
            "]");
    const float* bias = Scaled(c, context);
    if (rows == call.m && columns == call.n && rows != 1) {
      call.epilogue.residual = bias;
      call.epilogue.residual_stride = call.n;
    } else if (columns == call.n && (rows == 1)) {
      call.epilogue.col_bias = bias;
    } else if (columns == 1 && rows == call.m) {
      call.epilogue.row_bias = bias;
    } else {
      float* filled = context.Scratch<float>(call.n);
      std::fill_n(filled, call.n, *bias);
      call.epilogue.col_bias = filled;
    }
  }

  const float* Scaled(const Tensor& c, KernelContext& context) const {
    if (beta_ == 1.0f) return c.data<float>();
    const auto count = static_cast<size_t>(c.elements());
    float* scaled = context.Scratch<float>(count);
    std::transform(c.data<float>(), c.data<float>() + count, scaled, [this](float x) { return beta_ * x; });
    return scaled;
  }

  const GemmOps& ops_;
  float alpha_;
  float beta_;
  bool transpose_a_;
  bool transpose_b_;
  Epilogue epilogue_;
  Stack constant_b_;
};

template <typename K>
std::unique_ptr<Kernel> MakeFloat32(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32 || node.InputDType(1) != DType::kFloat32) return nullptr;
  return std::make_unique<K>(node);
}

}  // namespace

void AddMatMul(KernelTable& table) {
  table.Add("", "MatMul", {1, 9, 13}, MakeFloat32<MatMul>);
  table.Add("", "Gemm", {1, 6, 7, 9, 11, 13}, MakeFloat32<Gemm>);
  table.Add(kInternalDomain, "Gemm", {1}, MakeFloat32<Gemm>);
  table.Add(kInternalDomain, "MatMul", {1}, MakeFloat32<MatMul>);
}

}  // namespace onnxforge::simd
