#pragma once

#include <memory>

#include "onnxforge/base/tensor.h"
#include "onnxforge/base/value.h"

#include "external_data.h"
#include "onnx_headers.h"

namespace onnxforge::io {

/// Where tensors of a model get their data from, and what keeps it alive.
struct TensorSource {
  std::shared_ptr<const void> owner;  // of the message the tensors are in
  const ExternalData* external = nullptr;
};

/// The dtype of a TensorProto.DataType. Fails with kInvalidModel for a number the standard does not have.
DType ImportDType(int32_t data_type);

/// A tensor that shares its data with the message or the mapped file wherever that has the right layout, and a
/// converted copy elsewhere. Fails with kInvalidModel, naming the tensor, when shape, type and data do not fit
/// together.
Tensor ImportTensor(const onnx::TensorProto& proto, const TensorSource& source);

SparseTensor ImportSparseTensor(const onnx::SparseTensorProto& proto, const TensorSource& source);

/// The dense tensor a sparse initialiser stands for; `name` is for errors.
Tensor Densify(const SparseTensor& sparse, const std::string& name);

/// The bytes of a tensor in the layout of raw_data (little-endian, packed), wherever they are now. Not for strings.
class RawBytes {
 public:
  RawBytes(const onnx::TensorProto& proto, const ExternalData& external);
  const void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const void* data_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<const void> keep_;
};

/// The bytes of a tensor's elements in raw_data: what is there in the model's own file, else what shape and type ask
/// for; fails with kInvalidModel when those make no sense.
size_t RawSize(const onnx::TensorProto& proto);

}  // namespace onnxforge::io
