#pragma once

#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "onnxforge/base/tensor.h"

namespace onnxforge {

class Value;

/// A list of values of one type. Immutable once shared.
struct Sequence {
  std::vector<Value> items;
  DType element = DType::kUndefined;  // of the tensors in it; kept for the empty sequence
};

/// ai.onnx.ml maps: keys are an int64 or string tensor [n], values a tensor [n] of any type.
struct Map {
  Tensor keys;
  Tensor values;
};

/// COO: values [nnz]; indices int64 [nnz, rank] or, linearised, [nnz].
struct SparseTensor {
  Tensor values;
  Tensor indices;
  Shape shape;
};

/// Whatever flows along an edge. An empty optional is kNone; an optional that holds something is that thing.
class Value {
 public:
  enum class Kind { kNone, kTensor, kSequence, kMap, kSparseTensor };

  Value() = default;
  Value(Tensor tensor) : v_(std::move(tensor)) {}
  Value(Sequence sequence) : v_(std::make_shared<const Sequence>(std::move(sequence))) {}
  Value(Map map) : v_(std::make_shared<const Map>(std::move(map))) {}
  Value(SparseTensor sparse) : v_(std::make_shared<const SparseTensor>(std::move(sparse))) {}

  Kind kind() const { return static_cast<Kind>(v_.index()); }
  bool has_value() const { return kind() != Kind::kNone; }
  bool is_tensor() const { return kind() == Kind::kTensor; }

  // Each fails with kInvalidArgument, naming both kinds, when the value is of another kind.
  const Tensor& tensor() const;
  Tensor& tensor();
  const Sequence& sequence() const;
  const Map& map() const;
  const SparseTensor& sparse() const;

 private:
  std::variant<std::monostate, Tensor, std::shared_ptr<const Sequence>, std::shared_ptr<const Map>,
               std::shared_ptr<const SparseTensor>>
      v_;
};

std::string_view KindName(Value::Kind kind);

}  // namespace onnxforge
