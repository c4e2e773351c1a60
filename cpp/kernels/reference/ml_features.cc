// ai.onnx.ml: operators on feature columns.
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

constexpr const char* kMl = "ai.onnx.ml";

std::unique_ptr<Kernel> MakeArrayFeatureExtractor(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& indices = context.Input(1);
    Require(x.rank() >= 1, ErrorCode::kInvalidArgument, "the input must have at least one axis");
    const int64_t width = x.dim(x.rank() - 1);
    const int64_t rows = x.shape().elements(0, x.rank() - 1);
    Shape shape = x.shape();
    shape[x.rank() - 1] = indices.elements();
    if (x.rank() == 1) shape = {1, indices.elements()};
    Tensor& y = context.Output(0, x.dtype(), shape);
    const int64_t* at = ReadAs<int64_t>(context, indices);
    for (int64_t r = 0, to = 0; r < rows; ++r) {
      for (int64_t i = 0; i < indices.elements(); ++i, ++to) {
        Require(at[i] >= 0 && at[i] < width, ErrorCode::kInvalidArgument, "index ", at[i], " is out of range for ",
                width, " features");
        CopyElements(x.dtype(), x.raw(), r * width + at[i], y.raw(), to, 1);
      }
    }
  });
}

using FeatureTypes = TypeList<float, double, int64_t, int32_t>;

std::unique_ptr<Kernel> MakeBinarizer(const NodeSpec& node) {
  return MakeKernel([threshold = node.attributes.Float("threshold", 0.0f)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    Dispatch<FeatureTypes>(x.dtype(), "Binarizer", [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < x.elements(); ++i) {
        y.data<T>()[i] = static_cast<double>(x.data<T>()[i]) > static_cast<double>(threshold) ? T{1} : T{0};
      }
    });
  });
}

/// A vector counts as one row.
struct RowsOf {
  int64_t rows = 1;
  int64_t width = 0;
};

RowsOf SplitRows(const Tensor& x) {
  Require(x.rank() >= 1, ErrorCode::kInvalidArgument, "the input must have at least one axis");
  return {x.shape().elements(0, x.rank() - 1), x.dim(x.rank() - 1)};
}

std::unique_ptr<Kernel> MakeFeatureVectorizer(const NodeSpec& node) {
  return MakeKernel([sizes = node.attributes.Ints("inputdimensions")](KernelContext& context) {
    int64_t rows = 0;
    int64_t width = 0;
    for (size_t k = 0; k < context.InputCount(); ++k) {
      const RowsOf in = SplitRows(context.Input(k));
      Require(k == 0 || in.rows == rows, ErrorCode::kInvalidArgument, "input ", k, " has ", in.rows,
              " rows, and input 0 has ", rows);
      Require(sizes.empty() || (k < sizes.size() && sizes[k] == in.width), ErrorCode::kInvalidArgument, "input ", k,
              " has ", in.width, " columns, which attribute 'inputdimensions' contradicts");
      rows = in.rows;
      width += in.width;
    }
    Tensor& y = context.Output(0, DType::kFloat32, {rows, width});
    int64_t at = 0;
    for (size_t k = 0; k < context.InputCount(); ++k) {
      const RowsOf in = SplitRows(context.Input(k));
      const float* from = ReadAs<float>(context, context.Input(k));
      for (int64_t r = 0; r < rows; ++r) std::copy_n(from + r * in.width, in.width, y.data<float>() + r * width + at);
      at += in.width;
    }
  });
}

/// Entry i of a list that has one for all features or one for each.
template <typename T>
const T& Cyclic(const std::vector<T>& values, int64_t i) {
  return values.size() == 1 ? values[0] : values[static_cast<size_t>(i)];
}

void RequirePerFeature(size_t count, int64_t width, const char* name) {
  Require(count == 1 || static_cast<int64_t>(count) == width, ErrorCode::kInvalidArgument, "attribute '", name,
          "' has ", count, " numbers for ", width, " features");
}

std::unique_ptr<Kernel> MakeImputer(const NodeSpec& node) {
  const std::vector<float> floats = node.attributes.Floats("imputed_value_floats");
  const std::vector<int64_t> integers = node.attributes.Ints("imputed_value_int64s");
  const float replaced_float = node.attributes.Float("replaced_value_float", 0.0f);
  const int64_t replaced_integer = node.attributes.Int("replaced_value_int64", 0);
  return MakeKernel([=](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const RowsOf in = SplitRows(x);
    Tensor& y = context.Output(0, x.dtype(), x.shape());
    Dispatch<FeatureTypes>(x.dtype(), "Imputer", [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* from = x.data<T>();
      T* to = y.data<T>();
      const auto impute = [&](const auto& values, auto is_missing, const char* name) {
        RequirePerFeature(values.size(), in.width, name);
        for (int64_t i = 0; i < x.elements(); ++i)
          to[i] = is_missing(from[i]) ? static_cast<T>(Cyclic(values, i % in.width)) : from[i];
      };
      if constexpr (std::is_floating_point_v<T>) {
        impute(
            floats,
            [&](T v) { return std::isnan(replaced_float) ? std::isnan(v) : v == static_cast<T>(replaced_float); },
            "imputed_value_floats");
      } else {
        impute(integers, [&](T v) { return static_cast<int64_t>(v) == replaced_integer; }, "imputed_value_int64s");
      }
    });
  });
}

std::unique_ptr<Kernel> MakeNormalizer(const NodeSpec& node) {
  const std::string norm = node.attributes.String("norm", "MAX");
  Require(norm == "MAX" || norm == "L1" || norm == "L2", ErrorCode::kInvalidModel,
          "attribute 'norm' must be MAX, L1 or L2, not '", norm, "'");
  return MakeKernel([norm](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const RowsOf in = SplitRows(x);
    const double* from = ReadAs<double>(context, x);
    Tensor& y = context.Output(0, DType::kFloat32, x.shape());
    for (int64_t r = 0; r < in.rows && in.width > 0; ++r) {
      const double* row = from + r * in.width;
      double divisor = norm == "MAX" ? row[0] : 0;
      for (int64_t i = 0; i < in.width; ++i) {
        divisor =
            norm == "MAX" ? std::max(divisor, row[i]) : divisor + (norm == "L1" ? std::abs(row[i]) : row[i] * row[i]);
      }
      if (norm == "L2") divisor = std::sqrt(divisor);
      if (divisor == 0) divisor = 1;
      for (int64_t i = 0; i < in.width; ++i) y.data<float>()[r * in.width + i] = static_cast<float>(row[i] / divisor);
    }
  });
}

std::unique_ptr<Kernel> MakeOneHotEncoder(const NodeSpec& node) {
  return MakeKernel([strings = node.attributes.Strings("cats_strings"), integers = node.attributes.Ints("cats_int64s"),
                     zeros = node.attributes.Int("zeros", 1) != 0](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const bool text = x.dtype() == DType::kString;
    const auto width = static_cast<int64_t>(text ? strings.size() : integers.size());
    Shape shape = x.shape();
    shape.Append(width);
    Tensor& y = context.Output(0, DType::kFloat32, shape);
    std::fill_n(y.data<float>(), y.elements(), 0.0f);
    const int64_t* numbers = text ? nullptr : ReadAs<int64_t>(context, x);
    for (int64_t i = 0; i < x.elements(); ++i) {
      const auto at = text ? std::find(strings.begin(), strings.end(), x.data<std::string>()[i]) - strings.begin()
                           : std::find(integers.begin(), integers.end(), numbers[i]) - integers.begin();
      Require(at < width || zeros, ErrorCode::kInvalidArgument, "element ", i,
              " is of none of the categories, and attribute 'zeros' is 0");
      if (at < width) y.data<float>()[i * width + at] = 1.0f;
    }
  });
}

std::unique_ptr<Kernel> MakeScaler(const NodeSpec& node) {
  return MakeKernel(
      [offsets = node.attributes.Floats("offset"), scales = node.attributes.Floats("scale")](KernelContext& context) {
        const Tensor& x = context.Input(0);
        const RowsOf in = SplitRows(x);
        if (!offsets.empty()) RequirePerFeature(offsets.size(), in.width, "offset");
        if (!scales.empty()) RequirePerFeature(scales.size(), in.width, "scale");
        Tensor& y = context.Output(0, DType::kFloat32, x.shape());
        Dispatch<FeatureTypes>(x.dtype(), "Scaler", [&](auto tag) {
          using T = typename decltype(tag)::type;
          using W = std::conditional_t<std::is_same_v<T, float>, float, double>;
          for (int64_t i = 0; i < x.elements(); ++i) {
            const W offset = offsets.empty() ? 0 : static_cast<W>(Cyclic(offsets, i % in.width));
            const W scale = scales.empty() ? 1 : static_cast<W>(Cyclic(scales, i % in.width));
            y.data<float>()[i] = static_cast<float>((static_cast<W>(x.data<T>()[i]) - offset) * scale);
          }
        });
      });
}

}  // namespace

void AddMlFeatures(KernelTable& table) {
  table.Add(kMl, "ArrayFeatureExtractor", {1}, &MakeArrayFeatureExtractor);
  table.Add(kMl, "Binarizer", {1}, &MakeBinarizer);
  table.Add(kMl, "FeatureVectorizer", {1}, &MakeFeatureVectorizer);
  table.Add(kMl, "Imputer", {1}, &MakeImputer);
  table.Add(kMl, "Normalizer", {1}, &MakeNormalizer);
  table.Add(kMl, "OneHotEncoder", {1}, &MakeOneHotEncoder);
  table.Add(kMl, "Scaler", {1}, &MakeScaler);
}

}  // namespace onnxforge::reference
