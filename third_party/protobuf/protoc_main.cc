// protoc with two languages, C++ and Python (with its .pyi stubs): all that ONNX is generated in.
// Leaving the others out saves a third of protobuf's build. Plugins work as in upstream's protoc.
#include <google/protobuf/compiler/command_line_interface.h>
#include <google/protobuf/compiler/cpp/cpp_generator.h>
#include <google/protobuf/compiler/python/python_generator.h>
#if __has_include(<google/protobuf/compiler/python/pyi_generator.h>)
#include <google/protobuf/compiler/python/pyi_generator.h>
#else
#include <google/protobuf/compiler/python/python_pyi_generator.h>
#endif

int main(int argc, char* argv[]) {
  namespace compiler = google::protobuf::compiler;
  compiler::cpp::CppGenerator cpp;
  compiler::python::Generator python;
  compiler::python::PyiGenerator stubs;

  compiler::CommandLineInterface command_line;
  command_line.AllowPlugins("protoc-");
  command_line.RegisterGenerator("--cpp_out", "--cpp_opt", &cpp, "Generate C++ header and source.");
  command_line.RegisterGenerator("--python_out", "--python_opt", &python,
                                 "Generate Python source file.");
  command_line.RegisterGenerator("--pyi_out", &stubs, "Generate Python type stubs.");
  return command_line.Run(argc, argv);
}
