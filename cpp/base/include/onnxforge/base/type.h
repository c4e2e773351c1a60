#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "onnxforge/base/dtype.h"
#include "onnxforge/base/shape.h"

namespace onnxforge {

/// One extent as far as it is known before a run: a number, a named symbol ("batch"), or nothing.
struct Dim {
  std::optional<int64_t> value;
  std::string symbol;
};

/// The type of a value as far as it is known before a run (ONNX TypeProto).
struct Type {
  enum class Kind { kUnknown, kTensor, kSequence, kOptional, kMap, kSparseTensor };

  Kind kind = Kind::kUnknown;
  DType dtype = DType::kUndefined;        // tensors and sparse tensors: of the elements; maps: of the keys
  std::optional<std::vector<Dim>> shape;  // tensors and sparse tensors; nullopt when not even the rank is known
  std::shared_ptr<const Type> element;    // sequences, optionals, and the value of maps

  static Type Tensor(DType dtype);
  static Type Tensor(DType dtype, const Shape& shape);

  /// The shape, when every extent is a number.
  std::optional<Shape> StaticShape() const;
};

std::ostream& operator<<(std::ostream& out, const Type& type);  // "float32[batch, 3, ?]", "seq(int64[?])"

}  // namespace onnxforge
