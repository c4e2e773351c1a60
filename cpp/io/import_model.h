#pragma once

#include <memory>

#include "onnxforge/io/model_file.h"

#include "external_data.h"
#include "onnx_headers.h"

namespace onnxforge::io {

/// ModelFile::ToIr.
ir::Model ImportModel(std::shared_ptr<const onnx::ModelProto> model, const ExternalData& external,
                      const HasKernelFn& has_kernel);

}  // namespace onnxforge::io
