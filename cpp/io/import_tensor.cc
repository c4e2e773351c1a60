#include "import_tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/base/packed.h"

#include "import_type.h"

namespace onnxforge::io {
namespace {

constexpr bool IsLittleEndian() {
#if defined(__BYTE_ORDER__)
  return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
#else
  return true;  // every system of the compilers that do not say
#endif
}

/// Numbers with an order of bytes: complex elements are two of them.
size_t WordSize(DType dtype) {
  if (dtype == DType::kComplex64 || dtype == DType::kComplex128) return ElementSize(dtype) / 2;
  return ElementSize(dtype);
}

void SwapBytes(unsigned char* data, size_t bytes, size_t word) {
  for (size_t i = 0; i + word <= bytes; i += word) std::reverse(data + i, data + i + word);
}

Shape ImportShape(const google::protobuf::RepeatedField<int64_t>& dims) {
  Shape shape;
  bool empty = false;
  int64_t elements = 1;
  for (int i = 0; i < dims.size(); ++i) {
    const int64_t extent = dims.Get(i);
    Require(extent >= 0, ErrorCode::kInvalidModel, "extent ", i, " of its shape is ", extent);
    empty = empty || extent == 0;
    // 16 bytes is the largest element, so the size in bytes is countable too.
    Require(empty || elements <= std::numeric_limits<int64_t>::max() / 16 / extent, ErrorCode::kInvalidModel,
            "its shape has more elements than can be counted (extent ", i, " is ", extent, ")");
    if (!empty) elements *= extent;
    shape.Append(extent);
  }
  return shape;
}

/// One tensor on its way in: the shape and type, settled once, and a step for each place data can be in.
class Import {
 public:
  Import(const onnx::TensorProto& proto, const TensorSource& source) : proto_(proto), source_(source) {
    dtype_ = ImportDType(proto.data_type());
    Require(!proto.has_segment(), ErrorCode::kUnsupported, "it is one segment of a tensor stored in pieces");
    shape_ = ImportShape(proto.dims());
    elements_ = shape_.elements();
  }

  Tensor Run() {
    if (IsExternal(proto_)) return External();
    if (dtype_ == DType::kString) return Strings();
    if (proto_.has_raw_data() && (!proto_.raw_data().empty() || NoTypedData())) return Raw();
    return Typed();
  }

 private:
  Tensor External() {
    Require(dtype_ != DType::kString, ErrorCode::kInvalidModel, "strings cannot be external data");
    const ExternalBytes bytes = source_.external->Find(proto_, PackedBytes(dtype_, elements_));
    return FromPacked(bytes.data, bytes.owner);
  }

  Tensor Strings() {
    RequireCount("string_data", proto_.string_data_size(), elements_);
    Tensor out = Tensor::Allocate(DType::kString, shape_);
    std::copy(proto_.string_data().begin(), proto_.string_data().end(), out.data<std::string>());
    return out;
  }

  bool NoTypedData() const {
    return proto_.float_data().empty() && proto_.int32_data().empty() && proto_.int64_data().empty() &&
           proto_.double_data().empty() && proto_.uint64_data().empty();
  }

  Tensor Raw() {
    const std::string& raw = proto_.raw_data();
    const size_t expected = PackedBytes(dtype_, elements_);
    Require(raw.size() == expected, ErrorCode::kInvalidModel, "a ", dtype_, " tensor of shape ", shape_, " has ",
            expected, " bytes, but raw_data has ", raw.size());
    return FromPacked(reinterpret_cast<const unsigned char*>(raw.data()), source_.owner);
  }

  /// From the bytes of raw_data, `owner` keeping them.
  Tensor FromPacked(const unsigned char* data, const std::shared_ptr<const void>& owner) {
    if (elements_ == 0) return Tensor::Allocate(dtype_, shape_);
    if (PackedBits(dtype_) < 8) return Unpack(data);
    if (dtype_ == DType::kBool) return Bools(data, owner);
    const size_t word = WordSize(dtype_);
    const bool aligned = reinterpret_cast<uintptr_t>(data) % word == 0;
    if (aligned && (word == 1 || IsLittleEndian())) return View(data, owner);
    Tensor out = Tensor::Allocate(dtype_, shape_);
    std::memcpy(out.raw(), data, out.bytes());
    if (!IsLittleEndian()) SwapBytes(static_cast<unsigned char*>(out.raw()), out.bytes(), word);
    return out;
  }

  Tensor View(const void* data, const std::shared_ptr<const void>& owner) {
    return Tensor::View(dtype_, shape_, std::const_pointer_cast<void>(owner), const_cast<void*>(data));
  }

  Tensor Bools(const unsigned char* data, const std::shared_ptr<const void>& owner) {
    const unsigned char* end = data + elements_;
    // C++ has no bool but 0 and 1.
    if (std::all_of(data, end, [](unsigned char byte) { return byte <= 1; })) return View(data, owner);
    Tensor out = Tensor::Allocate(DType::kBool, shape_);
    std::transform(data, end, out.data<bool>(), [](unsigned char byte) { return byte != 0; });
    return out;
  }

  Tensor Unpack(const unsigned char* data) {
    if (PackedBits(dtype_) == 6) RequireNoBitsBehind(data);
    Tensor out = Tensor::Allocate(dtype_, shape_);
    UnpackElements(dtype_, data, elements_, out.raw());
    return out;
  }

  /// The standard's checker wants it of these types only, and sees no data that is elsewhere.
  void RequireNoBitsBehind(const unsigned char* data) const {
    const auto used = static_cast<unsigned>(elements_ % 4 * 6 % 8);  // of the last byte; 0: all
    if (used == 0) return;
    const unsigned last = data[PackedBytes(dtype_, elements_) - 1];
    Require(last >> used == 0, ErrorCode::kInvalidModel, "the ", 8 - used, " bits behind the last element of a ",
            dtype_, " tensor of shape ", shape_, " must be 0, but the last byte is ", last);
  }

  Tensor Typed() {
    switch (dtype_) {
      case DType::kFloat32:
        return Same("float_data", proto_.float_data(), 1);
      case DType::kComplex64:
        return Same("float_data", proto_.float_data(), 2);
      case DType::kFloat64:
        return Same("double_data", proto_.double_data(), 1);
      case DType::kComplex128:
        return Same("double_data", proto_.double_data(), 2);
      case DType::kInt64:
        return Same("int64_data", proto_.int64_data(), 1);
      case DType::kUInt64:
        return Same("uint64_data", proto_.uint64_data(), 1);
      case DType::kInt32:
        return Same("int32_data", proto_.int32_data(), 1);
      case DType::kUInt32:
        return Narrow<uint32_t>("uint64_data", proto_.uint64_data());
      case DType::kInt16:
      case DType::kUInt16:
      case DType::kFloat16:
      case DType::kBFloat16:
        return Narrow<uint16_t>("int32_data", proto_.int32_data());
      case DType::kBool:
        return NarrowBool();
      case DType::kFloat6E2M3:
      case DType::kFloat6E3M2:
        return SixBits();
      default:
        return PackedBits(dtype_) < 8 ? UnpackInt32() : Narrow<uint8_t>("int32_data", proto_.int32_data());
    }
  }

  /// A field whose elements have the tensor's own layout, `words` of them to one element.
  template <typename T>
  Tensor Same(const char* field, const google::protobuf::RepeatedField<T>& data, int64_t words) {
    RequireCount(field, data.size(), elements_ * words);
    return elements_ == 0 ? Tensor::Allocate(dtype_, shape_) : View(data.data(), source_.owner);
  }

  /// A field of wider integers, of which the low bits are the element's.
  template <typename Bits, typename T>
  Tensor Narrow(const char* field, const google::protobuf::RepeatedField<T>& data) {
    RequireCount(field, data.size(), elements_);
    Tensor out = Tensor::Allocate(dtype_, shape_);
    std::transform(data.begin(), data.end(), static_cast<Bits*>(out.raw()), [](T v) { return static_cast<Bits>(v); });
    return out;
  }

  Tensor NarrowBool() {
    RequireCount("int32_data", proto_.int32_data_size(), elements_);
    Tensor out = Tensor::Allocate(dtype_, shape_);
    std::transform(proto_.int32_data().begin(), proto_.int32_data().end(), out.data<bool>(),
                   [](int32_t v) { return v != 0; });
    return out;
  }

  /// Packed bytes in int32_data: writers put one byte, or four, into each entry.
  Tensor UnpackInt32() {
    const auto& data = proto_.int32_data();
    const size_t bytes = PackedBytes(dtype_, elements_);
    const auto entries = static_cast<size_t>(data.size());
    Require(entries == bytes || entries == (bytes + 3) / 4, ErrorCode::kInvalidModel, "a ", dtype_, " tensor of shape ",
            shape_, " needs ", bytes, " packed bytes, but int32_data has ", entries, " entries");
    const size_t in_each = entries == bytes ? 1 : 4;
    std::vector<unsigned char> packed(bytes);
    for (size_t i = 0; i < bytes; ++i) {
      const auto entry = static_cast<uint32_t>(data.Get(static_cast<int>(i / in_each)));
      packed[i] = static_cast<unsigned char>(entry >> (i % in_each * 8));
    }
    return Unpack(packed.data());
  }

  /// Each element has an entry of its own, unlike those of the other types below a byte.
  Tensor SixBits() {
    const auto& data = proto_.int32_data();
    for (int i = 0; i < data.size(); ++i) {
      Require(data.Get(i) >= 0 && data.Get(i) < 64, ErrorCode::kInvalidModel, "entry ", i, " of int32_data is ",
              data.Get(i), ", but a ", dtype_, " is six bits, and the others must be 0");
    }
    return Narrow<uint8_t>("int32_data", data);
  }

  void RequireCount(const char* field, int has, int64_t needs) const {
    Require(has == needs, ErrorCode::kInvalidModel, "a ", dtype_, " tensor of shape ", shape_, " needs ", needs,
            " entries in ", field, ", but there are ", has,
            NoTypedData() && proto_.string_data().empty() ? " (and no data elsewhere)" : "");
  }

  const onnx::TensorProto& proto_;
  const TensorSource& source_;
  DType dtype_;
  Shape shape_;
  int64_t elements_ = 0;
};

std::string Describe(const onnx::TensorProto& proto) {
  return proto.name().empty() ? std::string("in a nameless tensor") : StrCat("in tensor '", Utf8(proto.name()), "'");
}

}  // namespace

DType ImportDType(int32_t data_type) {
  const auto dtype = static_cast<DType>(data_type);
  Require(data_type > 0 && data_type < 256 && IsValid(dtype), ErrorCode::kInvalidModel, "data_type ", data_type,
          " is not one of the standard's");
  return dtype;
}

Tensor ImportTensor(const onnx::TensorProto& proto, const TensorSource& source) {
  try {
    return Import(proto, source).Run();
  } catch (Error& error) {
    error.AddContext(Describe(proto));
    throw;
  }
}

SparseTensor ImportSparseTensor(const onnx::SparseTensorProto& proto, const TensorSource& source) {
  SparseTensor out;
  out.values = ImportTensor(proto.values(), source);
  out.indices = ImportTensor(proto.indices(), source);
  try {
    out.shape = ImportShape(proto.dims());
    const int64_t count = out.values.elements();
    const auto rank = static_cast<int64_t>(out.shape.rank());
    Require(out.values.rank() == 1, ErrorCode::kInvalidModel, "its values have shape ", out.values.shape());
    const bool linear = out.indices.rank() == 1;
    const bool fits = out.indices.dtype() == DType::kInt64 && (linear || out.indices.rank() == 2) &&
                      out.indices.dim(0) == count && (linear || out.indices.dim(1) == rank);
    Require(fits, ErrorCode::kInvalidModel, "its ", count, " values need int64 indices of shape [", count, "] or [",
            count, ", ", rank, "], but they are ", out.indices.dtype(), out.indices.shape());
    const auto* index = out.indices.data<int64_t>();
    for (int64_t i = 0; i < out.indices.elements(); ++i) {
      const int64_t extent = linear ? out.shape.elements() : out.shape[static_cast<size_t>(i % rank)];
      Require(index[i] >= 0 && index[i] < extent, ErrorCode::kInvalidModel, "index ", index[i],
              " is out of range for the shape ", out.shape);
    }
  } catch (Error& error) {
    error.AddContext(StrCat("in sparse tensor '", Utf8(proto.values().name()), "'"));
    throw;
  }
  return out;
}

Tensor Densify(const SparseTensor& sparse, const std::string& name) {
  const int64_t bytes = sparse.shape.elements() * static_cast<int64_t>(ElementSize(sparse.values.dtype()));
  Require(bytes <= std::numeric_limits<int32_t>::max(), ErrorCode::kUnsupported, "sparse tensor '", name, "' of shape ",
          sparse.shape, " would have ", bytes, " bytes when made dense");
  Tensor out = Tensor::Allocate(sparse.values.dtype(), sparse.shape);
  const bool linear = sparse.indices.rank() == 1;
  const Shape strides = RowMajorStrides(sparse.shape);
  const auto* index = sparse.indices.data<int64_t>();
  const auto offset = [&](int64_t i) {
    if (linear) return index[i];
    int64_t at = 0;
    for (size_t axis = 0; axis < strides.rank(); ++axis)
      at += *(index + i * static_cast<int64_t>(strides.rank()) + static_cast<int64_t>(axis)) * strides[axis];
    return at;
  };
  Dispatch<AllTypes>(out.dtype(), "a sparse initialiser", [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = out.data<T>();
    std::fill_n(to, out.elements(), T());
    for (int64_t i = 0; i < sparse.values.elements(); ++i) to[offset(i)] = sparse.values.data<T>()[i];
  });
  return out;
}

size_t RawSize(const onnx::TensorProto& proto) {
  try {
    if (const auto bytes = BytesInOwnFile(proto)) return *bytes;
    const DType dtype = ImportDType(proto.data_type());
    return dtype == DType::kString ? 0 : PackedBytes(dtype, ImportShape(proto.dims()).elements());
  } catch (Error& error) {
    error.AddContext(Describe(proto));
    throw;
  }
}

namespace {

/// Little-endian, packed bytes of a tensor whose data is in typed fields.
std::string Pack(const Tensor& tensor) {
  const auto* from = static_cast<const unsigned char*>(tensor.raw());
  if (PackedBits(tensor.dtype()) >= 8) {
    std::string out(reinterpret_cast<const char*>(from), tensor.bytes());
    if (!IsLittleEndian())
      SwapBytes(reinterpret_cast<unsigned char*>(out.data()), out.size(), WordSize(tensor.dtype()));
    return out;
  }
  std::string out(PackedBytes(tensor.dtype(), tensor.elements()), '\0');
  PackElements(tensor.dtype(), from, tensor.elements(), reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

}  // namespace

RawBytes::RawBytes(const onnx::TensorProto& proto, const ExternalData& external) {
  if (IsExternal(proto)) {
    const ExternalBytes bytes = external.Find(proto, RawSize(proto));
    data_ = bytes.data;
    size_ = bytes.size;
    keep_ = bytes.owner;
  } else if (!proto.raw_data().empty()) {
    data_ = proto.raw_data().data();
    size_ = proto.raw_data().size();
  } else {
    // Outlived by `proto`, so nobody needs to own it for the moment.
    const TensorSource source{std::shared_ptr<const void>(&proto, [](const void*) {}), &external};
    auto packed = std::make_shared<const std::string>(Pack(ImportTensor(proto, source)));
    data_ = packed->data();
    size_ = packed->size();
    keep_ = packed;
  }
}

}  // namespace onnxforge::io
