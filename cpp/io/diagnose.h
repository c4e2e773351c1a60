#pragma once

#include <string>

#include "onnxforge/base/span.h"

namespace onnxforge::io {

/// Why bytes that protobuf refused are no model, and what to do: what kind of file they look like, or at which byte the
/// structure breaks.
std::string DiagnoseModelBytes(Span<const char> bytes);

}  // namespace onnxforge::io
