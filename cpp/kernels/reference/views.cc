// Operators that give the same elements another shape: Reshape, Flatten, Squeeze, Unsqueeze, Identity.
#include <algorithm>
#include <vector>

#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

/// 0 copies the input's extent (unless `allow_zero`), one -1 is what is left.
Shape ReshapedTo(const Shape& from, const std::vector<int64_t>& target, bool allow_zero) {
  Shape shape = Shape::Filled(target.size(), 0);
  int64_t known = 1;
  size_t inferred = target.size();
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] == -1) {
      Require(inferred == target.size(), ErrorCode::kInvalidArgument, "the target shape has two extents of -1");
      inferred = i;
      continue;
    }
    Require(target[i] >= 0, ErrorCode::kInvalidArgument, "the target shape has the extent ", target[i]);
    if (target[i] == 0 && !allow_zero) {
      Require(i < from.rank(), ErrorCode::kInvalidArgument, "extent ", i,
              " of the target shape is 0, to copy the input's, but ", from, " has no axis ", i);
      shape[i] = from[i];
    } else {
      shape[i] = target[i];
    }
  }
  if (inferred < target.size()) {
    shape[inferred] = 1;
    known = shape.elements();
    const int64_t elements = from.elements();
    Require(known != 0 ? elements % known == 0 : elements == 0, ErrorCode::kInvalidArgument, "a tensor of shape ", from,
            " cannot be reshaped: ", elements, " elements do not divide by ", known);
    shape[inferred] = known == 0 ? 0 : elements / known;
  }
  return shape;
}

std::unique_ptr<Kernel> MakeReshape(const NodeSpec& node) {
  const bool allow_zero = node.attributes.Int("allowzero", 0) != 0;
  return MakeKernel([allow_zero](KernelContext& context) {
    const Tensor& x = context.Input(0);
    context.SetOutput(0, x.Reshaped(ReshapedTo(x.shape(), context.Input(1).To<int64_t>(), allow_zero)));
  });
}

std::unique_ptr<Kernel> MakeReshapeByAttribute(const NodeSpec& node) {
  return MakeKernel([target = node.attributes.Ints("shape")](KernelContext& context) {
    const Tensor& x = context.Input(0);
    context.SetOutput(0, x.Reshaped(ReshapedTo(x.shape(), target, false)));
  });
}

std::unique_ptr<Kernel> MakeFlatten(const NodeSpec& node) {
  return MakeKernel([axis = node.attributes.Int("axis", 1)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const auto rank = static_cast<int64_t>(x.rank());
    Require(axis >= -rank && axis <= rank, ErrorCode::kInvalidArgument, "axis ", axis, " is out of range for rank ",
            rank);
    const auto split = static_cast<size_t>(axis < 0 ? axis + rank : axis);
    context.SetOutput(0, x.Reshaped({x.shape().elements(0, split), x.shape().elements(split, x.rank())}));
  });
}

Shape Squeezed(const Shape& from, const std::vector<int64_t>& axes, bool given) {
  std::vector<bool> drop(from.rank(), false);
  for (size_t i = 0; i < from.rank() && !given; ++i) drop[i] = from[i] == 1;
  for (int64_t axis : axes) {
    const size_t i = NormalizeAxis(axis, from.rank());
    Require(from[i] == 1, ErrorCode::kInvalidArgument, "axis ", axis, " of shape ", from,
            " is not 1 and cannot be squeezed");
    drop[i] = true;
  }
  Shape shape;
  for (size_t i = 0; i < from.rank(); ++i) {
    if (!drop[i]) shape.Append(from[i]);
  }
  return shape;
}

Shape Unsqueezed(const Shape& from, const std::vector<int64_t>& axes) {
  const size_t rank = from.rank() + axes.size();
  std::vector<bool> added(rank, false);
  for (size_t axis : NormalizeAxes(axes, rank)) added[axis] = true;
  Shape shape;
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) shape.Append(added[i] ? 1 : from[next++]);
  return shape;
}

/// Before version 13 the axes are an attribute.
std::unique_ptr<Kernel> MakeSqueeze(const NodeSpec& node) {
  const bool by_attribute = node.since_version < 13;
  return MakeKernel([by_attribute, axes = node.attributes.Ints("axes"),
                     has_axes = node.attributes.Has("axes")](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor* input = by_attribute ? nullptr : context.OptionalInput(1);
    const bool given = by_attribute ? has_axes : input != nullptr;
    context.SetOutput(0, x.Reshaped(Squeezed(x.shape(), input != nullptr ? input->To<int64_t>() : axes, given)));
  });
}

std::unique_ptr<Kernel> MakeUnsqueeze(const NodeSpec& node) {
  const bool by_attribute = node.since_version < 13;
  return MakeKernel([by_attribute, axes = node.attributes.Ints("axes")](KernelContext& context) {
    const Tensor& x = context.Input(0);
    context.SetOutput(0, x.Reshaped(Unsqueezed(x.shape(), by_attribute ? axes : context.Input(1).To<int64_t>())));
  });
}

std::unique_ptr<Kernel> MakeIdentity(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) { context.SetOutput(0, context.InputValue(0)); });
}

}  // namespace

void AddViews(KernelTable& table) {
  table.Add("", "Flatten", {1, 9, 11, 13, 21, 23, 24, 25}, &MakeFlatten);
  table.Add("", "Identity", {1, 13, 14, 16, 19, 21, 23, 24, 25}, &MakeIdentity);
  table.Add("", "Reshape", {1}, &MakeReshapeByAttribute);
  table.Add("", "Reshape", {5, 13, 14, 19, 21, 23, 24, 25}, &MakeReshape);
  table.Add("", "Squeeze", {1, 11, 13, 21, 23, 24, 25}, &MakeSqueeze);
  table.Add("", "Unsqueeze", {1, 11, 13, 21, 23, 24, 25}, &MakeUnsqueeze);
}

}  // namespace onnxforge::reference
