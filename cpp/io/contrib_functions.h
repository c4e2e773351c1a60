#pragma once

#include <memory>
#include <string>
#include <vector>

#include "onnx_headers.h"

namespace onnxforge::io {

/// One call of an operator whose body is asked for. `types`: null where nothing is known of an input, or it was left
/// out (`given` tells).
struct ContribCall {
  const onnx::NodeProto& node;
  const std::vector<const onnx::TypeProto*>& types;
  const std::vector<bool>& given;
};

/// What a contributed operator of onnxruntime (domain com.microsoft) does, in the standard's own operators: those that
/// need no kernel. Null for any other operator, and for a use of one that has no such body.
std::shared_ptr<const onnx::FunctionProto> ContribFunctionBody(const std::string& domain, const ContribCall& call);

/// The names of those operators, sorted.
std::vector<std::string> ContribFunctions();

}  // namespace onnxforge::io
