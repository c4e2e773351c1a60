#pragma once

#include <string>

#include "onnx_headers.h"

namespace onnxforge::io {

/// The schema an operator has in an opset, made when it is first asked for; null where there is none. Upstream's own
/// registry makes all it knows at once, which takes longer than everything else about the session of a small model.
const onnx::OpSchema* FindSchemaOnDemand(const std::string& op_type, int opset, const std::string& domain);

/// The same for those of upstream's functions that are handed a registry.
const onnx::ISchemaRegistry& SchemasOnDemand();

}  // namespace onnxforge::io
