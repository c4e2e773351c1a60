// Sequences and optionals.
#include <algorithm>
#include <vector>

#include "reference/compute.h"
#include "reference/concat.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

DType ElementType(const Value& value) { return value.is_tensor() ? value.tensor().dtype() : DType::kUndefined; }

std::unique_ptr<Kernel> MakeSequenceConstruct(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    Sequence out;
    for (size_t i = 0; i < context.InputCount(); ++i) out.items.push_back(context.InputValue(i));
    out.element = out.items.empty() ? DType::kUndefined : ElementType(out.items[0]);
    context.SetOutput(0, Value(std::move(out)));
  });
}

std::unique_ptr<Kernel> MakeSequenceEmpty(const NodeSpec& node) {
  return MakeKernel([dtype = static_cast<DType>(node.attributes.Int("dtype", 1))](KernelContext& context) {
    Sequence out;
    out.element = dtype;
    context.SetOutput(0, Value(std::move(out)));
  });
}

std::unique_ptr<Kernel> MakeSequenceAt(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const std::vector<Value>& items = context.InputValue(0).sequence().items;
    const int64_t at = NormalizeIndex(ScalarFrom(context.Input(1)), static_cast<int64_t>(items.size()));
    context.SetOutput(0, items[static_cast<size_t>(at)]);
  });
}

std::unique_ptr<Kernel> MakeSequenceErase(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    Sequence out = context.InputValue(0).sequence();
    const auto size = static_cast<int64_t>(out.items.size());
    const int64_t at = NormalizeIndex(context.HasInput(1) ? ScalarFrom(context.Input(1)) : -1, size);
    out.items.erase(out.items.begin() + at);
    context.SetOutput(0, Value(std::move(out)));
  });
}

std::unique_ptr<Kernel> MakeSequenceInsert(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    Sequence out = context.InputValue(0).sequence();
    const auto size = static_cast<int64_t>(out.items.size());
    int64_t at = context.HasInput(2) ? ScalarFrom(context.Input(2)) : size;
    Require(at >= -size && at <= size, ErrorCode::kInvalidArgument, "position ", at,
            " is out of range for a sequence of ", size);
    if (at < 0) at += size;
    out.items.insert(out.items.begin() + at, context.InputValue(1));
    if (out.element == DType::kUndefined) out.element = ElementType(context.InputValue(1));
    context.SetOutput(0, Value(std::move(out)));
  });
}

std::unique_ptr<Kernel> MakeSequenceLength(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const auto size = static_cast<int64_t>(context.InputValue(0).sequence().items.size());
    *context.Output(0, DType::kInt64, {}).data<int64_t>() = size;
  });
}

std::unique_ptr<Kernel> MakeConcatFromSequence(const NodeSpec& node) {
  const bool stack = node.attributes.Int("new_axis", 0) != 0;
  return MakeKernel([stack, axis = node.attributes.Int("axis")](KernelContext& context) {
    const std::vector<Value>& items = context.InputValue(0).sequence().items;
    std::vector<Tensor> parts;
    for (const Value& item : items) {
      parts.push_back(item.tensor());
      if (!stack) continue;
      Shape shape = parts.back().shape();
      shape.Insert(NormalizeAxis(axis, shape.rank() + 1), 1);
      parts.back() = parts.back().Reshaped(std::move(shape));
    }
    std::vector<const Tensor*> pointers;
    for (const Tensor& part : parts) pointers.push_back(&part);
    ConcatInto(context, pointers, axis);
  });
}

Tensor SliceAlong(const Tensor& x, size_t axis, int64_t begin, int64_t count) {
  Shape shape = x.shape();
  shape[axis] = count;
  Tensor out = Tensor::Allocate(x.dtype(), shape);
  const AxisSplit s = SplitAt(x.shape(), axis);
  for (int64_t o = 0; o < s.outer; ++o) {
    CopyElements(x.dtype(), x.raw(), (o * s.extent + begin) * s.inner, out.raw(), o * count * s.inner, count * s.inner);
  }
  return out;
}

/// Parts of the sizes given, of one size (the last may be smaller), or single slices without their axis (unless
/// keepdims).
std::unique_ptr<Kernel> MakeSplitToSequence(const NodeSpec& node) {
  return MakeKernel([attribute = node.attributes.Int("axis", 0),
                     keep = node.attributes.Int("keepdims", 1) != 0](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const size_t axis = NormalizeAxis(attribute, x.rank());
    const int64_t extent = x.dim(axis);
    const Tensor* split = context.OptionalInput(1);
    std::vector<int64_t> parts;
    if (split == nullptr) {
      parts.assign(static_cast<size_t>(extent), 1);
    } else if (split->rank() == 0) {
      const int64_t size = ScalarFrom(*split);
      Require(size > 0, ErrorCode::kInvalidArgument, "split is ", size);
      for (int64_t left = extent; left > 0; left -= size) parts.push_back(std::min(size, left));
    } else {
      parts = split->To<int64_t>();
    }
    Sequence out;
    out.element = x.dtype();
    int64_t at = 0;
    for (int64_t part : parts) {
      Require(part >= 0 && part <= extent - at, ErrorCode::kInvalidArgument, "a part of ", part,
              " does not fit into an axis of ", extent);
      Tensor slice = SliceAlong(x, axis, at, part);
      if (split == nullptr && !keep) {
        Shape shape = slice.shape();
        shape.Erase(axis);
        slice = slice.Reshaped(std::move(shape));
      }
      out.items.emplace_back(std::move(slice));
      at += part;
    }
    Require(at == extent, ErrorCode::kInvalidArgument, "the parts sum up to ", at, ", and the axis is ", extent);
    context.SetOutput(0, Value(std::move(out)));
  });
}

/// An optional that holds something is that thing.
std::unique_ptr<Kernel> MakeOptional(const NodeSpec&) {
  return MakeKernel(
      [](KernelContext& context) { context.SetOutput(0, context.HasInput(0) ? context.InputValue(0) : Value()); });
}

std::unique_ptr<Kernel> MakeOptionalGetElement(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    Require(context.HasInput(0), ErrorCode::kInvalidArgument, "the optional is empty");
    context.SetOutput(0, context.InputValue(0));
  });
}

std::unique_ptr<Kernel> MakeOptionalHasElement(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const bool has = context.HasInput(0);
    *context.Output(0, DType::kBool, {}).data<bool>() = has;
  });
}

}  // namespace

void AddSequence(KernelTable& table) {
  table.Add("", "ConcatFromSequence", {11}, &MakeConcatFromSequence);
  table.Add("", "Optional", {15, 28}, &MakeOptional);
  table.Add("", "OptionalGetElement", {15, 18, 28}, &MakeOptionalGetElement);
  table.Add("", "OptionalHasElement", {15, 18, 28}, &MakeOptionalHasElement);
  table.Add("", "SequenceAt", {11}, &MakeSequenceAt);
  table.Add("", "SequenceConstruct", {11}, &MakeSequenceConstruct);
  table.Add("", "SequenceEmpty", {11}, &MakeSequenceEmpty);
  table.Add("", "SequenceErase", {11}, &MakeSequenceErase);
  table.Add("", "SequenceInsert", {11}, &MakeSequenceInsert);
  table.Add("", "SequenceLength", {11}, &MakeSequenceLength);
  table.Add("", "SplitToSequence", {11, 24}, &MakeSplitToSequence);
}

}  // namespace onnxforge::reference
