#include "onnxforge/runtime/session.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/stl.h>

#include "onnxforge/io/model_file.h"

#include "session.h"
#include "values.h"

namespace py = pybind11;

namespace onnxforge::bindings {
namespace {

using runtime::IoSpec;
using runtime::Session;

/// A Python callable (bytes, pixel format) -> array or None as the engine's decoder; None is none.
ImageDecoder ToImageDecoder(py::object callable) {
  if (callable.is_none()) return nullptr;
  // Copies of the decoder share the object: only its last owner, and the calls, need the lock.
  const std::shared_ptr<py::object> shared(new py::object(std::move(callable)), [](py::object* object) {
    const py::gil_scoped_acquire gil;
    delete object;
  });
  return [shared](Span<const uint8_t> encoded, std::string_view pixel_format) -> Tensor {
    const py::gil_scoped_acquire gil;
    try {
      const py::bytes bytes(reinterpret_cast<const char*>(encoded.data()), encoded.size());
      const py::object pixels = (*shared)(bytes, std::string(pixel_format));
      return pixels.is_none() ? Tensor() : ToValue(pixels, Type::Tensor(DType::kUInt8), "the decoded image").tensor();
    } catch (const py::error_already_set& error) {
      Fail(ErrorCode::kUnsupported, "the image could not be decoded: ", error.what());
    }
  };
}

std::unique_ptr<Session> Create(const io::ModelFile& model, int threads, const std::string& tier, bool optimize,
                                std::vector<std::string> disabled_passes, py::object image_decoder) {
  runtime::SessionOptions options;
  options.image_decoder = ToImageDecoder(std::move(image_decoder));
  // Not a call_guard: pybind11 would also make the Python object without the lock.
  const py::gil_scoped_release release;
  options.threads = threads;
  options.tier = Tier::FromName(tier);
  options.optimize = optimize;
  options.disabled_passes = std::move(disabled_passes);
  return Session::Create(model.ToIr(runtime::CanRun), options);
}

const IoSpec* FindInput(const Session& session, const std::string& name) {
  for (const auto* specs : {&session.inputs(), &session.overridable_inputs()}) {
    for (const IoSpec& spec : *specs) {
      if (spec.name == name) return &spec;
    }
  }
  return nullptr;
}

std::vector<Session::NamedValue> ToFeeds(const Session& session, const py::dict& inputs) {
  std::vector<Session::NamedValue> feeds;
  for (const auto& [key, object] : inputs) {
    const std::string name = py::cast<std::string>(py::str(key));
    const IoSpec* spec = FindInput(session, name);
    // A name that is no input goes through without its value: Session::Run says which names there are.
    feeds.emplace_back(name, spec == nullptr ? Value() : ToValue(object, spec->type, "input '" + name + "'"));
  }
  return feeds;
}

py::dict DescribeProfile(const runtime::Profile& profile) {
  py::list nodes;
  for (const runtime::NodeTiming& timing : profile.nodes) {
    py::dict node;
    node["node"] = timing.node;
    node["op_type"] = timing.op_type;
    node["depth"] = timing.depth;
    node["start_ns"] = timing.start_ns;
    node["duration_ns"] = timing.duration_ns;
    node["output_bytes"] = timing.output_bytes;
    node["in_arena"] = timing.in_arena;
    nodes.append(std::move(node));
  }
  py::dict result;
  result["total_ns"] = profile.total_ns;
  result["arena_bytes"] = profile.arena_bytes;
  result["unplanned_allocations"] = profile.unplanned_allocations;
  result["nodes"] = std::move(nodes);
  return result;
}

/// (values in the order asked for, the profile or None).
py::tuple Run(const Session& session, const py::dict& inputs, const std::vector<std::string>& outputs, bool profiled) {
  const std::vector<Session::NamedValue> feeds = ToFeeds(session, inputs);
  std::vector<Value> values;
  runtime::Profile profile;
  try {
    const py::gil_scoped_release release;
    values = session.Run(feeds, outputs, profiled ? &profile : nullptr, [] {
      const py::gil_scoped_acquire acquire;
      return PyErr_CheckSignals() != 0;
    });
  } catch (const runtime::Cancelled&) {
    throw py::error_already_set();  // the signal handler's exception, mostly KeyboardInterrupt
  }
  py::list result;
  for (Value& value : values) result.append(FromValue(value));
  return py::make_tuple(std::move(result), profiled ? py::object(DescribeProfile(profile)) : py::object(py::none()));
}

py::list DescribeSpecs(const std::vector<IoSpec>& specs) {
  py::list list;
  for (const IoSpec& spec : specs) {
    py::dict type = DescribeType(spec.type);
    type["name"] = spec.name;
    list.append(std::move(type));
  }
  return list;
}

}  // namespace

void BindSession(py::module_& module) {
  py::class_<Session>(module, "Session")
      .def(py::init(&Create), py::arg("model"), py::arg("threads"), py::arg("tier"), py::arg("optimize"),
           py::arg("disabled_passes"), py::arg("image_decoder"))
      .def("inputs", [](const Session& session) { return DescribeSpecs(session.inputs()); })
      .def("overridable_inputs", [](const Session& session) { return DescribeSpecs(session.overridable_inputs()); })
      .def("outputs", [](const Session& session) { return DescribeSpecs(session.outputs()); })
      .def_property_readonly("threads", &Session::threads)
      .def_property_readonly("tier", [](const Session& session) { return session.tier().name(); })
      .def("run", &Run, py::arg("inputs"), py::arg("outputs"), py::arg("profile"));
}

}  // namespace onnxforge::bindings
