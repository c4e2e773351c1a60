#pragma once

#include <string>

#include "onnxforge/base/tensor.h"
#include "onnxforge/base/type.h"

#include "onnx_headers.h"

namespace onnxforge::io {

/// Types are hints: what is unknown, malformed or not ours (opaque types, negative extents) becomes "unknown", never an
/// error.
Type ImportType(const onnx::TypeProto& proto);

/// What is known of a value from inference and from the model's own declaration together. Models declare wrong shapes,
/// so inference wins where both speak.
onnx::TypeProto MergeTypes(const onnx::TypeProto& inferred, const onnx::TypeProto& declared);

/// The type of a tensor with this element type and shape.
onnx::TypeProto TypeOf(const Tensor& tensor);

/// Names come from the file as bytes; invalid UTF-8 is replaced, so that everything that leaves io is text.
std::string Utf8(const std::string& text);

}  // namespace onnxforge::io
