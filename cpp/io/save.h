#pragma once

#include <string>

#include "onnxforge/io/model_file.h"

#include "external_data.h"
#include "onnx_headers.h"

namespace onnxforge::io {

/// ModelFile::Save.
void SaveModel(const onnx::ModelProto& model, const ExternalData& external, const std::string& path,
               const SaveOptions& options);

/// ModelFile::Serialize.
std::string SerializeModel(const onnx::ModelProto& model, const ExternalData& external);

bool HasExternalData(const onnx::ModelProto& model);

/// Moves the data of an external tensor into its message.
void Embed(onnx::TensorProto& tensor, const ExternalData& external);

}  // namespace onnxforge::io
