#include "external_data.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

#include "onnxforge/base/error.h"
#include "onnxforge/base/tensor.h"

#include "import_type.h"

namespace onnxforge::io {
namespace {

struct Place {
  std::string location;
  uint64_t offset = 0;
  bool has_length = false;
  uint64_t length = 0;
};

uint64_t ParseCount(const onnx::StringStringEntryProto& entry) {
  const std::string& text = entry.value();
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  Require(error == std::errc() && end == text.data() + text.size(), ErrorCode::kInvalidModel, "the ", Utf8(entry.key()),
          " of its external data is '", Utf8(text), "', which is no number of bytes");
  return value;
}

Place ReadPlace(const onnx::TensorProto& tensor) {
  Place place;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") {
      place.location = entry.value();
    } else if (entry.key() == "offset") {
      place.offset = ParseCount(entry);
    } else if (entry.key() == "length") {
      place.length = ParseCount(entry);
      place.has_length = true;
    }
  }
  Require(!place.location.empty(), ErrorCode::kInvalidModel, "its data is external, but no file is named");
  return place;
}

bool Contains(const std::filesystem::path& folder, const std::filesystem::path& file) {
  const auto [in_folder, in_file] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  // A trailing separator makes an empty last element.
  return in_folder == folder.end() || (in_folder->empty() && std::next(in_folder) == folder.end());
}

}  // namespace

bool IsExternal(const onnx::TensorProto& tensor) {
  return tensor.has_data_location() && tensor.data_location() == onnx::TensorProto::EXTERNAL;
}

std::optional<size_t> BytesInOwnFile(const onnx::TensorProto& tensor) {
  if (!IsExternal(tensor)) return std::nullopt;
  const Place place = ReadPlace(tensor);
  return place.location == kOwnFile ? std::optional<size_t>(static_cast<size_t>(place.length)) : std::nullopt;
}

ExternalData::ExternalData(const std::string& base_dir, const std::string& model_path,
                           std::shared_ptr<const FileReader> own_file)
    : base_dir_(base_dir), own_file_(std::move(own_file)) {
  std::error_code error;
  if (!base_dir.empty()) roots_.push_back(std::filesystem::canonical(PathFromUtf8(base_dir), error));
  if (error) roots_.clear();
  if (!model_path.empty()) {
    // Caches keep models as links into a store, with the data beside the store's copy.
    const std::filesystem::path real = std::filesystem::canonical(PathFromUtf8(model_path), error);
    if (!error) roots_.push_back(real.parent_path());
  }
}

ExternalBytes ExternalData::Find(const onnx::TensorProto& tensor, size_t expected) const {
  const Place place = ReadPlace(tensor);
  if (own_file_ != nullptr && place.location == kOwnFile) return ReadOwn(place.offset, place.length, expected);
  if (expected == 0) return {};
  Require(!place.has_length || place.length == expected, ErrorCode::kInvalidModel, "its shape needs ", expected,
          " bytes, but its external data is said to have ", place.length);
  const std::shared_ptr<const FileMapping> file = Open(place.location);
  Require(place.offset <= file->size() && expected <= file->size() - place.offset, ErrorCode::kInvalidModel,
          "it needs ", expected, " bytes from byte ", place.offset, " of '", Utf8(place.location),
          "', but the file has only ", file->size(), " bytes");
  return {file, file->data() + place.offset, expected};
}

ExternalBytes ExternalData::ReadOwn(uint64_t offset, uint64_t length, size_t expected) const {
  Require(length == expected, ErrorCode::kInvalidModel, "its shape needs ", expected, " bytes, but raw_data has ",
          length);
  const std::lock_guard<std::mutex> lock(mutex_);
  std::weak_ptr<void>& known = read_[offset];
  if (const Storage memory = known.lock()) return {memory, static_cast<const unsigned char*>(memory.get()), expected};
  const uint64_t size = own_file_->Size();
  size_t read = static_cast<size_t>(std::min<uint64_t>(size - std::min(offset, size), expected));
  Storage memory;
  if (read == expected) {  // a model may say what it likes of itself; memory is asked for where the bytes can be
    // In a holder of its own: who is given it may be followed by others, so that it is nobody's to overwrite.
    const bool large = size >= 2 * kBlock;
    const auto holder = std::make_shared<Storage>(large ? blocks_.Allocate(expected) : AllocateStorage(expected));
    memory = Storage(holder, holder->get());
    read = own_file_->Read(offset, memory.get(), expected);
  }
  Require(read == expected, ErrorCode::kIo, "it needs ", expected, " bytes from byte ", offset,
          " of the model's file, which now ends after ", read, " of them: it was changed since it was loaded");
  known = memory;
  return {memory, static_cast<const unsigned char*>(memory.get()), expected};
}

std::shared_ptr<const FileMapping> ExternalData::Open(const std::string& location) const {
  const std::filesystem::path path = Resolve(location);
  const std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<const FileMapping>& file = files_[path];
  if (file == nullptr) file = FileMapping::Open(path);
  return file;
}

std::filesystem::path ExternalData::Resolve(const std::string& location) const {
  Require(!base_dir_.empty(), ErrorCode::kInvalidModel, "its data is in the file '", Utf8(location),
          "', but a model read from bytes has no folder to look in; load it from its path or say which folder");
  const std::filesystem::path relative = PathFromUtf8(location);
  const bool leaves = std::any_of(relative.begin(), relative.end(), [](const auto& part) { return part == ".."; });
  Require(location.find('\0') == std::string::npos && !leaves && !relative.has_root_path(), ErrorCode::kInvalidModel,
          "its external data is at '", Utf8(location), "', which is outside the model's folder");
  const std::filesystem::path path = PathFromUtf8(base_dir_) / relative;
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  Require(!error, ErrorCode::kIo, "cannot open its external data '", PathToUtf8(path), "': ", error.message());
  Require(std::any_of(roots_.begin(), roots_.end(), [&](const auto& root) { return Contains(root, real); }),
          ErrorCode::kInvalidModel, "its external data '", Utf8(location), "' is a link to '", PathToUtf8(real),
          "', which is outside the model's folder");
  return real;
}

}  // namespace onnxforge::io
