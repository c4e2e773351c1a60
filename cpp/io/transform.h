#pragma once

#include <memory>

#include "external_data.h"
#include "onnx_headers.h"

namespace onnxforge::io {

/// ModelFile::InferShapes.
std::shared_ptr<const onnx::ModelProto> InferModelShapes(const onnx::ModelProto& model, const ExternalData& external,
                                                         bool strict, bool data_propagation);

/// ModelFile::ConvertVersion.
std::shared_ptr<const onnx::ModelProto> ConvertModelVersion(const std::shared_ptr<const onnx::ModelProto>& model,
                                                            const ExternalData& external, int64_t target_opset);

}  // namespace onnxforge::io
