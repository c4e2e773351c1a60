#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "onnx_headers.h"
#include "schemas.h"

namespace onnxforge::io {

/// A function with the attributes of one call put in.
struct FunctionBody {
  std::shared_ptr<const onnx::FunctionProto> function;
  const void* identity = nullptr;  // of a local function: the same for every call, to notice recursion
};

/// The functions a model brings along.
class LocalFunctions {
 public:
  explicit LocalFunctions(std::shared_ptr<const onnx::ModelProto> model);

  /// The function a node calls; null when it is none of these.
  const onnx::FunctionProto* Find(const onnx::NodeProto& node) const;
  FunctionBody Body(const onnx::FunctionProto& function, const onnx::NodeProto& call) const;

 private:
  std::shared_ptr<const onnx::ModelProto> model_;
  std::unordered_map<std::string, const onnx::FunctionProto*> by_key_;
};

/// The function that a schema defines its operator by, for an opset; empty where it has none for a node like this.
/// `input_types`: null where nothing is known, or the input was left out (`inputs_given` tells).
FunctionBody SchemaFunctionBody(const onnx::OpSchema& schema, int opset, const onnx::NodeProto& call,
                                const std::vector<const onnx::TypeProto*>& input_types,
                                const std::vector<bool>& inputs_given);

}  // namespace onnxforge::io
