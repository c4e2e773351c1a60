#pragma once

#include <pybind11/pybind11.h>

namespace onnxforge::bindings {

/// Session: runtime::Session, made from a Model.
void BindSession(pybind11::module_& module);

}  // namespace onnxforge::bindings
