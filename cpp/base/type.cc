#include "onnxforge/base/type.h"

#include <ostream>

namespace onnxforge {
namespace {

void PrintTensor(std::ostream& out, const Type& type) {
  out << type.dtype << '[';
  if (!type.shape) {
    out << "...";
  } else {
    bool first = true;
    for (const Dim& dim : *type.shape) {
      out << (first ? "" : ", ");
      if (dim.value) {
        out << *dim.value;
      } else {
        out << (dim.symbol.empty() ? "?" : dim.symbol);
      }
      first = false;
    }
  }
  out << ']';
}

void PrintElement(std::ostream& out, const Type& type) {
  if (type.element) {
    out << *type.element;
  } else {
    out << '?';
  }
}

}  // namespace

Type Type::Tensor(DType dtype) {
  Type type;
  type.kind = Kind::kTensor;
  type.dtype = dtype;
  return type;
}

Type Type::Tensor(DType dtype, const Shape& shape) {
  Type type = Tensor(dtype);
  type.shape.emplace();
  for (const int64_t extent : shape) type.shape->push_back(Dim{extent, {}});
  return type;
}

std::optional<Shape> Type::StaticShape() const {
  if (!shape) return std::nullopt;
  Shape out = Shape::Filled(shape->size(), 0);
  for (size_t i = 0; i < shape->size(); ++i) {
    const Dim& dim = (*shape)[i];
    if (!dim.value || *dim.value < 0) return std::nullopt;
    out[i] = *dim.value;
  }
  return out;
}

std::ostream& operator<<(std::ostream& out, const Type& type) {
  switch (type.kind) {
    case Type::Kind::kUnknown:
      return out << "unknown";
    case Type::Kind::kTensor:
      PrintTensor(out, type);
      return out;
    case Type::Kind::kSparseTensor:
      out << "sparse(";
      PrintTensor(out, type);
      return out << ')';
    case Type::Kind::kSequence:
      out << "seq(";
      break;
    case Type::Kind::kOptional:
      out << "optional(";
      break;
    case Type::Kind::kMap:
      out << "map(" << type.dtype << ", ";
      break;
  }
  PrintElement(out, type);
  return out << ')';
}

}  // namespace onnxforge
