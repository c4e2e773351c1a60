// com.microsoft: MatMulNBits, a product with weights of 2, 4 or 8 bits in blocks that have a scale each.
#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/matrix.h"

namespace onnxforge::reference {
namespace {

struct PackedWeights {
  int64_t rows = 0;     // of the unpacked weights: K
  int64_t columns = 0;  // N
  int64_t bits = 4;
  int64_t block = 32;

  int64_t blocks() const { return (rows + block - 1) / block; }
  int64_t block_bytes() const { return block * bits / 8; }
  /// Element `i` of packed ones, the lowest bits first.
  int Unpack(const uint8_t* packed, int64_t i) const {
    const int64_t per_byte = 8 / bits;
    return packed[i / per_byte] >> (i % per_byte * bits) & ((1 << bits) - 1);
  }
};

PackedWeights ReadPacked(const NodeSpec& node) {
  PackedWeights p;
  p.rows = node.attributes.Int("K");
  p.columns = node.attributes.Int("N");
  p.bits = node.attributes.Int("bits", 4);
  p.block = node.attributes.Int("block_size");
  constexpr int64_t kMost = int64_t{1} << 31;
  Require(p.rows > 0 && p.columns > 0 && p.rows < kMost && p.columns < kMost &&
              (p.bits == 2 || p.bits == 4 || p.bits == 8) && p.block >= 16 && p.block < kMost &&
              (p.block & (p.block - 1)) == 0,
          ErrorCode::kUnsupported, "MatMulNBits with K=", p.rows, ", N=", p.columns, ", bits=", p.bits,
          " and block_size=", p.block);
  return p;
}

/// to[rows, columns] = (weights - zero points) · scales. `zeros` null: half the range. `groups`: whose scale and zero
/// point a row has; null: its block's.
void Dequantize(const PackedWeights& p, const Tensor& weights, const float* scales, const Tensor* zeros,
                const float* real_zeros, const int32_t* groups, float* to) {
  const int64_t per_row = (p.blocks() * p.bits + 7) / 8;
  for (int64_t n = 0; n < p.columns; ++n) {
    for (int64_t k = 0; k < p.rows; ++k) {
      const int64_t block = k / p.block;
      const uint8_t* packed = weights.data<uint8_t>() + (n * p.blocks() + block) * p.block_bytes();
      const int64_t group = groups == nullptr ? block : groups[k];
      auto zero = static_cast<float>(1 << (p.bits - 1));
      if (real_zeros != nullptr) {
        zero = real_zeros[n * p.blocks() + group];
      } else if (zeros != nullptr) {
        zero = static_cast<float>(p.Unpack(zeros->data<uint8_t>() + n * per_row, group));
      }
      to[k * p.columns + n] =
          (static_cast<float>(p.Unpack(packed, k % p.block)) - zero) * scales[n * p.blocks() + group];
    }
  }
}

/// The inputs that the weights are unpacked from.
struct PackedInputs {
  const Tensor& weights;
  const Tensor& scales;
  const Tensor* zeros;
  const Tensor* groups;
};

void RequireGroups(const PackedWeights& p, const Tensor& groups) {
  Require(groups.dtype() == DType::kInt32 && groups.elements() >= p.rows, ErrorCode::kInvalidArgument, "g_idx is ",
          groups.dtype(), groups.shape(), " for K=", p.rows);
  const auto* first = groups.data<int32_t>();
  for (int64_t k = 0; k < p.rows; ++k) {
    Require(first[k] >= 0 && first[k] < p.blocks(), ErrorCode::kInvalidArgument, "g_idx says ", first[k], " for row ",
            k, ", and there are ", p.blocks(), " groups");
  }
}

void RequirePacked(const PackedWeights& p, const PackedInputs& inputs) {
  const auto& [weights, scales, zeros, groups] = inputs;
  Require(weights.dtype() == DType::kUInt8 && weights.elements() == p.columns * p.blocks() * p.block_bytes(),
          ErrorCode::kInvalidArgument, "B is ", weights.dtype(), weights.shape(), " for K=", p.rows, ", N=", p.columns,
          " and block_size=", p.block);
  Require(scales.elements() == p.columns * p.blocks(), ErrorCode::kInvalidArgument, "scales has shape ", scales.shape(),
          " for ", p.columns * p.blocks(), " blocks");
  if (groups != nullptr) RequireGroups(p, *groups);
  if (zeros == nullptr) return;
  const int64_t packed = p.columns * ((p.blocks() * p.bits + 7) / 8);
  Require(zeros->elements() == (zeros->dtype() == DType::kUInt8 ? packed : p.columns * p.blocks()),
          ErrorCode::kInvalidArgument, "zero_points is ", zeros->dtype(), zeros->shape(), " for ",
          p.columns * p.blocks(), " blocks");
}

std::vector<float> FloatsOf(const Tensor& t) {
  std::vector<float> out(static_cast<size_t>(t.elements()));
  ConvertElements(t.dtype(), t.raw(), DType::kFloat32, out.data(), t.elements());
  return out;
}

std::vector<float> Unpacked(const PackedWeights& p, const PackedInputs& inputs) {
  RequirePacked(p, inputs);
  const Tensor* zeros = inputs.zeros;
  const bool real = zeros != nullptr && zeros->dtype() != DType::kUInt8;
  const std::vector<float> real_zeros = real ? FloatsOf(*zeros) : std::vector<float>();
  std::vector<float> out(static_cast<size_t>(p.rows * p.columns));
  Dequantize(p, inputs.weights, FloatsOf(inputs.scales).data(), zeros, real ? real_zeros.data() : nullptr,
             inputs.groups == nullptr ? nullptr : inputs.groups->data<int32_t>(), out.data());
  return out;
}

/// Whether input `i` is there: as a constant, or by its type.
bool IsGiven(const NodeSpec& node, size_t i) {
  return node.input_count > i && (node.IsConstant(i) || node.InputDType(i) != DType::kUndefined);
}

std::unique_ptr<Kernel> MakeMatMulNBits(const NodeSpec& node) {
  const PackedWeights p = ReadPacked(node);
  // Weights that are constants are unpacked once.
  const std::array<bool, 2> given = {IsGiven(node, 3), IsGiven(node, 4)};
  std::shared_ptr<const std::vector<float>> constant;
  if (node.IsConstant(1) && node.IsConstant(2) && (!given[0] || node.IsConstant(3)) &&
      (!given[1] || node.IsConstant(4))) {
    const auto& inputs = node.constant_inputs;
    constant = std::make_shared<const std::vector<float>>(
        Unpacked(p, {inputs[1], inputs[2], given[0] ? &inputs[3] : nullptr, given[1] ? &inputs[4] : nullptr}));
  }
  return MakeKernel([p, constant, given](KernelContext& context) {
    const Tensor& a = context.Input(0);
    Require(a.rank() >= 1 && a.dim(a.rank() - 1) == p.rows, ErrorCode::kInvalidArgument, "A has shape ", a.shape(),
            " for K=", p.rows);
    const Tensor* bias = context.OptionalInput(5);
    Require(bias == nullptr || bias->elements() == p.columns, ErrorCode::kInvalidArgument, "the bias has shape ",
            bias == nullptr ? Shape{} : bias->shape(), " for N=", p.columns);
    std::vector<float> now;
    const bool unpacked = constant != nullptr && context.HasInput(3) == given[0] && context.HasInput(4) == given[1];
    if (!unpacked)
      now = Unpacked(p, {context.Input(1), context.Input(2), context.OptionalInput(3), context.OptionalInput(4)});
    const float* weights = unpacked ? constant->data() : now.data();
    const int64_t rows = a.shape().elements(0, a.rank() - 1);
    Shape shape = a.shape();
    shape[a.rank() - 1] = p.columns;
    Tensor& y = context.Output(0, a.dtype(), shape);
    WideOutput<float> out(context, y);
    const float* b = bias == nullptr ? nullptr : ReadAs<float>(context, *bias);
    for (int64_t i = 0; i < rows * p.columns; ++i) out.data()[i] = b == nullptr ? 0.0f : b[i % p.columns];
    ParallelMultiplyAdd(context.Threads(), rows, p.columns, p.rows, ReadAs<float>(context, a), p.rows, int64_t{1},
                        weights, p.columns, out.data(), p.columns);
    out.Store();
  });
}

}  // namespace

void AddMatmulNbits(KernelTable& table) { table.Add("com.microsoft", "MatMulNBits", {1}, &MakeMatMulNBits); }

}  // namespace onnxforge::reference
