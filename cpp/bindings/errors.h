#pragma once

#include <pybind11/pybind11.h>

namespace onnxforge::bindings {

/// Makes the exception classes, puts them into the module, and has every Error raised as the class of its code.
void BindErrors(pybind11::module_& module);

}  // namespace onnxforge::bindings
