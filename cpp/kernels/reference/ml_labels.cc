// ai.onnx.ml: mapping labels, and maps: LabelEncoder, CategoryMapper, ZipMap and DictVectorizer.
#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

constexpr const char* kMl = "ai.onnx.ml";

/// An element as a key: the bytes it consists of, except that all NaN are one and both zeros are one.
std::string KeyOf(const Tensor& t, int64_t i) {
  if (t.dtype() == DType::kString) return t.data<std::string>()[i];
  const size_t size = ElementSize(t.dtype());
  std::string bytes(static_cast<const char*>(t.raw()) + static_cast<size_t>(i) * size, size);
  if (!IsFloating(t.dtype())) return bytes;
  double value = 0;
  ConvertElements(t.dtype(), bytes.data(), DType::kFloat64, &value, 1);
  if (std::isnan(value)) return "nan";
  return value == 0 ? std::string(size, '\0') : bytes;
}

/// A list of labels given by whichever of the attributes <prefix>_tensor, _strings, _int64s or _floats is there.
Tensor ReadLabels(const NodeSpec& node, const std::string& prefix) {
  const Attributes& a = node.attributes;
  if (a.Has(prefix + "_tensor")) return a.Get<Tensor>(prefix + "_tensor");
  if (a.Has(prefix + "_strings")) return Tensor::FromVector(a.Strings(prefix + "_strings"));
  if (a.Has(prefix + "_int64s")) return Tensor::FromVector(a.Ints(prefix + "_int64s"));
  if (a.Has(prefix + "_floats")) return Tensor::FromVector(a.Floats(prefix + "_floats"));
  Fail(ErrorCode::kInvalidModel, "none of the attributes ", prefix, "_tensor, _strings, _int64s and _floats is there");
}

Tensor ReadDefault(const NodeSpec& node, DType dtype) {
  const Attributes& a = node.attributes;
  if (a.Has("default_tensor")) {
    const auto& given = a.Get<Tensor>("default_tensor");
    Require(given.dtype() == dtype && given.elements() == 1, ErrorCode::kInvalidModel,
            "attribute 'default_tensor' must be one ", dtype);
    return given;
  }
  if (dtype == DType::kString) return Tensor::Scalar(a.String("default_string", "_Unused"));
  if (dtype == DType::kFloat32) return Tensor::Scalar(a.Float("default_float", -0.0f));
  if (dtype == DType::kInt64) return Tensor::Scalar(a.Int("default_int64", -1));
  const double fallback = IsFloating(dtype) ? -0.0 : -1.0;
  Tensor out = Tensor::Allocate(dtype, {});
  ConvertElements(DType::kFloat64, &fallback, dtype, out.raw(), 1);
  return out;
}

/// keys[i] becomes values[i], anything else `fallback`. Of equal keys the last one counts.
std::unique_ptr<Kernel> MakeMapping(const Tensor& keys, const Tensor& values, const Tensor& fallback) {
  Require(keys.elements() == values.elements(), ErrorCode::kInvalidModel, keys.elements(), " keys and ",
          values.elements(), " values");
  std::unordered_map<std::string, int64_t> positions;
  for (int64_t i = 0; i < keys.elements(); ++i) positions[KeyOf(keys, i)] = i;
  return MakeKernel(
      [key_type = keys.dtype(), values, fallback, positions = std::move(positions)](KernelContext& context) {
        const Tensor& x = context.Input(0);
        Require(x.dtype() == key_type, ErrorCode::kInvalidModel, "the input is ", x.dtype(), " and the keys are ",
                key_type);
        Tensor& y = context.Output(0, values.dtype(), x.shape());
        for (int64_t i = 0; i < x.elements(); ++i) {
          const auto at = positions.find(KeyOf(x, i));
          const bool found = at != positions.end();
          CopyElements(values.dtype(), found ? values.raw() : fallback.raw(), found ? at->second : 0, y.raw(), i, 1);
        }
      });
}

std::unique_ptr<Kernel> MakeLabelEncoder(const NodeSpec& node) {
  const Tensor values = ReadLabels(node, "values");
  return MakeMapping(ReadLabels(node, "keys"), values, ReadDefault(node, values.dtype()));
}

/// Numbers to strings or strings to numbers, whichever the input asks for.
std::unique_ptr<Kernel> MakeTwoWay(const Tensor& integers, const Tensor& strings, const NodeSpec& node) {
  std::shared_ptr<const Kernel> to_strings = MakeMapping(integers, strings, ReadDefault(node, DType::kString));
  std::shared_ptr<const Kernel> to_integers = MakeMapping(strings, integers, ReadDefault(node, DType::kInt64));
  return MakeKernel([to_strings, to_integers](KernelContext& context) {
    (context.Input(0).dtype() == DType::kString ? to_integers : to_strings)->Run(context);
  });
}

/// Version 1: a string's number is its place in the list.
std::unique_ptr<Kernel> MakeLabelEncoderByPlace(const NodeSpec& node) {
  const std::vector<std::string> strings = node.attributes.Strings("classes_strings");
  std::vector<int64_t> places(strings.size());
  for (size_t i = 0; i < places.size(); ++i) places[i] = static_cast<int64_t>(i);
  return MakeTwoWay(Tensor::FromVector(places), Tensor::FromVector(strings), node);
}

std::unique_ptr<Kernel> MakeCategoryMapper(const NodeSpec& node) {
  return MakeTwoWay(Tensor::FromVector(node.attributes.Ints("cats_int64s")),
                    Tensor::FromVector(node.attributes.Strings("cats_strings")), node);
}

Tensor ReadStringsOrInts(const NodeSpec& node, const char* strings, const char* integers) {
  return node.attributes.Has(strings) ? Tensor::FromVector(node.attributes.Strings(strings))
                                      : Tensor::FromVector(node.attributes.Ints(integers));
}

std::unique_ptr<Kernel> MakeZipMap(const NodeSpec& node) {
  return MakeKernel(
      [keys = ReadStringsOrInts(node, "classlabels_strings", "classlabels_int64s")](KernelContext& context) {
        const Tensor& x = context.Input(0);
        Require((x.rank() == 1 || x.rank() == 2) && x.dim(x.rank() - 1) == keys.elements(), ErrorCode::kInvalidArgument,
                "the input has shape ", x.shape(), " for ", keys.elements(), " labels");
        Sequence out;
        const int64_t width = keys.elements();
        const int64_t rows = x.rank() == 2 ? x.dim(0) : 1;
        for (int64_t r = 0; r < rows; ++r) {
          Tensor values = Tensor::Allocate(x.dtype(), {width});
          CopyElements(x.dtype(), x.raw(), r * width, values.raw(), 0, width);
          out.items.emplace_back(Map{keys, std::move(values)});
        }
        context.SetOutput(0, Value(std::move(out)));
      });
}

std::unique_ptr<Kernel> MakeDictVectorizer(const NodeSpec& node) {
  return MakeKernel(
      [vocabulary = ReadStringsOrInts(node, "string_vocabulary", "int64_vocabulary")](KernelContext& context) {
        const Map& map = context.InputValue(0).map();
        Require(map.keys.dtype() == vocabulary.dtype(), ErrorCode::kInvalidModel, "the map's keys are ",
                map.keys.dtype(), " and the vocabulary ", vocabulary.dtype());
        Tensor& y = context.Output(0, map.values.dtype(), {1, vocabulary.elements()});
        DispatchMove(y.dtype(), [&](auto tag) {
          using E = typename decltype(tag)::type;
          std::fill_n(MoveData<E>(y), y.elements(), E{});
        });
        for (int64_t i = 0; i < vocabulary.elements(); ++i) {
          for (int64_t k = 0; k < map.keys.elements(); ++k) {
            if (KeyOf(map.keys, k) == KeyOf(vocabulary, i)) CopyElements(y.dtype(), map.values.raw(), k, y.raw(), i, 1);
          }
        }
      });
}

}  // namespace

void AddMlLabels(KernelTable& table) {
  table.Add(kMl, "CategoryMapper", {1}, &MakeCategoryMapper);
  table.Add(kMl, "DictVectorizer", {1}, &MakeDictVectorizer);
  table.Add(kMl, "LabelEncoder", {1}, &MakeLabelEncoderByPlace);
  table.Add(kMl, "LabelEncoder", {2, 4}, &MakeLabelEncoder);
  table.Add(kMl, "ZipMap", {1}, &MakeZipMap);
}

}  // namespace onnxforge::reference
