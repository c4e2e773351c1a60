#include "model.h"

#include <string>
#include <string_view>
#include <utility>

#include <pybind11/stl.h>

#include "onnxforge/io/model_file.h"

#include "values.h"

namespace py = pybind11;

namespace onnxforge::bindings {
namespace {

using io::ModelFile;
using ReleaseGil = py::call_guard<py::gil_scoped_release>;

ModelFile FromBytes(const py::bytes& data, const std::string& base_dir) {
  const std::string_view view = data;
  const py::gil_scoped_release release;
  return ModelFile::FromBytes({view.data(), view.size()}, base_dir);
}

py::bytes Serialize(const ModelFile& model) {
  std::string bytes;
  {
    const py::gil_scoped_release release;
    bytes = model.Serialize();
  }
  return py::bytes(bytes);
}

void Save(const ModelFile& model, const std::string& path, size_t external_data_threshold) {
  io::SaveOptions options;
  options.external_data_threshold = external_data_threshold;
  model.Save(path, options);
}

py::list DescribeIo(const std::vector<io::Summary::Io>& ios) {
  py::list list;
  for (const io::Summary::Io& one : ios) {
    py::dict type = DescribeType(one.type);
    type["name"] = one.name;
    list.append(std::move(type));
  }
  return list;
}

py::dict Summarize(const ModelFile& model) {
  io::Summary summary;
  {
    const py::gil_scoped_release release;
    summary = model.Summarize();
  }
  py::dict result;
  result["ir_version"] = summary.ir_version;
  result["producer"] = summary.producer;
  result["opsets"] = summary.opsets;
  result["inputs"] = DescribeIo(summary.inputs);
  result["outputs"] = DescribeIo(summary.outputs);
  result["operators"] = summary.operators;
  result["nodes"] = summary.nodes;
  result["parameters"] = summary.parameters;
  result["parameter_bytes"] = summary.parameter_bytes;
  return result;
}

}  // namespace

void BindModel(py::module_& module) {
  py::class_<ModelFile>(module, "Model")
      .def_static("from_path", &ModelFile::FromPath, py::arg("path"), ReleaseGil())
      .def_static("from_bytes", &FromBytes, py::arg("data"), py::arg("base_dir"))
      .def("check", &ModelFile::Check, py::arg("full"), ReleaseGil())
      .def("infer_shapes", &ModelFile::InferShapes, py::arg("strict"), py::arg("data_propagation"), ReleaseGil())
      .def("convert_version", &ModelFile::ConvertVersion, py::arg("target_opset"), ReleaseGil())
      .def("save", &Save, py::arg("path"), py::arg("external_data_threshold"), ReleaseGil())
      .def("serialize", &Serialize)
      .def("summarize", &Summarize);
}

}  // namespace onnxforge::bindings
