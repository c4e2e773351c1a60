#include "save.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "onnxforge/base/error.h"

#include "import_tensor.h"
#include "import_type.h"
#include "platform_file.h"
#include "read.h"
#include "walk.h"

namespace onnxforge::io {
namespace {

/// Where tensors begin in a data file: mapped, they are aligned as tensors in memory are.
constexpr size_t kDataAlignment = kAlignment;

class FileSink final : public google::protobuf::io::CopyingOutputStream {
 public:
  explicit FileSink(AtomicFile& file) : file_(file) {}
  bool Write(const void* data, int size) override {
    file_.Write(data, static_cast<size_t>(size));
    return true;
  }

 private:
  AtomicFile& file_;
};

[[noreturn]] void FailModelTooLarge(uint64_t bytes) {
  Fail(ErrorCode::kInvalidArgument, "with all tensors in it the model would have ", bytes,
       " bytes, but a protobuf message cannot be larger than 2 GiB; save it with an external_data_threshold");
}

void RequireSize(const onnx::ModelProto& model) {
  const uint64_t size = model.ByteSizeLong();
  if (size > kMaxProtoBytes) FailModelTooLarge(size);
}

/// The bytes a tensor would have in a data file; nullopt for those that stay in the model.
std::optional<size_t> MovableBytes(const onnx::TensorProto& tensor) {
  if (tensor.data_type() == onnx::TensorProto::STRING) return std::nullopt;
  return !IsExternal(tensor) && !tensor.raw_data().empty() ? tensor.raw_data().size() : RawSize(tensor);
}

void ClearData(onnx::TensorProto& tensor) {
  tensor.clear_raw_data();
  tensor.clear_float_data();
  tensor.clear_int32_data();
  tensor.clear_int64_data();
  tensor.clear_double_data();
  tensor.clear_uint64_data();
  tensor.clear_external_data();
  tensor.clear_data_location();
}

/// The data file beside a model; it only comes to be when a tensor goes there.
class DataFile {
 public:
  explicit DataFile(std::filesystem::path target) : target_(std::move(target)) {}

  void Take(onnx::TensorProto& tensor, const ExternalData& external) {
    if (file_ == nullptr) file_ = std::make_unique<AtomicFile>(target_);
    const RawBytes bytes(tensor, external);
    const size_t offset = file_->AlignTo(kDataAlignment);
    file_->Write(bytes.data(), bytes.size());
    const size_t size = bytes.size();
    ClearData(tensor);
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    Entry(tensor, "location", PathToUtf8(target_.filename()));
    Entry(tensor, "offset", std::to_string(offset));
    Entry(tensor, "length", std::to_string(size));
  }

  AtomicFile* file() { return file_.get(); }

 private:
  static void Entry(onnx::TensorProto& tensor, const char* key, const std::string& value) {
    auto* entry = tensor.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }

  std::filesystem::path target_;
  std::unique_ptr<AtomicFile> file_;
};

/// Fails before anything is copied when a model with all its external data in it would be too large.
void RequireEmbeddable(const onnx::ModelProto& model, size_t threshold) {
  uint64_t bytes = model.ByteSizeLong();
  ForEachTensor(model, [&](const onnx::TensorProto& tensor, bool is_initializer) {
    if (!IsExternal(tensor)) return;
    const size_t size = RawSize(tensor);
    if (threshold == 0 || !is_initializer || size < threshold) bytes += size;
  });
  if (bytes > kMaxProtoBytes && HasExternalData(model)) FailModelTooLarge(bytes);
}

void WriteModel(const onnx::ModelProto& model, AtomicFile& file) {
  FileSink sink(file);
  google::protobuf::io::CopyingOutputStreamAdaptor blocks(&sink, 1 << 20);
  Require(model.SerializeToZeroCopyStream(&blocks) && blocks.Flush(), ErrorCode::kInternal,
          "protobuf could not write the model");
}

/// Where to write: behind a link, to what it points to, so that the link stays.
std::filesystem::path TargetOf(const std::string& path) {
  std::filesystem::path target = PathFromUtf8(path);
  std::error_code error;
  Require(!std::filesystem::is_directory(target, error), ErrorCode::kIo, "cannot write '", path, "': it is a folder");
  if (std::filesystem::is_symlink(target, error)) {
    const std::filesystem::path real = std::filesystem::weakly_canonical(target, error);
    if (!error) target = real;
  }
  return target;
}

}  // namespace

bool HasExternalData(const onnx::ModelProto& model) {
  bool found = false;
  ForEachTensor(model, [&](const onnx::TensorProto& tensor, bool) { found = found || IsExternal(tensor); });
  return found;
}

void Embed(onnx::TensorProto& tensor, const ExternalData& external) {
  try {
    const RawBytes bytes(tensor, external);
    std::string raw(static_cast<const char*>(bytes.data()), bytes.size());
    ClearData(tensor);
    tensor.set_raw_data(std::move(raw));
  } catch (Error& error) {
    error.AddContext(StrCat("in tensor '", Utf8(tensor.name()), "'"));
    throw;
  }
}

void SaveModel(const onnx::ModelProto& model, const ExternalData& external, const std::string& path,
               const SaveOptions& options) {
  const std::filesystem::path target = TargetOf(path);
  const size_t threshold = options.external_data_threshold;
  AtomicFile model_file(target);
  if (threshold == 0 && !HasExternalData(model)) {
    RequireSize(model);
    WriteModel(model, model_file);
    model_file.Commit();
    return;
  }
  RequireEmbeddable(model, threshold);
  std::filesystem::path data_path = target;
  data_path += ".data";
  DataFile data(data_path);
  onnx::ModelProto out = model;
  ForEachTensor(out, [&](onnx::TensorProto& tensor, bool is_initializer) {
    const std::optional<size_t> bytes = threshold != 0 && is_initializer ? MovableBytes(tensor) : std::nullopt;
    if (bytes && *bytes >= threshold) {
      data.Take(tensor, external);
    } else if (IsExternal(tensor)) {
      Embed(tensor, external);
    }
  });
  RequireSize(out);
  WriteModel(out, model_file);
  model_file.Flush();
  // The model last: until then the old one, where there is one, is what readers find.
  if (data.file() != nullptr) data.file()->Commit();
  model_file.Commit();
}

std::string SerializeModel(const onnx::ModelProto& model, const ExternalData& external) {
  RequireEmbeddable(model, 0);
  const onnx::ModelProto* whole = &model;
  onnx::ModelProto copy;
  if (HasExternalData(model)) {
    copy = model;
    ForEachTensor(copy, [&](onnx::TensorProto& tensor, bool) {
      if (IsExternal(tensor)) Embed(tensor, external);
    });
    whole = &copy;
  }
  RequireSize(*whole);
  std::string bytes;
  Require(whole->SerializeToString(&bytes), ErrorCode::kInternal, "protobuf could not write the model");
  return bytes;
}

}  // namespace onnxforge::io
