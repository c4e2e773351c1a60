#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "onnx_headers.h"
#include "platform_file.h"

namespace onnxforge::io {

bool IsExternal(const onnx::TensorProto& tensor);

/// The data of one external tensor.
struct ExternalBytes {
  std::shared_ptr<const FileMapping> file;
  const unsigned char* data = nullptr;
  size_t size = 0;
};

/// The external data files of one model. Each is mapped once, however many tensors lie in it. May be used from several
/// threads.
class ExternalData {
 public:
  /// `base_dir`: where locations are relative to; empty when a model has no folder. `model_path`: the model's file,
  /// when there is one: where it is a symbolic link, the folder it points to counts as the model's folder too.
  explicit ExternalData(const std::string& base_dir, const std::string& model_path = "");

  /// Bytes `offset` to `offset + expected` of the file the tensor names. Fails with kInvalidModel, naming tensor and
  /// file, when the location leaves the model's folder or the file is too short, and with kIo when it cannot be opened.
  ExternalBytes Find(const onnx::TensorProto& tensor, size_t expected) const;

 private:
  std::shared_ptr<const FileMapping> Open(const std::string& location) const;
  std::filesystem::path Resolve(const std::string& location) const;

  std::string base_dir_;
  std::vector<std::filesystem::path> roots_;  // canonical
  mutable std::mutex mutex_;
  mutable std::map<std::filesystem::path, std::shared_ptr<const FileMapping>> files_;
};

}  // namespace onnxforge::io
