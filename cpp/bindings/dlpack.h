#pragma once

#include <string>

#include <pybind11/pybind11.h>

#include "onnxforge/base/tensor.h"

namespace onnxforge::bindings {

/// Whether an object that is no NumPy array hands out its memory by DLPack (dmlc.github.io/dlpack).
bool HasDlpack(pybind11::handle object);

/// Its memory as a tensor: shared where it is dense and aligned, copied otherwise. Fails with kInvalidArgument, naming
/// `what`, for memory that is not the CPU's, and kUnsupported for an element type that ONNX does not have.
Tensor FromDlpack(pybind11::handle object, const std::string& what);

/// DlpackTensor: an array as a producer of DLPack capsules.
void BindDlpack(pybind11::module_& module);

}  // namespace onnxforge::bindings
