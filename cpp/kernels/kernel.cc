#include "onnxforge/kernels/kernel.h"

#include <utility>

#include "onnxforge/base/error.h"

namespace onnxforge {

const Tensor& KernelContext::Input(size_t i) const {
  Require(HasInput(i), ErrorCode::kInvalidModel, "input ", i, " is missing");
  Require(inputs_[i]->is_tensor(), ErrorCode::kInvalidModel, "input ", i, " must be a tensor, and is a ",
          KindName(inputs_[i]->kind()));
  return inputs_[i]->tensor();
}

const Value& KernelContext::InputValue(size_t i) const {
  Require(i < inputs_.size() && inputs_[i] != nullptr, ErrorCode::kInvalidModel, "input ", i, " is missing");
  return *inputs_[i];
}

Tensor& KernelContext::Output(size_t i, DType dtype, const Shape& shape) {
  Require(i < outputs_.size(), ErrorCode::kInvalidModel, "the node has no output ", i);
  outputs_[i] = Value(allocator_.AllocateOutput(i, dtype, shape));
  return outputs_[i].tensor();
}

Tensor& KernelContext::OutputInPlace(size_t i, DType dtype, const Shape& shape,
                                     std::initializer_list<size_t> candidates) {
  Require(i < outputs_.size(), ErrorCode::kInvalidModel, "the node has no output ", i);
  for (size_t candidate : candidates) {
    if (dtype == DType::kString || !HasInput(candidate)) continue;
    const Tensor& input = Input(candidate);
    // Element by element in place: the counts and the sizes must agree, not just the product of both.
    if (input.elements() != shape.elements() || ElementSize(input.dtype()) != ElementSize(dtype)) continue;
    Tensor taken = allocator_.TakeInput(candidate, i, dtype, shape);
    if (!taken.defined()) continue;
    outputs_[i] = Value(std::move(taken));
    return outputs_[i].tensor();
  }
  return Output(i, dtype, shape);
}

void KernelContext::SetOutput(size_t i, Value value) {
  Require(i < outputs_.size(), ErrorCode::kInvalidModel, "the node has no output ", i);
  outputs_[i] = std::move(value);
}

}  // namespace onnxforge
