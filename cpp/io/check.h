#pragma once

#include <memory>

#include "external_data.h"
#include "onnx_headers.h"

namespace onnxforge::io {

/// ModelFile::Check.
void CheckModel(const std::shared_ptr<const onnx::ModelProto>& model, const ExternalData& external, bool full);

}  // namespace onnxforge::io
