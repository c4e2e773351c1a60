#pragma once

#include <memory>
#include <string>

#include "onnxforge/base/span.h"

#include "onnx_headers.h"

namespace onnxforge::io {

/// The largest message protobuf can parse or write.
inline constexpr size_t kMaxProtoBytes = 0x7fffffff;

/// The model in a file. Fails with kIo (cannot read) or kInvalidModel (not a model).
std::shared_ptr<const onnx::ModelProto> ReadModel(const std::string& path);

/// The model in a buffer. Fails with kInvalidModel.
std::shared_ptr<const onnx::ModelProto> ParseModel(Span<const char> bytes);

}  // namespace onnxforge::io
