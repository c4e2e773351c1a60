#pragma once

#include "onnxforge/base/attribute.h"

#include "import_tensor.h"
#include "onnx_headers.h"

namespace onnxforge::io {

/// The type an attribute has; told by its fields where an old model (IR version 1) leaves it out.
onnx::AttributeProto::AttributeType AttributeTypeOf(const onnx::AttributeProto& proto);

/// An attribute that is no graph. Fails with kInvalidModel, naming it.
AttributeValue ImportAttribute(const onnx::AttributeProto& proto, const TensorSource& source);

/// The value of a Constant node, in whichever of its attributes it is.
Tensor ImportConstant(const onnx::NodeProto& node, const TensorSource& source);

}  // namespace onnxforge::io
