#include "read.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "onnxforge/base/error.h"

#include "diagnose.h"
#include "platform_file.h"
#include "skim.h"

namespace onnxforge::io {
namespace {

namespace pb = google::protobuf::io;

/// Reads in blocks, so that a file is never in memory as a whole beside the model parsed from it.
class FileSource final : public pb::CopyingInputStream {
 public:
  explicit FileSource(std::istream& in) : in_(in) {}

  int Read(void* buffer, int size) override {
    in_.read(static_cast<char*>(buffer), size);
    if (in_.bad()) return -1;
    return static_cast<int>(in_.gcount());
  }

 private:
  std::istream& in_;
};

bool ParseFrom(pb::ZeroCopyInputStream& source, onnx::ModelProto& model) {
  pb::CodedInputStream coded(&source);
  coded.SetTotalBytesLimit(static_cast<int>(kMaxProtoBytes));
  return model.ParseFromCodedStream(&coded) && coded.ConsumedEntireMessage();
}

[[noreturn]] void FailFileTooLarge(uint64_t bytes) {
  Fail(ErrorCode::kInvalidModel, "the model has ", bytes,
       " bytes, but a protobuf message cannot be larger than 2 GiB; save it with its tensors in an external data file");
}

std::shared_ptr<const onnx::ModelProto> RequireGraph(std::shared_ptr<const onnx::ModelProto> model) {
  Require(model->has_graph(), ErrorCode::kInvalidModel,
          "not an ONNX model: these bytes are a protobuf message, but there is no graph in it");
  return model;
}

/// Why a file could not be parsed, from its beginning; what a pipe held is gone by then.
std::string DiagnoseFile(const std::filesystem::path& path) {
  constexpr uintmax_t kEnough = uintmax_t{64} << 20;
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return "its structure is broken";
  std::vector<char> head(static_cast<size_t>(std::min(size, kEnough)));
  std::ifstream in(path, std::ios::binary);
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return DiagnoseModelBytes(head);
}

/// Leaving tensors behind in a smaller file saves nothing that would be missed.
constexpr uint64_t kWorthSkimming = uint64_t{1} << 20;

/// A model without its large tensors; null where it has to be read as a whole.
std::shared_ptr<const onnx::ModelProto> ParseSkimmed(const FileReader& file) {
  if (file.Size() < kWorthSkimming) return nullptr;
  const std::optional<std::string> message = SkimModel(file);
  auto model = std::make_shared<onnx::ModelProto>();
  if (!message || !model->ParseFromString(*message)) return nullptr;
  return model;
}

}  // namespace

ReadResult ReadModel(const std::string& path) {
  const std::filesystem::path file = PathFromUtf8(path);
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(file, error);
  Require(std::filesystem::exists(status), ErrorCode::kIo, "cannot open '", path,
          "': ", error ? error.message() : "no such file");
  Require(!std::filesystem::is_directory(status), ErrorCode::kIo, "cannot read '", path,
          "': it is a folder; give the .onnx file in it");
  if (std::filesystem::is_regular_file(status)) {
    const uint64_t size = std::filesystem::file_size(file, error);
    if (!error && size > kMaxProtoBytes) FailFileTooLarge(size);
    auto reader = FileReader::Open(file);
    if (auto skimmed = ParseSkimmed(*reader)) return {RequireGraph(std::move(skimmed)), std::move(reader)};
  }
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  Require(in.is_open(), ErrorCode::kIo, "cannot open '", path, "': ", std::generic_category().message(errno));

  auto model = std::make_shared<onnx::ModelProto>();
  FileSource source(in);
  pb::CopyingInputStreamAdaptor blocks(&source, 1 << 20);
  const bool parsed = ParseFrom(blocks, *model);
  Require(!in.bad(), ErrorCode::kIo, "cannot read '", path, "': ", std::generic_category().message(errno));
  const bool empty = blocks.ByteCount() == 0;
  if (!parsed || empty) {
    Fail(ErrorCode::kInvalidModel, "'", path, "' is not an ONNX model: ", empty ? "it is empty" : DiagnoseFile(file));
  }
  return {RequireGraph(std::move(model)), nullptr};
}

std::shared_ptr<const onnx::ModelProto> ParseModel(Span<const char> bytes) {
  if (bytes.size() > kMaxProtoBytes) FailFileTooLarge(bytes.size());
  auto model = std::make_shared<onnx::ModelProto>();
  pb::ArrayInputStream source(bytes.data(), static_cast<int>(bytes.size()));
  if (bytes.empty() || !ParseFrom(source, *model)) {
    Fail(ErrorCode::kInvalidModel, "these bytes are not an ONNX model: ", DiagnoseModelBytes(bytes));
  }
  return RequireGraph(std::move(model));
}

}  // namespace onnxforge::io
