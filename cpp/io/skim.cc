#include "skim.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "external_data.h"
#include "onnx_headers.h"
#include "read.h"

namespace onnxforge::io {
namespace {

using google::protobuf::internal::WireFormatLite;

/// Data smaller than this is no trouble where it is. Inference and upstream's library read smaller tensors only.
constexpr uint32_t kLargeData = 32 * 1024;
/// Where more than this has to be copied, the message is large for other reasons than raw data.
constexpr size_t kMostCopied = size_t{32} << 20;
/// Bodies within bodies; protobuf refuses what is deeper.
constexpr int kMostNested = 64;

class SkippingSource final : public google::protobuf::io::CopyingInputStream {
 public:
  explicit SkippingSource(const FileReader& file) : file_(file), size_(file.Size()) {}

  int Read(void* buffer, int size) override {
    const size_t read = file_.Read(at_, buffer, static_cast<size_t>(size));
    at_ += read;
    return static_cast<int>(read);
  }
  int Skip(int count) override {
    const auto skipped = std::min<uint64_t>(static_cast<uint64_t>(count), size_ - std::min(size_, at_));
    at_ += skipped;
    return static_cast<int>(skipped);
  }

 private:
  const FileReader& file_;
  uint64_t size_;
  uint64_t at_ = 0;
};

/// Messages that tensors are in.
enum class Part { kModel, kGraph, kNode, kAttribute, kTensor, kOther };

Part PartOf(Part whole, int field) {
  switch (whole) {
    case Part::kModel:
      return field == onnx::ModelProto::kGraphFieldNumber ? Part::kGraph : Part::kOther;
    case Part::kGraph:
      if (field == onnx::GraphProto::kNodeFieldNumber) return Part::kNode;
      return field == onnx::GraphProto::kInitializerFieldNumber ? Part::kTensor : Part::kOther;
    case Part::kNode:
      return field == onnx::NodeProto::kAttributeFieldNumber ? Part::kAttribute : Part::kOther;
    case Part::kAttribute:
      if (field == onnx::AttributeProto::kGFieldNumber) return Part::kGraph;
      return field == onnx::AttributeProto::kTFieldNumber ? Part::kTensor : Part::kOther;
    case Part::kTensor:
    case Part::kOther:
      break;
  }
  return Part::kOther;
}

/// Fields of a tensor that say the same as raw_data. One that has both is wrong, and is left whole.
bool IsOtherData(int field) {
  constexpr int kFields[] = {onnx::TensorProto::kFloatDataFieldNumber,   onnx::TensorProto::kInt32DataFieldNumber,
                             onnx::TensorProto::kStringDataFieldNumber,  onnx::TensorProto::kInt64DataFieldNumber,
                             onnx::TensorProto::kDoubleDataFieldNumber,  onnx::TensorProto::kUint64DataFieldNumber,
                             onnx::TensorProto::kExternalDataFieldNumber};
  return std::find(std::begin(kFields), std::end(kFields), field) != std::end(kFields);
}

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

/// Where a tensor's data is, as fields of its message.
std::string PlaceFields(int64_t offset, uint32_t length) {
  onnx::TensorProto place;
  place.set_data_location(onnx::TensorProto::EXTERNAL);
  const auto entry = [&](const char* key, const std::string& value) {
    auto* added = place.add_external_data();
    added->set_key(key);
    added->set_value(value);
  };
  entry("location", std::string(kOwnFile));
  entry("offset", std::to_string(offset));
  entry("length", std::to_string(length));
  return place.SerializeAsString();
}

/// One walk over the message, field by field; false wherever something is not as expected.
class Skimmer {
 public:
  explicit Skimmer(google::protobuf::io::ZeroCopyInputStream& source) : in_(&source) {
    in_.SetTotalBytesLimit(static_cast<int>(kMaxProtoBytes));
  }

  bool Run(std::string& out) { return Message(Part::kModel, 0, out) && left_any_; }

 private:
  /// What has been seen of a tensor.
  struct Seen {
    uint64_t data_type = 0;
    bool other = false;  // data in another field, or where that is
    bool left = false;
  };

  bool Message(Part part, int depth, std::string& out) {
    if (depth > kMostNested) return false;
    Seen seen;
    for (uint32_t tag = in_.ReadTag(); tag != 0; tag = in_.ReadTag()) {
      if (!Field(part, depth, tag, seen, out)) return false;
    }
    return in_.ConsumedEntireMessage();
  }

  bool Field(Part part, int depth, uint32_t tag, Seen& seen, std::string& out) {
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    if (part == Part::kTensor && IsOtherData(field)) {
      if (seen.left) return false;
      seen.other = true;
    }
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      return Scalar(part, tag, seen, out);
    }
    uint32_t length = 0;
    if (!in_.ReadVarint32(&length) || length > static_cast<uint32_t>(std::numeric_limits<int>::max())) return false;
    if (length >= kLargeData) {
      if (part == Part::kTensor && field == onnx::TensorProto::kRawDataFieldNumber) return RawData(length, seen, out);
      const Part inner = PartOf(part, field);
      if (inner != Part::kOther) return Inner(inner, depth, tag, static_cast<int>(length), out);
    }
    AppendVarint(tag, out);
    AppendVarint(length, out);
    return Copy(length, out);
  }

  bool Scalar(Part part, uint32_t tag, Seen& seen, std::string& out) {
    if (WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_VARINT) return Varint(part, tag, seen, out);
    AppendVarint(tag, out);
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_FIXED32:
        return Copy(4, out);
      case WireFormatLite::WIRETYPE_FIXED64:
        return Copy(8, out);
      default:
        return false;
    }
  }

  bool Varint(Part part, uint32_t tag, Seen& seen, std::string& out) {
    uint64_t value = 0;
    if (!in_.ReadVarint64(&value)) return false;
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    if (part == Part::kTensor && field == onnx::TensorProto::kDataTypeFieldNumber) seen.data_type = value;
    if (part == Part::kTensor && field == onnx::TensorProto::kDataLocationFieldNumber) {
      // Some writers say of every tensor that its data is in it; that is so where nothing is said.
      if (value == onnx::TensorProto::DEFAULT && !seen.other) return true;
      if (seen.left) return false;
      seen.other = true;
    }
    AppendVarint(tag, out);
    AppendVarint(value, out);
    return true;
  }

  bool Inner(Part part, int depth, uint32_t tag, int length, std::string& out) {
    if (!Fits(length)) return false;  // PushLimit would only take less
    const auto limit = in_.PushLimit(length);
    std::string inner;
    // A file that ends here is to the stream as good an end as the message's own.
    if (!Message(part, depth + 1, inner) || in_.BytesUntilLimit() != 0) return false;
    in_.PopLimit(limit);
    AppendVarint(tag, out);
    AppendVarint(inner.size(), out);
    out += inner;
    return true;
  }

  bool RawData(uint32_t length, Seen& seen, std::string& out) {
    // Writers put the type first. What is no data of numbers is left to whoever says what is wrong with it.
    if (seen.left || seen.other || seen.data_type == 0 || seen.data_type == onnx::TensorProto::STRING) return false;
    out += PlaceFields(in_.CurrentPosition(), length);
    seen.left = true;
    left_any_ = true;
    return in_.Skip(static_cast<int>(length));
  }

  /// Whether so much is left of the message that encloses this field.
  bool Fits(int length) const {
    const int left = in_.BytesUntilLimit();  // negative where nothing encloses it
    return left < 0 || length <= left;
  }

  bool Copy(uint32_t length, std::string& out) {
    copied_ += length;
    if (copied_ > kMostCopied || !Fits(static_cast<int>(length))) return false;
    while (length != 0) {
      const void* data = nullptr;
      int size = 0;
      if (!in_.GetDirectBufferPointer(&data, &size)) return false;
      const uint32_t part = std::min(length, static_cast<uint32_t>(size));
      out.append(static_cast<const char*>(data), part);
      in_.Skip(static_cast<int>(part));
      length -= part;
    }
    return true;
  }

  google::protobuf::io::CodedInputStream in_;
  size_t copied_ = 0;
  bool left_any_ = false;
};

}  // namespace

std::optional<std::string> SkimModel(const FileReader& file) {
  SkippingSource source(file);
  google::protobuf::io::CopyingInputStreamAdaptor blocks(&source, 64 * 1024);
  std::string message;
  if (!Skimmer(blocks).Run(message)) return std::nullopt;
  return message;
}

}  // namespace onnxforge::io
