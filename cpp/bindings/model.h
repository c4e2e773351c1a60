#pragma once

#include <pybind11/pybind11.h>

namespace onnxforge::bindings {

/// Model: io::ModelFile.
void BindModel(pybind11::module_& module);

}  // namespace onnxforge::bindings
