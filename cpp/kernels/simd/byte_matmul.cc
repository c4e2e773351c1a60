// MatMulInteger, QLinearMatMul and the internal products of quantised matrices. B is packed when the session is built
// where it is a constant.

#include <algorithm>
#include <memory>
#include <utility>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "reference/broadcast.h"
#include "reference/matmul.h"
#include "simd/byte_product.h"
#include "simd/epilogue.h"
#include "simd/list.h"
#include "simd/tasks.h"

namespace onnxforge::simd {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

/// Which inputs of an operator are what.
struct Roles {
  size_t a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero, bias;
};
constexpr Roles kMatMulInteger = {0, kNone, 2, 1, kNone, 3, kNone, kNone, kNone};
constexpr Roles kQLinearMatMul = {0, 1, 2, 3, 4, 5, 6, 7, 8};
constexpr Roles kMatMulToFloat = {0, 1, 2, 3, 4, 5, kNone, kNone, 6};

const Tensor* Given(const KernelContext& context, size_t input) {
  return input == kNone ? nullptr : context.OptionalInput(input);
}

class ByteMatMul final : public Kernel {
 public:
  ByteMatMul(const NodeSpec& node, const Roles& roles, std::unique_ptr<Kernel> other)
      : ops_(ByteGemmOpsFor(node.target)),
        roles_(roles),
        transpose_b_(node.attributes.Int("transB", 0) != 0),
        least_(node.attributes.Int("least", -128)),
        most_(node.attributes.Int("most", 255)),
        other_(std::move(other)) {
    if (roles.y_zero == kNone && roles.b_scale != kNone) {
      const Epilogue e = ReadEpilogue(node);
      result_.kind = ByteResult::Kind::kFloat32;
      result_.least = e.lo;
      result_.most = e.hi;
      result_.activation = e.activation;
    }
    if (!node.IsConstant(roles.b) || node.constant_inputs[roles.b].rank() < 1) return;
    const Tensor& b = node.constant_inputs[roles.b];
    size_t count = 0;
    const ByteMatrix first = MatrixOf(b, count);
    constant_b_ = PackedBytes::PackAhead(node, ops_, first, first.depth * first.columns, count, IsUnsigned(b));
  }

  void Run(KernelContext& context) const override {
    const Tensor& a = context.Input(roles_.a);
    const Tensor& b = context.Input(roles_.b);
    if (other_ != nullptr && !Covers(context, b)) return other_->Run(context);
    const reference::MatMulShapes shapes = reference::MatMulShapesOf(a.shape(), Plain(b.shape()));
    const LeftBytes left(a, Given(context, roles_.a_zero), ops_.signed_a);
    const PackedBytes packed = constant_b_.packed != nullptr ? constant_b_ : PackNow(b, context);
    ByteTerms terms(context, packed, left, result_.kind == ByteResult::Kind::kFloat32 ? nullptr : Bias(context, packed),
                    Given(context, roles_.b_zero));
    ByteResult result = result_;
    if (roles_.b_scale != kNone) {
      const Tensor* y_scale = Given(context, roles_.y_scale);
      terms.SetScales(context, *context.Input(roles_.a_scale).data<float>(), context.Input(roles_.b_scale),
                      y_scale == nullptr ? nullptr : y_scale->data<float>());
    }
    DType dtype = DType::kInt32;
    if (roles_.y_zero != kNone) {
      SetByteKind(result, context.Input(roles_.y_zero));
      result.lo = std::max(result.lo, static_cast<int32_t>(least_));
      result.hi = std::min(result.hi, static_cast<int32_t>(most_));
      dtype = context.Input(roles_.y_zero).dtype();
    } else if (result.kind == ByteResult::Kind::kFloat32) {
      dtype = DType::kFloat32;
      if (const Tensor* bias = Bias(context, packed)) terms.SetBias(context, *bias);
    }
    result.c = context.Output(0, dtype, shapes.output).raw();
    result.stride = packed.n;
    Multiply(shapes, left, packed, terms, result, dtype, context.Threads());
  }

 private:
  static bool IsUnsigned(const Tensor& b) { return b.dtype() == DType::kUInt8; }

  /// Zero points of the right type; one number for A and for the result, one or a row of them for B.
  bool Covers(const KernelContext& context, const Tensor& b) const {
    const auto is_one = [&](size_t input) {
      const Tensor* t = Given(context, input);
      return t == nullptr || t->elements() == 1;
    };
    const auto is_row = [&](size_t input) {
      const Tensor* t = Given(context, input);
      return t == nullptr || t->elements() == 1 || (t->rank() == 1 && t->dim(0) == b.dim(b.rank() - 1));
    };
    const auto has_type = [&](size_t input, DType dtype) {
      const Tensor* t = Given(context, input);
      return t == nullptr || t->dtype() == dtype;
    };
    return b.rank() >= 2 && has_type(roles_.a_zero, context.Input(roles_.a).dtype()) &&
           has_type(roles_.b_zero, b.dtype()) && is_one(roles_.a_scale) && is_one(roles_.a_zero) &&
           is_one(roles_.y_scale) && is_one(roles_.y_zero) && is_row(roles_.b_scale) && is_row(roles_.b_zero);
  }

  /// B's shape were it not transposed.
  Shape Plain(Shape b) const {
    if (transpose_b_) std::swap(b[b.rank() - 1], b[b.rank() - 2]);
    return b;
  }

  ByteMatrix MatrixOf(const Tensor& b, size_t& count) const {
    const size_t rank = b.rank();
    const auto rows = static_cast<size_t>(rank == 1 ? b.dim(0) : b.dim(rank - 2));
    const auto columns = static_cast<size_t>(rank == 1 ? 1 : b.dim(rank - 1));
    ByteMatrix m;
    m.data = BytesOf(b);
    m.depth = transpose_b_ ? columns : rows;
    m.columns = transpose_b_ ? rows : columns;
    m.depth_stride = transpose_b_ ? 1 : columns;
    m.column_stride = transpose_b_ ? columns : 1;
    count = rank <= 2 ? 1 : static_cast<size_t>(b.shape().elements(0, rank - 2));
    return m;
  }

  PackedBytes PackNow(const Tensor& b, KernelContext& context) const {
    size_t count = 0;
    const ByteMatrix first = MatrixOf(b, count);
    void* memory =
        context.Scratch<int32_t>(CeilDiv(PackedBytes::Bytes(ops_, first.depth, first.columns, count), sizeof(int32_t)));
    return PackedBytes::Pack(ops_, first, first.depth * first.columns, count, IsUnsigned(b), memory, context.Threads());
  }

  const Tensor* Bias(const KernelContext& context, const PackedBytes& b) const {
    const Tensor* bias = Given(context, roles_.bias);
    Require(bias == nullptr || bias->elements() == static_cast<int64_t>(b.n), ErrorCode::kInvalidArgument,
            "a bias of shape ", bias == nullptr ? Shape{} : bias->shape(), " for ", b.n, " columns");
    return bias;
  }

  void Multiply(const reference::MatMulShapes& shapes, const LeftBytes& left, const PackedBytes& packed,
                const ByteTerms& terms, const ByteResult& result, DType dtype, ThreadPool& threads) const {
    auto m = static_cast<size_t>(shapes.m);
    auto count = static_cast<size_t>(shapes.batch.elements());
    if (packed.count == 1) {  // the rows of all matrices of A are one tall matrix, as B's batch axes are all 1
      m *= count;
      count = count == 0 ? 0 : 1;
    }
    const auto call_at = [&](size_t i) {
      const auto [of_a, of_b] = count <= 1 ? std::pair<size_t, size_t>(0, 0) : SourcesOf(shapes, i);
      ByteGemmCall call;
      call.m = m;
      call.n = packed.n;
      call.depth = packed.k;
      call.a = left.data + of_a * m * packed.k;
      call.a_stride = packed.k;
      call.flip = left.flip;
      call.b = packed.matrix(of_b);
      call.result = terms.Of(result, of_b);
      call.result.c = static_cast<char*>(result.c) + i * m * packed.n * ElementSize(dtype);
      return call;
    };
    RunGemms(ops_, count, m, packed.n, packed.k, threads, call_at);
  }

  /// The matrices of A and of B that make up product `i`.
  static std::pair<size_t, size_t> SourcesOf(const reference::MatMulShapes& shapes, size_t i) {
    size_t of_a = 0;
    size_t of_b = 0;
    for (size_t axis = shapes.batch.rank(); axis-- > 0;) {
      const auto extent = static_cast<size_t>(shapes.batch[axis]);
      of_a += i % extent * static_cast<size_t>(shapes.a_batch[axis]);
      of_b += i % extent * static_cast<size_t>(shapes.b_batch[axis]);
      i /= extent;
    }
    return {of_a, of_b};
  }

  const ByteGemmOps& ops_;
  Roles roles_;
  bool transpose_b_;
  int64_t least_;
  int64_t most_;
  ByteResult result_;
  PackedBytes constant_b_;
  std::unique_ptr<Kernel> other_;  // for parameters that are not covered here; null in the internal domain
};

std::unique_ptr<Kernel> Make(const NodeSpec& node, const Roles& roles) {
  if (!IsByte(node.InputDType(roles.a)) || !IsByte(node.InputDType(roles.b))) return nullptr;
  if (roles.y_zero != kNone && !IsByte(node.InputDType(roles.y_zero))) return nullptr;
  if (roles.b_scale != kNone &&
      (node.InputDType(roles.a_scale) != DType::kFloat32 || node.InputDType(roles.b_scale) != DType::kFloat32)) {
    return nullptr;
  }
  if (roles.y_scale != kNone && node.InputDType(roles.y_scale) != DType::kFloat32) return nullptr;
  std::unique_ptr<Kernel> other;
  if (node.domain != kInternalDomain) {
    other = ReferenceKernels().Find(node.domain, node.op_type, node.since_version)(node);
  }
  return std::make_unique<ByteMatMul>(node, roles, std::move(other));
}

std::unique_ptr<Kernel> MakeMatMulInteger(const NodeSpec& node) { return Make(node, kMatMulInteger); }
std::unique_ptr<Kernel> MakeQLinearMatMul(const NodeSpec& node) { return Make(node, kQLinearMatMul); }
std::unique_ptr<Kernel> MakeMatMulToFloat(const NodeSpec& node) { return Make(node, kMatMulToFloat); }

}  // namespace

void AddByteMatMul(KernelTable& table) {
  table.Add("", "MatMulInteger", {10}, MakeMatMulInteger);
  table.Add("", "QLinearMatMul", {10, 21}, MakeQLinearMatMul);
  table.Add(kInternalDomain, "QLinearMatMul", {1}, MakeQLinearMatMul);
  table.Add(kInternalDomain, "MatMulIntegerToFloat", {1}, MakeMatMulToFloat);
}

}  // namespace onnxforge::simd
