#include "reference/broadcast.h"

#include <algorithm>
#include <vector>

#include "onnxforge/base/error.h"

namespace onnxforge::reference {

StridedPlan::StridedPlan(const Shape& shape, Span<const Shape> strides)
    : operands_(strides.size()), elements_(shape.elements()) {
  Require(operands_ <= kMaxOperands, ErrorCode::kInternal, "StridedPlan: ", operands_, " operands");
  const auto mergeable = [&](size_t outer, size_t inner) {
    return std::all_of(strides.begin(), strides.end(),
                       [&](const Shape& s) { return s[outer] == s[inner] * shape[inner]; });
  };
  size_t last = shape.rank();  // the axis that was appended last
  for (size_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    const bool merge = last < shape.rank() && mergeable(last, axis);
    if (merge) {
      shape_[shape_.rank() - 1] *= shape[axis];
      for (size_t k = 0; k < operands_; ++k) strides_[k][shape_.rank() - 1] = strides[k][axis];
    } else {
      shape_.Append(shape[axis]);
      for (size_t k = 0; k < operands_; ++k) strides_[k].Append(strides[k][axis]);
    }
    last = axis;
  }
  if (shape_.rank() == 0) {
    shape_.Append(1);
    for (size_t k = 0; k < operands_; ++k) strides_[k].Append(1);
  }
}

void StridedPlan::ForRange(int64_t begin, int64_t end, FunctionRef<void(const Run&)> visit) const {
  if (begin >= end) return;
  const size_t rank = shape_.rank();
  Shape index = Shape::Filled(rank, 0);
  Run run;
  run.position = begin;
  for (int64_t rest = begin, axis = static_cast<int64_t>(rank) - 1; axis >= 0; --axis) {
    const auto a = static_cast<size_t>(axis);
    index[a] = rest % shape_[a];
    rest /= shape_[a];
    for (size_t k = 0; k < operands_; ++k) run.offset[k] += index[a] * strides_[k][a];
  }
  while (run.position < end) {
    run.count = std::min(shape_[rank - 1] - index[rank - 1], end - run.position);
    visit(run);
    run.position += run.count;
    for (size_t k = 0; k < operands_; ++k) run.offset[k] += run.count * strides_[k][rank - 1];
    index[rank - 1] += run.count;
    for (size_t a = rank - 1; a > 0 && index[a] == shape_[a]; --a) {
      index[a] = 0;
      ++index[a - 1];
      for (size_t k = 0; k < operands_; ++k) run.offset[k] += strides_[k][a - 1] - shape_[a] * strides_[k][a];
    }
  }
}

void StridedPlan::ForEach(ThreadPool& threads, int64_t grain, FunctionRef<void(const Run&)> visit) const {
  threads.ParallelFor(elements_, grain, [&](int64_t begin, int64_t end) { ForRange(begin, end, visit); });
}

Shape BroadcastStrides(const Shape& shape, const Shape& target) {
  Require(shape.rank() <= target.rank(), ErrorCode::kInvalidArgument, "shape ", shape, " cannot be broadcast to ",
          target);
  const size_t missing = target.rank() - shape.rank();
  Shape strides = Shape::Filled(target.rank(), 0);
  int64_t step = 1;
  for (size_t i = shape.rank(); i-- > 0;) {
    Require(shape[i] == target[missing + i] || shape[i] == 1, ErrorCode::kInvalidArgument, "shape ", shape,
            " cannot be broadcast to ", target);
    strides[missing + i] = shape[i] == 1 ? 0 : step;
    step *= shape[i];
  }
  return strides;
}

StridedPlan BroadcastPlan(std::initializer_list<const Shape*> operands, const Shape& output) {
  std::vector<Shape> strides;
  strides.reserve(operands.size());
  for (const Shape* shape : operands) strides.push_back(BroadcastStrides(*shape, output));
  return StridedPlan(output, strides);
}

}  // namespace onnxforge::reference
