#pragma once

#include <string>

#include <pybind11/pybind11.h>

#include "onnxforge/base/type.h"
#include "onnxforge/base/value.h"

namespace onnxforge::bindings {

/// A Python object as a value of type `expected`; `what` names it in errors.
///   tensor    NumPy array (not copied when it is C-contiguous, aligned and of native byte order), or anything
///             numpy.asarray takes, or whose memory DLPack hands out; numbers and lists of them become `expected`'s
///             dtype when no kind of number is lost
///   sequence  list or tuple · map  dict · optional  None or the value · sparse tensor  (values, indices, shape)
Value ToValue(pybind11::handle object, const Type& expected, const std::string& what);

/// The inverse. Arrays share the value's memory and keep it alive; strings are arrays of str objects.
pybind11::object FromValue(const Value& value);

/// {"kind", "dtype", "shape", "element", "text"}; unknown parts are None.
pybind11::dict DescribeType(const Type& type);

}  // namespace onnxforge::bindings
