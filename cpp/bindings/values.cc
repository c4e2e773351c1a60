#include "values.h"

#include <algorithm>
#include <sstream>
#include <utility>
#include <vector>

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "onnxforge/base/error.h"

#include "dlpack.h"

namespace py = pybind11;

namespace onnxforge::bindings {
namespace {

py::module_ Numpy() { return py::module_::import("numpy"); }

bool IsText(const py::dtype& dtype) {
  const char kind = dtype.kind();
  return kind == 'U' || kind == 'S' || kind == 'O' || kind == 'T';
}

// Types of other packages have higher numbers.
constexpr int kLastOfNumpy = 23;

/// The types that NumPy has by itself and C++ too, with NumPy's kind and the size of an element. To ask for names takes
/// longer than a small model.
struct PlainType {
  DType dtype;
  char kind;
  py::ssize_t bytes;
  py::dtype (*of)();
};

template <typename T>
constexpr PlainType Plain(DType dtype, char kind) {
  return {dtype, kind, sizeof(T), &py::dtype::of<T>};
}

constexpr PlainType kPlainTypes[] = {
    Plain<float>(DType::kFloat32, 'f'),   Plain<double>(DType::kFloat64, 'f'),  Plain<int64_t>(DType::kInt64, 'i'),
    Plain<int32_t>(DType::kInt32, 'i'),   Plain<int16_t>(DType::kInt16, 'i'),   Plain<int8_t>(DType::kInt8, 'i'),
    Plain<uint64_t>(DType::kUInt64, 'u'), Plain<uint32_t>(DType::kUInt32, 'u'), Plain<uint16_t>(DType::kUInt16, 'u'),
    Plain<uint8_t>(DType::kUInt8, 'u'),   Plain<bool>(DType::kBool, 'b'),
};

DType FromNumpy(const py::dtype& dtype) {
  if (IsText(dtype)) return DType::kString;
  for (const PlainType& plain : kPlainTypes) {
    if (dtype.kind() == plain.kind && dtype.itemsize() == plain.bytes && dtype.num() <= kLastOfNumpy)
      return plain.dtype;
  }
  return DTypeFromName(py::cast<std::string>(dtype.attr("name")));
}

bool IsNumpyOwn(DType dtype) {
  return dtype <= DType::kComplex128 && dtype != DType::kString && dtype != DType::kUndefined;
}

py::dtype ToNumpy(DType dtype) {
  for (const PlainType& plain : kPlainTypes) {
    if (plain.dtype == dtype) return plain.of();
  }
  const std::string name(DTypeName(dtype));
  if (IsNumpyOwn(dtype)) return py::dtype(name);
  try {
    const py::module_ ml_dtypes = py::module_::import("ml_dtypes");
    return py::dtype::from_args(ml_dtypes.attr(name.c_str()));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ImportError) && !error.matches(PyExc_AttributeError)) throw;
  }
  Fail(ErrorCode::kUnsupported, "NumPy has no ", name,
       ": arrays of it need the package ml_dtypes (pip install ml_dtypes)");
}

std::string TypeName(py::handle object) { return py::cast<std::string>(py::type::handle_of(object).attr("__name__")); }

/// UTF-8, with bytes that are not text carried through as Python does for file names.
std::string ToUtf8(py::handle object, const std::string& what) {
  if (PyBytes_Check(object.ptr())) return py::cast<std::string>(object);
  Require(PyUnicode_Check(object.ptr()), ErrorCode::kInvalidArgument, what,
          ": expected an array of str, and one element is a ", TypeName(object));
  const py::object bytes =
      py::reinterpret_steal<py::object>(PyUnicode_AsEncodedString(object.ptr(), "utf-8", "surrogateescape"));
  if (!bytes) throw py::error_already_set();
  return py::cast<std::string>(bytes);
}

py::object FromUtf8(const std::string& text) {
  PyObject* object = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape");
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

Shape ShapeOf(const py::array& array) {
  Shape shape;
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) shape.Append(array.shape(axis));
  return shape;
}

Tensor StringTensor(const py::array& array, const std::string& what) {
  Tensor tensor = Tensor::Allocate(DType::kString, ShapeOf(array));
  const py::list items = array.attr("ravel")().attr("tolist")();
  std::string* out = tensor.data<std::string>();
  for (py::handle item : items) *out++ = ToUtf8(item, what);
  return tensor;
}

bool Usable(const py::array& array) {
  constexpr int kWanted = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  const py::dtype dtype = array.dtype();
  const char order = dtype.byteorder();
  const bool is_native = order == '=' || order == '|' || py::cast<bool>(dtype.attr("isnative"));
  return (array.flags() & kWanted) == kWanted && is_native;
}

/// The array's own memory, which the tensor keeps alive.
Tensor Borrow(const py::array& array, DType dtype) {
  void* data = const_cast<void*>(array.data());
  PyObject* owner = py::object(array).release().ptr();
  Storage storage(data, [owner](void*) {
    const py::gil_scoped_acquire gil;
    Py_DECREF(owner);
  });
  return Tensor::View(dtype, ShapeOf(array), std::move(storage), data);
}

/// Numbers and lists of them have no dtype of their own: they take the one that is asked for, as long as a float does
/// not become an integer on the way.
bool IsLiteral(py::handle object) {
  return py::isinstance<py::list>(object) || py::isinstance<py::tuple>(object) || py::isinstance<py::int_>(object) ||
         py::isinstance<py::float_>(object) || py::isinstance<py::bool_>(object) ||
         py::isinstance(object, Numpy().attr("generic"));
}

py::array AsArray(py::handle object, DType expected, const std::string& what) {
  if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
  py::object made;
  try {
    made = Numpy().attr("asarray")(object);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError) && !error.matches(PyExc_TypeError)) throw;
    Fail(ErrorCode::kInvalidArgument, what, ": a ", TypeName(object),
         " that numpy.asarray cannot convert: ", py::cast<std::string>(py::str(error.value())));
  }
  auto array = py::reinterpret_borrow<py::array>(made);
  if (!IsLiteral(object) || expected == DType::kUndefined || expected == DType::kString) return array;
  if (IsText(array.dtype())) return array;  // the mismatch is reported with both types
  const py::dtype wanted = ToNumpy(expected);
  const bool empty = array.size() == 0;  // [] has no numbers of any kind in it
  if (!empty && !py::cast<bool>(Numpy().attr("can_cast")(array.dtype(), wanted, "same_kind"))) return array;
  return py::reinterpret_borrow<py::array>(array.attr("astype")(wanted));
}

Tensor ToTensor(py::handle object, DType expected, const std::string& what) {
  if (!py::isinstance<py::array>(object) && !py::isinstance(object, Numpy().attr("generic")) && HasDlpack(object))
    return FromDlpack(object, what);
  py::array array = AsArray(object, expected, what);
  const DType dtype = FromNumpy(array.dtype());
  Require(dtype != DType::kUndefined, ErrorCode::kInvalidArgument, what, ": ONNX has no element type for NumPy's ",
          py::cast<std::string>(py::str(array.dtype())));
  if (dtype == DType::kString) {
    // An array of objects that was meant to hold numbers is a mistake of dtype, not of its first element.
    Require(expected == DType::kString || expected == DType::kUndefined || array.dtype().kind() != 'O',
            ErrorCode::kInvalidArgument, what, ": expected ", DTypeName(expected), ", got an array of Python objects");
    return StringTensor(array, what);
  }
  if (!Usable(array)) {
    const py::object native = array.dtype().attr("newbyteorder")("=");
    array = py::reinterpret_borrow<py::array>(
        Numpy().attr("array")(array, py::arg("dtype") = native, py::arg("order") = "C", py::arg("copy") = true));
  }
  return Borrow(array, dtype);
}

py::object FromTensor(const Tensor& tensor) {
  std::vector<py::ssize_t> shape(tensor.shape().begin(), tensor.shape().end());
  if (tensor.dtype() == DType::kString) {
    py::list items;
    const std::string* strings = tensor.data<std::string>();
    for (int64_t i = 0; i < tensor.elements(); ++i) items.append(FromUtf8(strings[i]));
    const py::object flat = Numpy().attr("empty")(tensor.elements(), py::arg("dtype") = "object");
    flat[py::ellipsis()] = items;
    return flat.attr("reshape")(py::tuple(py::cast(shape)));
  }
  const py::dtype dtype = ToNumpy(tensor.dtype());
  if (tensor.elements() == 0) return Numpy().attr("empty")(py::tuple(py::cast(shape)), py::arg("dtype") = dtype);
  auto owner = std::make_unique<Storage>(tensor.storage());
  const py::capsule base(owner.get(), [](void* p) { delete static_cast<Storage*>(p); });
  static_cast<void>(owner.release());  // the capsule owns it now
  return py::array(dtype, std::move(shape), {}, tensor.raw(), base);
}

Value ToSequence(py::handle object, const Type& expected, const std::string& what) {
  Require(py::isinstance<py::list>(object) || py::isinstance<py::tuple>(object), ErrorCode::kInvalidArgument, what,
          ": expected a list (", expected, "), got a ", TypeName(object));
  const Type unknown;
  const Type& element = expected.element == nullptr ? unknown : *expected.element;
  Sequence sequence;
  sequence.element = element.dtype;
  for (py::handle item : object) {
    const std::string which = what + ", element " + std::to_string(sequence.items.size());
    sequence.items.push_back(ToValue(item, element, which));
    if (sequence.items.back().is_tensor()) sequence.element = sequence.items.back().tensor().dtype();
  }
  return sequence;
}

Value ToMap(py::handle object, const Type& expected, const std::string& what) {
  Require(py::isinstance<py::dict>(object), ErrorCode::kInvalidArgument, what, ": expected a dict (", expected,
          "), got a ", TypeName(object));
  const auto dict = py::reinterpret_borrow<py::dict>(object);
  const DType value_type = expected.element == nullptr ? DType::kUndefined : expected.element->dtype;
  return Map{ToTensor(py::list(dict.attr("keys")()), expected.dtype, what + ", keys"),
             ToTensor(py::list(dict.attr("values")()), value_type, what + ", values")};
}

Value ToSparse(py::handle object, const Type& expected, const std::string& what) {
  Require(py::isinstance<py::tuple>(object) && py::len(object) == 3, ErrorCode::kInvalidArgument, what,
          ": expected a tuple (values, indices, shape), got a ", TypeName(object));
  const auto parts = py::reinterpret_borrow<py::tuple>(object);
  const std::vector<int64_t> shape = py::cast<std::vector<int64_t>>(parts[2]);
  return SparseTensor{ToTensor(parts[0], expected.dtype, what + ", values"),
                      ToTensor(parts[1], DType::kInt64, what + ", indices"), Shape(Span<const int64_t>(shape))};
}

}  // namespace

Value ToValue(py::handle object, const Type& expected, const std::string& what) {
  switch (expected.kind) {
    case Type::Kind::kOptional:
      if (object.is_none()) return {};
      return expected.element == nullptr ? ToValue(object, Type{}, what) : ToValue(object, *expected.element, what);
    case Type::Kind::kSequence:
      return ToSequence(object, expected, what);
    case Type::Kind::kMap:
      return ToMap(object, expected, what);
    case Type::Kind::kSparseTensor:
      return ToSparse(object, expected, what);
    case Type::Kind::kTensor:
    case Type::Kind::kUnknown:
      break;
  }
  Require(!object.is_none(), ErrorCode::kInvalidArgument, what, ": expected ", expected, ", got None");
  Require(!py::isinstance<py::dict>(object), ErrorCode::kInvalidArgument, what, ": expected ", expected,
          ", got a dict");
  return ToTensor(object, expected.dtype, what);
}

py::object FromValue(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNone:
      break;
    case Value::Kind::kTensor:
      return FromTensor(value.tensor());
    case Value::Kind::kSequence: {
      py::list list;
      for (const Value& item : value.sequence().items) list.append(FromValue(item));
      return list;
    }
    case Value::Kind::kMap: {
      const py::object keys = FromTensor(value.map().keys).attr("tolist")();
      const py::object values = FromTensor(value.map().values).attr("tolist")();
      return py::dict(py::module_::import("builtins").attr("zip")(keys, values));
    }
    case Value::Kind::kSparseTensor: {
      const SparseTensor& sparse = value.sparse();
      const std::vector<int64_t> shape(sparse.shape.begin(), sparse.shape.end());
      return py::make_tuple(FromTensor(sparse.values), FromTensor(sparse.indices), py::tuple(py::cast(shape)));
    }
  }
  return py::none();
}

py::dict DescribeType(const Type& type) {
  constexpr const char* kKinds[] = {"unknown", "tensor", "sequence", "optional", "map", "sparse_tensor"};
  py::dict result;
  result["kind"] = kKinds[static_cast<size_t>(type.kind)];
  result["dtype"] =
      type.dtype == DType::kUndefined ? py::object(py::none()) : py::str(std::string(DTypeName(type.dtype)));
  result["shape"] = py::none();
  if (type.shape) {
    py::list shape;
    for (const Dim& dim : *type.shape) {
      if (dim.value) {
        shape.append(*dim.value);
      } else if (!dim.symbol.empty()) {
        shape.append(dim.symbol);
      } else {
        shape.append(py::none());
      }
    }
    result["shape"] = py::tuple(shape);
  }
  result["element"] = type.element == nullptr ? py::object(py::none()) : py::object(DescribeType(*type.element));
  std::ostringstream text;
  text << type;
  result["text"] = text.str();
  return result;
}

}  // namespace onnxforge::bindings
