#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "onnx_headers.h"

namespace onnxforge::io {

/// What is known of a value while a graph is imported. Whoever imports keeps what is pointed to alive.
struct Known {
  onnx::TypeProto type;                            // not set where nothing is known
  const onnx::TensorProto* data = nullptr;         // of small constants, in the message itself
  std::optional<onnx::TensorShapeProto> symbolic;  // the elements of a small integer tensor, as far as they are known
};

/// Imports the body in an attribute for inputs of these types; returns its outputs' types.
using InferBodyFn = std::function<std::vector<const onnx::TypeProto*>(
    const std::string& attribute, const std::vector<const onnx::TypeProto*>& inputs)>;

/// A node as its schema's inference functions see it.
struct NodeView {
  const onnx::NodeProto& node;
  std::vector<const Known*> inputs;  // null where left out
  std::vector<bool> outputs_used;
  InferBodyFn infer_body;
};

/// What inference found out about one output.
struct Inferred {
  onnx::TypeProto type;
  std::optional<onnx::TensorShapeProto> symbolic;
};

/// Runs the schema's shape inference and data propagation on one node. What they reject leaves the outputs unknown:
/// types are hints, and contradictions show when the model runs. Errors of `infer_body` are passed on.
std::vector<Inferred> InferNode(const onnx::OpSchema& schema, const NodeView& view);

}  // namespace onnxforge::io
