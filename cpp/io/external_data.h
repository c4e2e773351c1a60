#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxforge/base/tensor.h"

#include "onnx_headers.h"
#include "platform_file.h"

namespace onnxforge::io {

bool IsExternal(const onnx::TensorProto& tensor);
/// The size of data that is in the model's own file, and external only to the message; nullopt for any other tensor.
std::optional<size_t> BytesInOwnFile(const onnx::TensorProto& tensor);

/// The location of tensors whose bytes were left in the model's own file, see skim.h. No file has this name.
inline constexpr std::string_view kOwnFile{"\0", 1};

/// The data of one external tensor.
struct ExternalBytes {
  std::shared_ptr<const void> owner;
  const unsigned char* data = nullptr;
  size_t size = 0;
};

/// The external data files of one model, each mapped once, however many tensors lie in it; and the model's own file,
/// which is read into memory of the tensor's own. May be used from several threads.
class ExternalData {
 public:
  /// `base_dir`: where locations are relative to; empty when a model has no folder. `model_path`: the model's file,
  /// when there is one: where it is a symbolic link, the folder it points to counts as the model's folder too.
  /// `own_file`: where tensors at kOwnFile are read from.
  explicit ExternalData(const std::string& base_dir, const std::string& model_path = "",
                        std::shared_ptr<const FileReader> own_file = nullptr);

  /// Bytes `offset` to `offset + expected` of the file the tensor names. Fails with kInvalidModel, naming tensor and
  /// file, when the location leaves the model's folder or the file is too short, and with kIo when it cannot be opened.
  ExternalBytes Find(const onnx::TensorProto& tensor, size_t expected) const;

 private:
  // Small ones: a tensor that is kept, where the others go once they are packed, keeps the block.
  static constexpr size_t kBlock = size_t{4} << 20;

  ExternalBytes ReadOwn(uint64_t offset, uint64_t length, size_t expected) const;
  std::shared_ptr<const FileMapping> Open(const std::string& location) const;
  std::filesystem::path Resolve(const std::string& location) const;

  std::string base_dir_;
  std::shared_ptr<const FileReader> own_file_;
  std::vector<std::filesystem::path> roots_;  // canonical
  mutable std::mutex mutex_;
  mutable std::map<std::filesystem::path, std::shared_ptr<const FileMapping>> files_;
  mutable StorageArena blocks_{kBlock};                   // for what is read of a large file
  mutable std::map<uint64_t, std::weak_ptr<void>> read_;  // of the own file, by offset: shared while somebody has it
};

}  // namespace onnxforge::io
