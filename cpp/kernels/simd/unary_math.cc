// The elementwise functions of one float32 that ActivationOf() knows.

#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "reference/broadcast.h"
#include "simd/epilogue.h"
#include "simd/list.h"

namespace onnxforge::simd {
namespace {

std::unique_ptr<Kernel> MakeFunction(Function function) {
  return MakeKernel([function](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const float* from = x.data<float>();
    Tensor& y = context.OutputInPlace(0, DType::kFloat32, x.shape(), {0});
    float* to = y.data<float>();
    context.Threads().ParallelFor(y.elements(), reference::kElementwiseGrain, [&](int64_t begin, int64_t end) {
      function(from + begin, to + begin, static_cast<size_t>(end - begin));
    });
  });
}

std::unique_ptr<Kernel> MakeUnary(const NodeSpec& node) {
  if (node.InputDType(0) != DType::kFloat32) return nullptr;
  const auto activation =
      ActivationOf(node.op_type, node.since_version, node.attributes, node.input_count, node.constant_inputs);
  return activation ? MakeFunction(FunctionFor(*activation, node.target)) : nullptr;
}

std::unique_ptr<Kernel> MakeFakeQuantize(const NodeSpec& node) { return MakeFunction(ReadEpilogue(node).activation); }

}  // namespace

void AddUnaryMath(KernelTable& table) {
  table.Add("", "Abs", {1, 6, 13}, MakeUnary);
  table.Add("", "Ceil", {1, 6, 13}, MakeUnary);
  table.Add("", "Clip", {1, 6, 11, 12, 13}, MakeUnary);
  table.Add("", "Elu", {1, 6, 22}, MakeUnary);
  table.Add("", "Erf", {9, 13}, MakeUnary);
  table.Add("", "Exp", {1, 6, 13}, MakeUnary);
  table.Add("", "Floor", {1, 6, 13}, MakeUnary);
  table.Add("", "Gelu", {20}, MakeUnary);
  table.Add("", "HardSigmoid", {1, 6, 22}, MakeUnary);
  table.Add("", "HardSwish", {14, 22}, MakeUnary);
  table.Add("", "LeakyRelu", {1, 6, 16}, MakeUnary);
  table.Add("", "Log", {1, 6, 13}, MakeUnary);
  table.Add("", "Mish", {18, 22}, MakeUnary);
  table.Add("", "Neg", {1, 6, 13}, MakeUnary);
  table.Add("", "Reciprocal", {1, 6, 13}, MakeUnary);
  table.Add("", "Relu", {1, 6, 13, 14}, MakeUnary);
  table.Add("", "Round", {11, 22}, MakeUnary);
  table.Add("", "Sigmoid", {1, 6, 13}, MakeUnary);
  table.Add("", "Softplus", {1, 22}, MakeUnary);
  table.Add("", "Sqrt", {1, 6, 13}, MakeUnary);
  table.Add("", "Swish", {24}, MakeUnary);
  table.Add("", "Tanh", {1, 6, 13}, MakeUnary);
  table.Add(kInternalDomain, "FakeQuantize", {1}, MakeFakeQuantize);
}

}  // namespace onnxforge::simd
