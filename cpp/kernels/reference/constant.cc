// Tensors from nothing but parameters: Constant, ConstantOfShape, EyeLike, Range, OneHot.
#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/strided.h"

namespace onnxforge::reference {
namespace {

template <typename T>
Tensor DenseFrom(const SparseTensor& sparse) {
  Tensor dense = Tensor::Allocate(sparse.values.dtype(), sparse.shape);
  T* out = MoveData<T>(dense);
  std::fill_n(out, dense.elements(), T{});
  const std::vector<int64_t> indices = sparse.indices.To<int64_t>();
  const Shape strides = RowMajorStrides(sparse.shape);
  const bool linear = sparse.indices.rank() == 1;
  const size_t width = linear ? 1 : sparse.shape.rank();
  for (int64_t k = 0; k < sparse.values.elements(); ++k) {
    int64_t at = 0;
    for (size_t i = 0; i < width; ++i) at += indices[static_cast<size_t>(k) * width + i] * (linear ? 1 : strides[i]);
    Require(at >= 0 && at < dense.elements(), ErrorCode::kInvalidModel, "a sparse tensor of shape ", sparse.shape,
            " has the index ", at);
    out[at] = MoveData<T>(sparse.values)[k];
  }
  return dense;
}

Tensor ReadConstant(const Attributes& attributes) {
  if (attributes.Has("value")) return attributes.Get<Tensor>("value");
  if (attributes.Has("value_float")) return Tensor::Scalar(attributes.Float("value_float", 0));
  if (attributes.Has("value_int")) return Tensor::Scalar(attributes.Int("value_int"));
  if (attributes.Has("value_string")) return Tensor::Scalar(attributes.String("value_string", ""));
  if (attributes.Has("value_floats")) return Tensor::FromVector(attributes.Floats("value_floats"));
  if (attributes.Has("value_ints")) return Tensor::FromVector(attributes.Ints("value_ints"));
  if (attributes.Has("value_strings")) return Tensor::FromVector(attributes.Strings("value_strings"));
  const auto& sparse = attributes.Get<SparseTensor>("sparse_value");
  Tensor dense;
  DispatchMove(sparse.values.dtype(), [&](auto tag) { dense = DenseFrom<typename decltype(tag)::type>(sparse); });
  return dense;
}

std::unique_ptr<Kernel> MakeConstant(const NodeSpec& node) {
  return MakeKernel([value = ReadConstant(node.attributes)](KernelContext& context) { context.SetOutput(0, value); });
}

std::unique_ptr<Kernel> MakeConstantOfShape(const NodeSpec& node) {
  const Tensor value = node.attributes.Get<Tensor>("value", Tensor::Scalar(0.0f));
  Require(value.elements() == 1, ErrorCode::kInvalidModel, "attribute 'value' must have one element, and has shape ",
          value.shape());
  return MakeKernel([value](KernelContext& context) {
    Tensor& y = context.Output(0, value.dtype(), ShapeFrom(context.Input(0).To<int64_t>()));
    FillElements(value.dtype(), value.raw(), y.raw(), 0, y.elements());
  });
}

std::unique_ptr<Kernel> MakeEyeLike(const NodeSpec& node) {
  const auto attribute = static_cast<DType>(node.attributes.Int("dtype", 0));
  const int64_t k = node.attributes.Int("k", 0);
  return MakeKernel([attribute, k](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Require(x.rank() == 2, ErrorCode::kInvalidArgument, "the input must be a matrix, and has shape ", x.shape());
    const DType dtype = attribute == DType::kUndefined ? x.dtype() : attribute;
    const int64_t rows = x.dim(0);
    const int64_t columns = x.dim(1);
    Tensor& y = context.Output(0, dtype, {rows, columns});
    int64_t values[2] = {0, 1};
    double converted[2] = {};
    ConvertElements(DType::kInt64, &values[0], dtype, &converted[0], 1);
    ConvertElements(DType::kInt64, &values[1], dtype, &converted[1], 1);
    FillElements(dtype, &converted[0], y.raw(), 0, y.elements());
    for (int64_t i = 0; i < rows; ++i) {
      // k may be anything: compare before adding.
      if (k < -i || k >= columns - i) continue;
      CopyElements(dtype, &converted[1], 0, y.raw(), i * columns + i + k, 1);
    }
  });
}

template <typename T>
int64_t RangeCount(T start, T limit, T delta) {
  Require(delta != T{0}, ErrorCode::kInvalidArgument, "delta is 0");
  if constexpr (std::is_integral_v<T>) {
    const auto s = static_cast<int64_t>(start);
    const auto l = static_cast<int64_t>(limit);
    const auto d = static_cast<int64_t>(delta);
    if (d > 0 ? s >= l : s <= l) return 0;
    // In unsigned arithmetic neither the distance nor the step's negative overflows.
    const uint64_t distance = d > 0 ? static_cast<uint64_t>(l) - static_cast<uint64_t>(s)
                                    : static_cast<uint64_t>(s) - static_cast<uint64_t>(l);
    const uint64_t step = d > 0 ? static_cast<uint64_t>(d) : uint64_t{0} - static_cast<uint64_t>(d);
    return static_cast<int64_t>((distance - 1) / step) + 1;
  } else {
    const double count =
        std::ceil((static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta));
    if (count <= 0) return 0;
    Require(count < 1e15, ErrorCode::kInvalidArgument, "a range from ", static_cast<double>(start), " to ",
            static_cast<double>(limit), " by ", static_cast<double>(delta), " has no usable number of elements");
    return static_cast<int64_t>(count);
  }
}

template <typename T>
T ScalarOf(const Tensor& t) {
  Require(t.elements() == 1, ErrorCode::kInvalidArgument, "a scalar is expected, not shape ", t.shape());
  return *t.data<T>();
}

std::unique_ptr<Kernel> MakeRange(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    using Types = Join<Floats, TypeList<int16_t, int32_t, int64_t>>;
    Dispatch<Types>(context.Input(0).dtype(), "Range", [&](auto tag) {
      using T = typename decltype(tag)::type;
      using W = Wide<T>;
      const W start = ScalarOf<T>(context.Input(0));
      const W delta = ScalarOf<T>(context.Input(2));
      const int64_t count = RangeCount<W>(start, ScalarOf<T>(context.Input(1)), delta);
      Tensor& y = context.Output(0, kDTypeOf<T>, {count});
      T* out = y.data<T>();
      for (int64_t i = 0; i < count; ++i) {
        if constexpr (std::is_integral_v<T>) {
          out[i] =
              static_cast<T>(static_cast<uint64_t>(start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(delta));
        } else {
          out[i] = static_cast<T>(start + static_cast<W>(i) * delta);
        }
      }
    });
  });
}

std::unique_ptr<Kernel> MakeOneHot(const NodeSpec& node) {
  return MakeKernel([attribute = node.attributes.Int("axis", -1)](KernelContext& context) {
    const Tensor& indices = context.Input(0);
    const int64_t depth = ScalarFrom(context.Input(1));
    const Tensor& values = context.Input(2);
    Require(depth >= 0, ErrorCode::kInvalidArgument, "depth is ", depth);
    Require(values.elements() == 2, ErrorCode::kInvalidArgument, "values must be [off, on], and has shape ",
            values.shape());
    const size_t axis = NormalizeAxis(attribute, indices.rank() + 1);
    Shape shape = indices.shape();
    shape.Insert(axis, depth);
    Tensor& y = context.Output(0, values.dtype(), shape);
    FillElements(y.dtype(), values.raw(), y.raw(), 0, y.elements());
    const int64_t* at = ReadAs<int64_t>(context, indices);
    const bool signed_indices = indices.dtype() != DType::kUInt64;  // its upper half looks negative, and lies outside
    const int64_t inner = indices.shape().elements(axis, indices.rank());
    for (int64_t i = 0; i < indices.elements(); ++i) {
      const int64_t index = at[i] < 0 && signed_indices ? at[i] + depth : at[i];
      if (index < 0 || index >= depth) continue;
      CopyElements(y.dtype(), values.raw(), 1, y.raw(), ((i / inner) * depth + index) * inner + i % inner, 1);
    }
  });
}

}  // namespace

void AddConstant(KernelTable& table) {
  table.Add("", "Constant", {1, 9, 11, 12, 13, 19, 21, 23, 24, 25}, &MakeConstant);
  table.Add("", "ConstantOfShape", {9, 20, 21, 23, 24, 25}, &MakeConstantOfShape);
  table.Add("", "EyeLike", {9, 22}, &MakeEyeLike);
  table.Add("", "OneHot", {9, 11, 28}, &MakeOneHot);
  table.Add("", "Range", {11, 27}, &MakeRange);
}

}  // namespace onnxforge::reference
