// Add, Sub, Mul and Div from version 7 on, and Max, Min and Sum of two, for float32 with broadcasting.

#include "onnxforge/kernels/table.h"

#include "reference/broadcast.h"
#include "simd/list.h"
#include "simd/rows.h"

namespace onnxforge::simd {
namespace {

void RunBinary(KernelContext& context, BinaryRowLoop loop) {
  const Tensor& a = context.Input(0);
  const Tensor& b = context.Input(1);
  const float* p = a.data<float>();
  const float* q = b.data<float>();
  if (a.shape() == b.shape()) {
    Tensor& y = context.OutputInPlace(0, DType::kFloat32, a.shape(), {0, 1});
    float* to = y.data<float>();
    context.Threads().ParallelFor(y.elements(), reference::kElementwiseGrain, [&](int64_t begin, int64_t end) {
      loop(p + begin, 1, q + begin, 1, to + begin, end - begin);
    });
    return;
  }
  const Shape shape = BroadcastShapes(a.shape(), b.shape());
  const reference::StridedPlan plan = reference::BroadcastPlan({&a.shape(), &b.shape()}, shape);
  const bool a_whole = a.shape() == shape;
  const bool b_whole = b.shape() == shape;
  Tensor& y = a_whole   ? context.OutputInPlace(0, DType::kFloat32, shape, {0})
              : b_whole ? context.OutputInPlace(0, DType::kFloat32, shape, {1})
                        : context.Output(0, DType::kFloat32, shape);
  float* to = y.data<float>();
  plan.ForEach(context.Threads(), reference::kElementwiseGrain, [&](const reference::StridedPlan::Run& run) {
    loop(p + run.offset[0], plan.inner_stride(0), q + run.offset[1], plan.inner_stride(1), to + run.position,
         run.count);
  });
}

template <BinaryRowLoop RowOps::* kLoop>
std::unique_ptr<Kernel> MakeBinary(const NodeSpec& node) {
  if (node.input_count != 2 || node.InputDType(0) != DType::kFloat32 || node.InputDType(1) != DType::kFloat32) {
    return nullptr;
  }
  return MakeKernel([loop = RowOpsFor(node.target).*kLoop](KernelContext& context) { RunBinary(context, loop); });
}

}  // namespace

void AddBinaryMath(KernelTable& table) {
  table.Add("", "Add", {7, 13, 14}, MakeBinary<&RowOps::add>);
  table.Add("", "Div", {7, 13, 14}, MakeBinary<&RowOps::div>);
  table.Add("", "Max", {8, 12, 13}, MakeBinary<&RowOps::max2>);
  table.Add("", "Min", {8, 12, 13}, MakeBinary<&RowOps::min2>);
  table.Add("", "Mul", {7, 13, 14}, MakeBinary<&RowOps::mul>);
  table.Add("", "Sub", {7, 13, 14}, MakeBinary<&RowOps::sub>);
  table.Add("", "Sum", {8, 13}, MakeBinary<&RowOps::add>);
}

}  // namespace onnxforge::simd
