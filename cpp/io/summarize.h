#pragma once

#include "onnxforge/io/model_file.h"

#include "onnx_headers.h"

namespace onnxforge::io {

/// ModelFile::Summarize.
Summary SummarizeModel(const onnx::ModelProto& model);

}  // namespace onnxforge::io
