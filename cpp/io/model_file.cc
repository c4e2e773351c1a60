#include "onnxforge/io/model_file.h"

#include <filesystem>
#include <utility>

#include "check.h"
#include "external_data.h"
#include "import_model.h"
#include "platform_file.h"
#include "read.h"
#include "save.h"
#include "summarize.h"
#include "transform.h"

namespace onnxforge::io {
namespace {

/// The folder of a model's file; "." where the path names none.
std::string FolderOf(const std::string& path) {
  const std::filesystem::path folder = PathFromUtf8(path).parent_path();
  return folder.empty() ? "." : PathToUtf8(folder);
}

}  // namespace

class ModelFile::Impl {
 public:
  Impl(std::shared_ptr<const onnx::ModelProto> proto, std::shared_ptr<const ExternalData> external)
      : proto_(std::move(proto)), external_(std::move(external)) {}

  const std::shared_ptr<const onnx::ModelProto>& proto() const { return proto_; }
  const ExternalData& external() const { return *external_; }

  /// Another model that refers to the same external data.
  std::shared_ptr<const Impl> With(std::shared_ptr<const onnx::ModelProto> proto) const {
    return std::make_shared<const Impl>(std::move(proto), external_);
  }

 private:
  std::shared_ptr<const onnx::ModelProto> proto_;
  std::shared_ptr<const ExternalData> external_;
};

ModelFile::ModelFile(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

ModelFile ModelFile::FromPath(const std::string& path) {
  ReadResult read = ReadModel(path);
  auto external = std::make_shared<const ExternalData>(FolderOf(path), path, std::move(read.file));
  return ModelFile(std::make_shared<const Impl>(std::move(read.model), std::move(external)));
}

ModelFile ModelFile::FromBytes(Span<const char> bytes, const std::string& base_dir) {
  auto proto = ParseModel(bytes);
  return ModelFile(std::make_shared<const Impl>(std::move(proto), std::make_shared<const ExternalData>(base_dir)));
}

void ModelFile::Check(bool full) const { CheckModel(impl_->proto(), impl_->external(), full); }

ModelFile ModelFile::InferShapes(bool strict, bool data_propagation) const {
  return ModelFile(impl_->With(InferModelShapes(*impl_->proto(), impl_->external(), strict, data_propagation)));
}

ModelFile ModelFile::ConvertVersion(int64_t target_opset) const {
  return ModelFile(impl_->With(ConvertModelVersion(impl_->proto(), impl_->external(), target_opset)));
}

void ModelFile::Save(const std::string& path, const SaveOptions& options) const {
  SaveModel(*impl_->proto(), impl_->external(), path, options);
}

std::string ModelFile::Serialize() const { return SerializeModel(*impl_->proto(), impl_->external()); }

Summary ModelFile::Summarize() const { return SummarizeModel(*impl_->proto()); }

ir::Model ModelFile::ToIr(const HasKernelFn& has_kernel) const {
  return ImportModel(impl_->proto(), impl_->external(), has_kernel);
}

}  // namespace onnxforge::io
