#include "import_attribute.h"

#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "import_type.h"

namespace onnxforge::io {
namespace {

using Proto = onnx::AttributeProto;

AttributeValue Import(const Proto& proto, const TensorSource& source) {
  switch (AttributeTypeOf(proto)) {
    case Proto::FLOAT:
      return proto.f();
    case Proto::INT:
      return int64_t{proto.i()};
    case Proto::STRING:
      return proto.s();
    case Proto::TENSOR:
      return ImportTensor(proto.t(), source);
    case Proto::SPARSE_TENSOR:
      return ImportSparseTensor(proto.sparse_tensor(), source);
    case Proto::TYPE_PROTO:
      return ImportType(proto.tp());
    case Proto::FLOATS:
      return std::vector<float>(proto.floats().begin(), proto.floats().end());
    case Proto::INTS:
      return std::vector<int64_t>(proto.ints().begin(), proto.ints().end());
    case Proto::STRINGS:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    case Proto::TENSORS: {
      std::vector<Tensor> tensors;
      for (const auto& tensor : proto.tensors()) tensors.push_back(ImportTensor(tensor, source));
      return tensors;
    }
    case Proto::SPARSE_TENSORS: {
      std::vector<SparseTensor> tensors;
      for (const auto& tensor : proto.sparse_tensors()) tensors.push_back(ImportSparseTensor(tensor, source));
      return tensors;
    }
    case Proto::TYPE_PROTOS: {
      std::vector<Type> types;
      for (const auto& type : proto.type_protos()) types.push_back(ImportType(type));
      return types;
    }
    default:
      Fail(ErrorCode::kInvalidModel, "it has no type, or one that no operator has (", proto.type(), ")");
  }
}

Tensor ConstantOf(const Proto& proto, const TensorSource& source) {
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

Proto::AttributeType AttributeTypeOf(const Proto& proto) {
  if (proto.type() != Proto::UNDEFINED) return proto.type();
  if (proto.has_f()) return Proto::FLOAT;
  if (proto.has_i()) return Proto::INT;
  if (proto.has_s()) return Proto::STRING;
  if (proto.has_t()) return Proto::TENSOR;
  if (proto.has_g()) return Proto::GRAPH;
  if (proto.has_sparse_tensor()) return Proto::SPARSE_TENSOR;
  if (proto.has_tp()) return Proto::TYPE_PROTO;
  if (proto.floats_size() != 0) return Proto::FLOATS;
  if (proto.ints_size() != 0) return Proto::INTS;
  if (proto.strings_size() != 0) return Proto::STRINGS;
  if (proto.tensors_size() != 0) return Proto::TENSORS;
  if (proto.graphs_size() != 0) return Proto::GRAPHS;
  return Proto::UNDEFINED;
}

AttributeValue ImportAttribute(const Proto& proto, const TensorSource& source) {
  try {
    return Import(proto, source);
  } catch (Error& error) {
    error.AddContext(StrCat("in attribute '", Utf8(proto.name()), "'"));
    throw;
  }
}

Tensor ImportConstant(const onnx::NodeProto& node, const TensorSource& source) {
  for (const Proto& attribute : node.attribute()) {
    Tensor value = ConstantOf(attribute, source);
    if (value.defined()) return value;
  }
  Fail(ErrorCode::kInvalidModel,
       "a Constant needs one of the attributes value, sparse_value, value_float, value_floats, "
       "value_int, value_ints, value_string and value_strings");
}

}  // namespace onnxforge::io
