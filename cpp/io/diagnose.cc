#include "diagnose.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "onnxforge/base/error.h"

namespace onnxforge::io {
namespace {

struct Signature {
  size_t offset;
  std::string_view bytes;
  std::string_view meaning;
};

// What people pass by mistake, by its first bytes.
constexpr std::array<Signature, 9> kSignatures{{
    {0, "version https://git-lfs", "a Git LFS pointer, not the file it stands for; fetch that with 'git lfs pull'"},
    {0, "PK\x03\x04", "a zip archive (a PyTorch checkpoint or an .npz?); export the model to ONNX first, or unpack it"},
    {0, "\x1f\x8b", "gzip-compressed; unpack it first"},
    {0, "\x89HDF", "an HDF5 file (Keras?); convert the model to ONNX first"},
    {4, "ORTM", "an ONNX Runtime format (.ort) file; take the .onnx file that it was made from"},
    {4, "TFL3", "a TensorFlow Lite file; convert the model to ONNX first"},
    {0, "<!DOCTYPE", "an HTML page, perhaps the error page of a download"},
    {0, "<html", "an HTML page, perhaps the error page of a download"},
    {0, "{", "JSON text; ONNX models are binary"},
}};

/// A walk over the outermost fields of a protobuf message.
class FieldWalk {
 public:
  explicit FieldWalk(Span<const char> bytes) : bytes_(bytes) {}

  /// Where and why the walk stops; empty when it reaches the end.
  std::string Run() {
    while (at_ < bytes_.size()) {
      const size_t start = at_;
      const std::string problem = Field(start);
      if (!problem.empty()) return StrCat("at byte ", start, " ", problem);
    }
    return {};
  }

 private:
  std::string Field(size_t start) {
    const std::optional<uint64_t> tag = Varint();
    if (!tag) return Truncated("a field's tag");
    const uint64_t field = *tag >> 3;
    if (field == 0 || field > 0x1fffffff) return StrCat("there is no valid field tag (value ", *tag, ")");
    switch (*tag & 7) {
      case 0:
        return Varint() ? "" : Truncated(StrCat("the number in field ", field));
      case 1:
        return Skip(8, field, start);
      case 5:
        return Skip(4, field, start);
      case 2: {
        const std::optional<uint64_t> length = Varint();
        return length ? Skip(*length, field, start) : Truncated(StrCat("the length of field ", field));
      }
      default:
        return StrCat("field ", field, " has the wire type ", *tag & 7, ", which no ONNX field has");
    }
  }

  std::string Skip(uint64_t length, uint64_t field, size_t start) {
    const uint64_t left = bytes_.size() - at_;
    if (length > left) {
      return StrCat("field ", field, field == 7 ? " (the graph)" : "", " is said to have ", length, " bytes, but only ",
                    left, " follow: the data is truncated", start == 0 ? " or no ONNX model" : "");
    }
    at_ += static_cast<size_t>(length);
    return {};
  }

  std::string Truncated(const std::string& what) const {
    return StrCat(what, at_ >= bytes_.size() ? " is cut off: the data is truncated" : " is no valid number");
  }

  std::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && at_ < bytes_.size(); shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  Span<const char> bytes_;
  size_t at_ = 0;
};

}  // namespace

std::string DiagnoseModelBytes(Span<const char> bytes) {
  if (bytes.empty()) return "it is empty";
  const std::string_view text(bytes.data(), bytes.size());
  for (const Signature& signature : kSignatures) {
    if (text.size() > signature.offset && text.substr(signature.offset, signature.bytes.size()) == signature.bytes) {
      return StrCat("it looks like ", signature.meaning);
    }
  }
  std::string problem = FieldWalk(bytes).Run();
  if (!problem.empty()) return problem;
  return "a field inside it is malformed, or messages are nested deeper than protobuf's limit of 100";
}

}  // namespace onnxforge::io
