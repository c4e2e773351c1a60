#include "dlpack.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <pybind11/stl.h>

#include "onnxforge/base/error.h"
#include "onnxforge/base/packed.h"

#include "values.h"

namespace py = pybind11;

namespace onnxforge::bindings {
namespace {

// The layout that the specification fixes (version 1.1), under its own names.
struct DLDevice {
  int32_t device_type;
  int32_t device_id;
};
struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor* self);
};
struct DLPackVersion {
  uint32_t major;
  uint32_t minor;
};
struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned* self);
  uint64_t flags;
  DLTensor dl_tensor;
};

constexpr int32_t kCpu = 1;
/// Among the flags of a tensor with a version: an element below eight bits has a byte of its own.
constexpr uint64_t kPadded = 4;
/// The first version that has the flag and the types that need it.
constexpr DLPackVersion kVersion{1, 1};
/// What a capsule is called before and after its content is taken.
template <typename Managed>
constexpr const char* kName = "dltensor";
template <>
constexpr const char* kName<DLManagedTensorVersioned> = "dltensor_versioned";
template <typename Managed>
constexpr const char* kUsedName = "used_dltensor";
template <>
constexpr const char* kUsedName<DLManagedTensorVersioned> = "used_dltensor_versioned";

struct TypeRow {
  uint8_t code;
  uint8_t bits;
  DType dtype;
};

constexpr TypeRow kTypes[] = {
    {0, 2, DType::kInt2},
    {0, 4, DType::kInt4},
    {0, 8, DType::kInt8},
    {0, 16, DType::kInt16},
    {0, 32, DType::kInt32},
    {0, 64, DType::kInt64},
    {1, 2, DType::kUInt2},
    {1, 4, DType::kUInt4},
    {1, 8, DType::kUInt8},
    {1, 16, DType::kUInt16},
    {1, 32, DType::kUInt32},
    {1, 64, DType::kUInt64},
    {2, 16, DType::kFloat16},
    {2, 32, DType::kFloat32},
    {2, 64, DType::kFloat64},
    {4, 16, DType::kBFloat16},
    {5, 64, DType::kComplex64},
    {5, 128, DType::kComplex128},
    {6, 8, DType::kBool},
    {10, 8, DType::kFloat8E4M3FN},
    {11, 8, DType::kFloat8E4M3FNUZ},
    {12, 8, DType::kFloat8E5M2},
    {13, 8, DType::kFloat8E5M2FNUZ},
    {14, 8, DType::kFloat8E8M0},
    {15, 6, DType::kFloat6E2M3},
    {16, 6, DType::kFloat6E3M2},
    {17, 4, DType::kFloat4E2M1},
};

DType TypeOf(const DLDataType& type, const std::string& what) {
  for (const TypeRow& row : kTypes) {
    if (row.code == type.code && row.bits == type.bits && type.lanes == 1) return row.dtype;
  }
  Fail(ErrorCode::kUnsupported, what, ": DLPack's element type with code ", int{type.code}, ", ", int{type.bits},
       " bits and ", type.lanes, " lanes is none that is carried here");
}

/// Elements at `strides` (in elements) as dense memory.
void CopyDense(const char* from, const DLTensor& t, size_t size, size_t axis, char*& to) {
  if (axis == static_cast<size_t>(t.ndim)) {
    std::memcpy(to, from, size);
    to += size;
    return;
  }
  for (int64_t i = 0; i < t.shape[axis]; ++i)
    CopyDense(from + i * t.strides[axis] * static_cast<int64_t>(size), t, size, axis + 1, to);
}

bool IsDense(const DLTensor& t) {
  int64_t step = 1;
  for (int32_t axis = t.ndim; axis-- > 0 && t.strides != nullptr;) {
    if (t.shape[axis] != 1 && t.strides[axis] != step) return false;
    step *= t.shape[axis];
  }
  return true;
}

Tensor Unpacked(const DLTensor& t, DType dtype, const Shape& shape, const std::string& what) {
  Require(IsDense(t), ErrorCode::kUnsupported, what, ": packed elements of ", dtype,
          " are read only where they are dense");
  Tensor tensor = Tensor::Allocate(dtype, shape);
  UnpackElements(dtype, static_cast<const unsigned char*>(t.data) + t.byte_offset, tensor.elements(), tensor.raw());
  return tensor;
}

/// `owner` keeps the memory; it is let go where it was copied.
Tensor ToTensor(const DLTensor& t, bool padded, Storage owner, const std::string& what) {
  Require(t.device.device_type == kCpu, ErrorCode::kInvalidArgument, what,
          ": the memory is not the CPU's (DLPack's device type ", t.device.device_type, ")");
  const DType dtype = TypeOf(t.dtype, what);
  const Shape shape(Span<const int64_t>(t.shape, static_cast<size_t>(t.ndim)));
  if (shape.elements() == 0) return Tensor::Allocate(dtype, shape);
  if (PackedBits(dtype) < 8 && !padded) return Unpacked(t, dtype, shape, what);
  char* data = static_cast<char*>(t.data) + t.byte_offset;
  const size_t size = ElementSize(dtype);
  const size_t alignment = size > 8 ? 8 : size;
  if (IsDense(t) && reinterpret_cast<uintptr_t>(data) % alignment == 0)
    return Tensor::View(dtype, shape, std::move(owner), data);
  Tensor copy = Tensor::Allocate(dtype, shape);
  auto* to = static_cast<char*>(copy.raw());
  if (IsDense(t)) {
    std::memcpy(to, data, copy.bytes());
  } else {
    CopyDense(data, t, size, 0, to);
  }
  return copy;
}

bool IsPadded(const DLManagedTensor&) { return false; }
bool IsPadded(const DLManagedTensorVersioned& managed) { return (managed.flags & kPadded) != 0; }

template <typename Managed>
Tensor Consume(const py::object& capsule, const std::string& what) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), kName<Managed>));
  if (managed == nullptr) throw py::error_already_set();
  PyCapsule_SetName(capsule.ptr(), kUsedName<Managed>);
  const Storage owner(managed, [](void* p) {
    auto* tensor = static_cast<Managed*>(p);
    const py::gil_scoped_acquire gil;
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  });
  return ToTensor(managed->dl_tensor, IsPadded(*managed), owner, what);
}

py::object Capsule(py::handle object) {
  try {
    return object.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(kVersion.major, kVersion.minor));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;  // producers from before version 1 do not know the argument
  }
  return object.attr("__dlpack__")();
}

void SetVersion(DLManagedTensor&) {}
void SetVersion(DLManagedTensorVersioned& managed) {
  managed.version = kVersion;
  managed.flags = kPadded;
}

/// What a capsule of ours owns.
template <typename Managed>
struct Exported {
  Managed managed{};
  Tensor tensor;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
};

DLDataType ExportedType(DType dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return {row.code, row.bits, 1};
  }
  Fail(ErrorCode::kUnsupported, "DLPack has no element type for ", DTypeName(dtype), " as it is stored here");
}

template <typename Managed>
py::object MakeCapsule(const Tensor& tensor) {
  auto exported = std::make_unique<Exported<Managed>>();
  exported->tensor = tensor;
  exported->shape.assign(tensor.shape().begin(), tensor.shape().end());
  const Shape strides = RowMajorStrides(tensor.shape());
  exported->strides.assign(strides.begin(), strides.end());
  DLTensor& t = exported->managed.dl_tensor;
  t.data = exported->tensor.raw();
  t.device = {kCpu, 0};
  t.ndim = static_cast<int32_t>(exported->shape.size());
  t.dtype = ExportedType(tensor.dtype());
  t.shape = exported->shape.data();
  t.strides = exported->strides.data();
  SetVersion(exported->managed);
  exported->managed.manager_ctx = exported.get();
  exported->managed.deleter = [](Managed* self) { delete static_cast<Exported<Managed>*>(self->manager_ctx); };
  PyObject* capsule = PyCapsule_New(&exported->managed, kName<Managed>, [](PyObject* object) {
    // One that nobody has taken still owns the tensor.
    if (!PyCapsule_IsValid(object, kName<Managed>)) return;
    auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(object, kName<Managed>));
    managed->deleter(managed);
  });
  if (capsule == nullptr) throw py::error_already_set();
  static_cast<void>(exported.release());  // it is the capsule's now
  return py::reinterpret_steal<py::object>(capsule);
}

/// `max_version`: the newest that the consumer says it knows.
py::object ToCapsule(const Tensor& tensor, const std::optional<std::pair<uint32_t, uint32_t>>& max_version) {
  // Only with a version can be said that small elements are not packed.
  if (PackedBits(tensor.dtype()) >= 8) return MakeCapsule<DLManagedTensor>(tensor);
  const bool known = max_version >= std::make_pair(kVersion.major, kVersion.minor);
  if (!known) {
    const std::string text = "elements of " + std::string(DTypeName(tensor.dtype())) +
                             " go out one byte each, for which the consumer must know DLPack 1.1: max_version=(1, 1)";
    throw py::buffer_error(text);
  }
  return MakeCapsule<DLManagedTensorVersioned>(tensor);
}

}  // namespace

bool HasDlpack(py::handle object) {
  return py::hasattr(object, "__dlpack__") && py::hasattr(object, "__dlpack_device__");
}

Tensor FromDlpack(py::handle object, const std::string& what) {
  const auto device = py::cast<std::pair<int, int>>(object.attr("__dlpack_device__")());
  Require(device.first == kCpu, ErrorCode::kInvalidArgument, what,
          ": the memory is not the CPU's (DLPack's device type ", device.first, ")");
  py::object capsule;
  try {
    capsule = Capsule(object);
  } catch (const py::error_already_set& error) {
    Fail(ErrorCode::kInvalidArgument, what, ": __dlpack__ failed: ", py::cast<std::string>(py::str(error.value())));
  }
  if (PyCapsule_IsValid(capsule.ptr(), kName<DLManagedTensorVersioned>) != 0)
    return Consume<DLManagedTensorVersioned>(capsule, what);
  Require(PyCapsule_IsValid(capsule.ptr(), kName<DLManagedTensor>) != 0, ErrorCode::kInvalidArgument, what,
          ": __dlpack__ did not return a capsule that is still unused");
  return Consume<DLManagedTensor>(capsule, what);
}

void BindDlpack(py::module_& module) {
  py::class_<Tensor>(module, "DlpackTensor")
      .def(py::init([](const py::object& array) {
             Tensor tensor = ToValue(array, Type::Tensor(DType::kUndefined), "the array").tensor();
             ExportedType(tensor.dtype());
             return tensor;
           }),
           py::arg("array"))
      .def(
          "__dlpack__",
          [](const Tensor& tensor, const py::object&, const std::optional<std::pair<uint32_t, uint32_t>>& max_version,
             const py::object&, const std::optional<bool>& copy) {
            return ToCapsule(copy.value_or(false) ? tensor.Clone() : tensor, max_version);
          },
          py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
          py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack_device__", [](const Tensor&) { return py::make_tuple(kCpu, 0); });
}

}  // namespace onnxforge::bindings
