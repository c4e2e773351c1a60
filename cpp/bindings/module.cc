// onnxforge._core: translation between Python and the engine. What it translates to is the engine's own headers; what
// people use is the façade in python/onnxforge.

#include <string>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "onnxforge/base/component_mark.h"
#include "onnxforge/io/model_file.h"
#include "onnxforge/kernels/table.h"
#include "onnxforge/runtime/session.h"

#include "dlpack.h"
#include "errors.h"
#include "model.h"
#include "session.h"

namespace py = pybind11;

namespace onnxforge::bindings {
namespace {

std::string Compiler() {
#if defined(__clang__)
  return "clang " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__);
#elif defined(__GNUC__)
  return "gcc " + std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__);
#elif defined(_MSC_VER)
  return "msvc " + std::to_string(_MSC_VER);
#else
  return "unknown";
#endif
}

constexpr const char* kPybind11Mark =
    ONNXFORGE_COMPONENT_MARK("pybind11", ONNXFORGE_TEXT(PYBIND11_VERSION_MAJOR) "." ONNXFORGE_TEXT(
                                             PYBIND11_VERSION_MINOR) "." ONNXFORGE_TEXT(PYBIND11_VERSION_PATCH));

py::dict BuildInfo() {
  py::dict info;
  info["onnx"] = io::OnnxVersion();
  info["protobuf"] = io::ProtobufVersion();
  info["compiler"] = Compiler();
  info["tiers"] = AvailableTiers();
  info["marks"] = py::make_tuple(io::OnnxMark(), io::ProtobufMark(), io::AbseilMark(), HighwayMark(), kPybind11Mark);
  info["passes"] = runtime::PassNames();
  return info;
}

/// Every operator version that ONNX's schema registry, our function bodies or our kernels know, and how it is run.
py::list Operators() {
  std::vector<io::SchemaRow> known = io::AllSchemas();
  for (const KernelTable::Entry& entry : ReferenceKernels().entries()) {
    // The standard's domains are complete; others have no registry.
    if (entry.domain != "com.microsoft") continue;
    known.push_back({std::string(entry.domain), std::string(entry.op_type), entry.since_version});
  }
  py::list rows;
  for (const io::SchemaRow& row : known) {
    py::dict dict;
    dict["domain"] = row.domain;
    dict["op_type"] = row.op_type;
    dict["since_version"] = row.since_version;
    dict["deprecated"] = row.deprecated;
    dict["has_function_body"] = row.has_function_body;
    dict["has_kernel"] = runtime::CanRun(row.domain, row.op_type, row.since_version);
    rows.append(std::move(dict));
  }
  return rows;
}

}  // namespace
}  // namespace onnxforge::bindings

PYBIND11_MODULE(_core, module) {
  namespace b = onnxforge::bindings;
  module.doc() = "The engine of onnxforge. Use the package, not this module.";
  b::BindErrors(module);
  b::BindModel(module);
  b::BindSession(module);
  b::BindDlpack(module);
  module.def("build_info", &b::BuildInfo);
  module.def("operators", &b::Operators);
}
