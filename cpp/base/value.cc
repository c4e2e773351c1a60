#include "onnxforge/base/value.h"

#include "onnxforge/base/error.h"

namespace onnxforge {
namespace {

[[noreturn]] void FailKind(Value::Kind wanted, Value::Kind held) {
  Fail(ErrorCode::kInvalidArgument, "expected a ", KindName(wanted), ", got a ", KindName(held));
}

}  // namespace

std::string_view KindName(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::kNone:
      return "missing value";
    case Value::Kind::kTensor:
      return "tensor";
    case Value::Kind::kSequence:
      return "sequence";
    case Value::Kind::kMap:
      return "map";
    case Value::Kind::kSparseTensor:
      return "sparse tensor";
  }
  return "value";
}

const Tensor& Value::tensor() const {
  const auto* p = std::get_if<Tensor>(&v_);
  if (p == nullptr) FailKind(Kind::kTensor, kind());
  return *p;
}

Tensor& Value::tensor() { return const_cast<Tensor&>(std::as_const(*this).tensor()); }

const Sequence& Value::sequence() const {
  const auto* p = std::get_if<std::shared_ptr<const Sequence>>(&v_);
  if (p == nullptr) FailKind(Kind::kSequence, kind());
  return **p;
}

const Map& Value::map() const {
  const auto* p = std::get_if<std::shared_ptr<const Map>>(&v_);
  if (p == nullptr) FailKind(Kind::kMap, kind());
  return **p;
}

const SparseTensor& Value::sparse() const {
  const auto* p = std::get_if<std::shared_ptr<const SparseTensor>>(&v_);
  if (p == nullptr) FailKind(Kind::kSparseTensor, kind());
  return **p;
}

}  // namespace onnxforge
