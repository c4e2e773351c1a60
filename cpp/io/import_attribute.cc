#include "import_attribute.h"

#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "import_type.h"

namespace onnxforge::io {
namespace {

AttributeValue ImportValue(const onnx::AttributeProto& proto, const TensorSource& source) {
  switch (AttributeTypeOf(proto)) {
    case onnx::AttributeProto::FLOAT:
      return proto.f();
    case onnx::AttributeProto::INT:
      return int64_t{proto.i()};
    case onnx::AttributeProto::STRING:
      return proto.s();
    case onnx::AttributeProto::TENSOR:
      return ImportTensor(proto.t(), source);
    case onnx::AttributeProto::SPARSE_TENSOR:
      return ImportSparseTensor(proto.sparse_tensor(), source);
    case onnx::AttributeProto::TYPE_PROTO:
      return ImportType(proto.tp());
    case onnx::AttributeProto::FLOATS:
      return std::vector<float>(proto.floats().begin(), proto.floats().end());
    case onnx::AttributeProto::INTS:
      return std::vector<int64_t>(proto.ints().begin(), proto.ints().end());
    case onnx::AttributeProto::STRINGS:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    case onnx::AttributeProto::TENSORS: {
      std::vector<Tensor> tensors;
      for (const auto& tensor : proto.tensors()) tensors.push_back(ImportTensor(tensor, source));
      return tensors;
    }
    case onnx::AttributeProto::SPARSE_TENSORS: {
      std::vector<SparseTensor> tensors;
      for (const auto& tensor : proto.sparse_tensors()) tensors.push_back(ImportSparseTensor(tensor, source));
      return tensors;
    }
    case onnx::AttributeProto::TYPE_PROTOS: {
      std::vector<Type> types;
      for (const auto& type : proto.type_protos()) types.push_back(ImportType(type));
      return types;
    }
    default:
      Fail(ErrorCode::kInvalidModel, "it has no type, or one that no operator has (", proto.type(), ")");
  }
}

Tensor ConstantOf(const onnx::AttributeProto& proto, const TensorSource& source) {
  const std::string& name = proto.name();
  if (name == "value") return ImportTensor(proto.t(), source);
  if (name == "sparse_value") return Densify(ImportSparseTensor(proto.sparse_tensor(), source), proto.name());
  if (name == "value_float") return Tensor::Scalar(proto.f());
  if (name == "value_int") return Tensor::Scalar(int64_t{proto.i()});
  if (name == "value_string") return Tensor::Scalar(proto.s());
  if (name == "value_floats")
    return Tensor::FromVector(std::vector<float>(proto.floats().begin(), proto.floats().end()));
  if (name == "value_ints") return Tensor::FromVector(std::vector<int64_t>(proto.ints().begin(), proto.ints().end()));
  if (name == "value_strings") {
    return Tensor::FromVector(std::vector<std::string>(proto.strings().begin(), proto.strings().end()));
  }
  return {};
}

}  // namespace

onnx::AttributeProto::AttributeType AttributeTypeOf(const onnx::AttributeProto& proto) {
  if (proto.type() != onnx::AttributeProto::UNDEFINED) return proto.type();
  if (proto.has_f()) return onnx::AttributeProto::FLOAT;
  if (proto.has_i()) return onnx::AttributeProto::INT;
  if (proto.has_s()) return onnx::AttributeProto::STRING;
  if (proto.has_t()) return onnx::AttributeProto::TENSOR;
  if (proto.has_g()) return onnx::AttributeProto::GRAPH;
  if (proto.has_sparse_tensor()) return onnx::AttributeProto::SPARSE_TENSOR;
  if (proto.has_tp()) return onnx::AttributeProto::TYPE_PROTO;
  if (proto.floats_size() != 0) return onnx::AttributeProto::FLOATS;
  if (proto.ints_size() != 0) return onnx::AttributeProto::INTS;
  if (proto.strings_size() != 0) return onnx::AttributeProto::STRINGS;
  if (proto.tensors_size() != 0) return onnx::AttributeProto::TENSORS;
  if (proto.graphs_size() != 0) return onnx::AttributeProto::GRAPHS;
  return onnx::AttributeProto::UNDEFINED;
}

AttributeValue ImportAttribute(const onnx::AttributeProto& proto, const TensorSource& source) {
  try {
    return ImportValue(proto, source);
  } catch (Error& error) {
    error.AddContext(StrCat("in attribute '", Utf8(proto.name()), "'"));
    throw;
  }
}

Tensor ImportConstant(const onnx::NodeProto& node, const TensorSource& source) {
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    Tensor value = ConstantOf(attribute, source);
    if (value.defined()) return value;
  }
  Fail(ErrorCode::kInvalidModel,
       "a Constant needs one of the attributes value, sparse_value, value_float, value_floats, "
       "value_int, value_ints, value_string and value_strings");
}

}  // namespace onnxforge::io
