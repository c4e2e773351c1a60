#pragma once

#include <map>
#include <string>

#include "onnx_headers.h"

namespace onnxforge::io {

/// Versions of operator sets by domain, "ai.onnx" being "".
using Opsets = std::map<std::string, int>;

/// "ai.onnx" is another spelling of "".
inline std::string NormalizeDomain(const std::string& domain) { return domain == "ai.onnx" ? std::string() : domain; }

/// "Op" or "domain.Op", for people.
std::string OperatorName(const std::string& domain, const std::string& op_type);

/// The opsets a model or function imports. A domain listed twice (as some converters do) counts with its higher
/// version. Fails with kInvalidModel for versions below 1.
Opsets ReadOpsets(const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& imports);

/// The model's opsets. Models older than IR version 3 may leave them out and mean version 1; fails with kInvalidModel
/// for newer ones, and with kUnsupported for a version that the linked ONNX does not know yet.
Opsets ModelOpsets(const onnx::ModelProto& model);

/// Whether ONNX itself defines operators of the domain.
bool IsStandardDomain(const std::string& domain);

/// The schema an operator has in an opset; null when the domain is not ONNX's, or has no such operator (yet).
const onnx::OpSchema* FindSchema(const std::string& domain, const std::string& op_type, int opset);

}  // namespace onnxforge::io
