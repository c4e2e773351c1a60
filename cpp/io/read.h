#pragma once

#include <memory>
#include <string>

#include "onnxforge/base/span.h"

#include "onnx_headers.h"
#include "platform_file.h"

namespace onnxforge::io {

/// The largest message protobuf can parse or write.
inline constexpr size_t kMaxProtoBytes = 0x7fffffff;

/// A model, and the file that the large tensors in it are still in; null where all of it was read.
struct ReadResult {
  std::shared_ptr<const onnx::ModelProto> model;
  std::shared_ptr<const FileReader> file;
};

/// The model in a file. Fails with kIo (cannot read) or kInvalidModel (not a model).
ReadResult ReadModel(const std::string& path);

/// The model in a buffer. Fails with kInvalidModel.
std::shared_ptr<const onnx::ModelProto> ParseModel(Span<const char> bytes);

}  // namespace onnxforge::io
