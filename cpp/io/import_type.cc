#include "import_type.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace onnxforge::io {
namespace {

DType KnownDType(int32_t data_type) {
  const auto dtype = static_cast<DType>(data_type);
  return data_type > 0 && data_type < 256 && IsValid(dtype) ? dtype : DType::kUndefined;
}

template <typename TensorType>
Type ImportTensorType(Type::Kind kind, const TensorType& proto) {
  Type type;
  type.kind = kind;
  type.dtype = KnownDType(proto.elem_type());
  if (!proto.has_shape()) return type;
  std::vector<Dim> dims;
  dims.reserve(static_cast<size_t>(proto.shape().dim_size()));
  for (const auto& dim : proto.shape().dim()) {
    Dim out;
    if (dim.has_dim_value() && dim.dim_value() >= 0) out.value = dim.dim_value();
    if (dim.has_dim_param()) out.symbol = Utf8(dim.dim_param());
    dims.push_back(std::move(out));
  }
  type.shape = std::move(dims);
  return type;
}

Type Containing(Type::Kind kind, const onnx::TypeProto& element) {
  Type type;
  type.kind = kind;
  type.element = std::make_shared<const Type>(ImportType(element));
  return type;
}

void MergeDim(const onnx::TensorShapeProto::Dimension& declared, onnx::TensorShapeProto::Dimension* dim) {
  if (dim->has_dim_value()) return;
  if (declared.has_dim_value() || !dim->has_dim_param() || dim->dim_param().empty()) *dim = declared;
}

template <typename TensorType>
void MergeTensor(const TensorType& declared, TensorType* type) {
  if (type->elem_type() == onnx::TensorProto::UNDEFINED) type->set_elem_type(declared.elem_type());
  if (!declared.has_shape()) return;
  if (!type->has_shape()) {
    *type->mutable_shape() = declared.shape();
    return;
  }
  if (type->shape().dim_size() != declared.shape().dim_size()) return;
  for (int i = 0; i < declared.shape().dim_size(); ++i)
    MergeDim(declared.shape().dim(i), type->mutable_shape()->mutable_dim(i));
}

/// Whether there is neither NUL nor a byte above 0x7f, as in nearly all names; eight bytes at a time.
bool IsPlainAscii(const std::string& text) {
  constexpr uint64_t kLowest = 0x0101010101010101;
  constexpr uint64_t kHighest = kLowest << 7;
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
    uint64_t bytes;
    std::memcpy(&bytes, text.data() + at, sizeof bytes);
    // The subtraction borrows into the highest bit of a byte that is 0.
    if (((bytes | (bytes - kLowest)) & kHighest) != 0) return false;
  }
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(),
                     [](char c) { return c != 0 && static_cast<unsigned char>(c) < 0x80; });
}

/// The length of the valid UTF-8 character at `at`, 0 where there is none; NUL counts as none, since it ends C strings.
size_t CharacterLength(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  const unsigned char first = byte(at);
  if (first < 0x80) return first == 0 ? 0 : 1;
  const size_t length = first >= 0xc2 && first < 0xe0   ? 2
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xf0 && first < 0xf5 ? 4
                                                        : 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(at + 1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second >= 0xa0;
  const bool beyond = first == 0xf4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

}  // namespace

Type ImportType(const onnx::TypeProto& proto) {
  switch (proto.value_case()) {
    case onnx::TypeProto::kTensorType:
      return ImportTensorType(Type::Kind::kTensor, proto.tensor_type());
    case onnx::TypeProto::kSparseTensorType:
      return ImportTensorType(Type::Kind::kSparseTensor, proto.sparse_tensor_type());
    case onnx::TypeProto::kSequenceType:
      return Containing(Type::Kind::kSequence, proto.sequence_type().elem_type());
    case onnx::TypeProto::kOptionalType:
      return Containing(Type::Kind::kOptional, proto.optional_type().elem_type());
    case onnx::TypeProto::kMapType: {
      Type type = Containing(Type::Kind::kMap, proto.map_type().value_type());
      type.dtype = KnownDType(proto.map_type().key_type());
      return type;
    }
    default:
      return {};
  }
}

onnx::TypeProto MergeTypes(const onnx::TypeProto& inferred, const onnx::TypeProto& declared) {
  if (inferred.value_case() == onnx::TypeProto::VALUE_NOT_SET) return declared;
  onnx::TypeProto out = inferred;
  if (declared.value_case() != inferred.value_case()) return out;
  switch (inferred.value_case()) {
    case onnx::TypeProto::kTensorType:
      MergeTensor(declared.tensor_type(), out.mutable_tensor_type());
      break;
    case onnx::TypeProto::kSparseTensorType:
      MergeTensor(declared.sparse_tensor_type(), out.mutable_sparse_tensor_type());
      break;
    case onnx::TypeProto::kSequenceType:
      *out.mutable_sequence_type()->mutable_elem_type() =
          MergeTypes(inferred.sequence_type().elem_type(), declared.sequence_type().elem_type());
      break;
    case onnx::TypeProto::kOptionalType:
      *out.mutable_optional_type()->mutable_elem_type() =
          MergeTypes(inferred.optional_type().elem_type(), declared.optional_type().elem_type());
      break;
    default:
      break;
  }
  return out;
}

onnx::TypeProto TypeOf(const Tensor& tensor) {
  onnx::TypeProto type;
  type.mutable_tensor_type()->set_elem_type(static_cast<int32_t>(tensor.dtype()));
  auto* shape = type.mutable_tensor_type()->mutable_shape();
  for (const int64_t extent : tensor.shape()) shape->add_dim()->set_dim_value(extent);
  return type;
}

std::string Utf8(const std::string& text) {
  if (IsPlainAscii(text)) return text;
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = CharacterLength(text, at);
    if (length == 0) {
      out += "\xef\xbf\xbd";  // U+FFFD
      ++at;
    } else {
      out.append(text, at, length);
      at += length;
    }
  }
  return out;
}

}  // namespace onnxforge::io
