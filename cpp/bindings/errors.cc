#include "errors.h"

#include <exception>
#include <string>

#include "onnxforge/base/error.h"

namespace py = pybind11;

namespace onnxforge::bindings {
namespace {

/// The classes live as long as the interpreter: a translator may be asked until the very end.
struct Classes {
  PyObject* base = nullptr;
  PyObject* invalid_model = nullptr;
  PyObject* invalid_argument = nullptr;
  PyObject* unsupported = nullptr;
  PyObject* io = nullptr;
  PyObject* internal = nullptr;
};
Classes classes;

PyObject* NewClass(py::module_& module, const char* name, const char* doc, py::handle bases) {
  const std::string full = std::string("onnxforge.") + name;
  PyObject* made = PyErr_NewExceptionWithDoc(full.c_str(), doc, bases.ptr(), nullptr);
  if (made == nullptr) throw py::error_already_set();
  module.add_object(name, py::reinterpret_borrow<py::object>(made));
  return made;
}

PyObject* ClassOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidModel:
      return classes.invalid_model;
    case ErrorCode::kInvalidArgument:
      return classes.invalid_argument;
    case ErrorCode::kUnsupported:
      return classes.unsupported;
    case ErrorCode::kIo:
      return classes.io;
    case ErrorCode::kInternal:
      break;
  }
  return classes.internal;
}

}  // namespace

void BindErrors(py::module_& module) {
  const auto with_base = [](PyObject* builtin) {
    return py::make_tuple(py::handle(classes.base), py::handle(builtin));
  };
  classes.base = NewClass(module, "Error", "What every error of onnxforge is.", py::handle(PyExc_Exception));
  classes.invalid_model =
      NewClass(module, "InvalidModelError", "The model breaks the ONNX standard or contradicts itself.",
               with_base(PyExc_ValueError));
  classes.invalid_argument = NewClass(module, "InvalidArgumentError",
                                      "A wrong name, dtype, shape or option was passed.", with_base(PyExc_ValueError));
  classes.unsupported = NewClass(module, "UnsupportedError", "Valid, but this build has no way to do it.",
                                 with_base(PyExc_NotImplementedError));
  classes.io = NewClass(module, "ModelIOError", "A file could not be read or written.", with_base(PyExc_OSError));
  classes.internal =
      NewClass(module, "InternalError", "A bug in onnxforge; please report it.", with_base(PyExc_RuntimeError));
  // NOLINTNEXTLINE(performance-unnecessary-value-param): pybind11 calls it with a pointer by value
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      PyErr_SetString(ClassOf(error.code()), error.what());
    }
  });
}

}  // namespace onnxforge::bindings
