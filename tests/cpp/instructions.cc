// What callgrind counts the instructions of, see tests/python/test_instructions.py.
//
//   instructions create MODEL   a session is made of a model file
//   instructions run MODEL      a session answers, its memory laid out; inputs are of the declared, static shapes
//
// CountedCreate and CountedRun are the functions that collection is toggled at.

#include <cstring>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/io/model_file.h"
#include "onnxforge/runtime/session.h"

#if defined(_MSC_VER)
#define ONNXFORGE_NOINLINE __declspec(noinline)
#else
#define ONNXFORGE_NOINLINE __attribute__((noinline))
#endif

namespace onnxforge {
namespace {

using runtime::Session;
using Feeds = std::vector<Session::NamedValue>;

/// Zeros: what a kernel does must not hang on the values.
Feeds ZerosFor(const Session& session) {
  Feeds feeds;
  for (const runtime::IoSpec& input : session.inputs()) {
    const auto shape = input.type.StaticShape();
    Require(shape.has_value(), ErrorCode::kInvalidArgument, "input '", input.name, "' has no static shape");
    Tensor tensor = Tensor::Allocate(input.type.dtype, *shape);
    std::memset(tensor.raw(), 0, tensor.bytes());
    feeds.emplace_back(input.name, Value(std::move(tensor)));
  }
  return feeds;
}

}  // namespace

ONNXFORGE_NOINLINE std::unique_ptr<Session> CountedCreate(const std::string& path) {
  runtime::SessionOptions options;
  options.threads = 1;
  return Session::Create(io::ModelFile::FromPath(path).ToIr(runtime::CanRun), options);
}

ONNXFORGE_NOINLINE std::vector<Value> CountedRun(const Session& session, const Feeds& feeds) {
  return session.Run(feeds);
}

}  // namespace onnxforge

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() != 2 || (arguments[0] != "create" && arguments[0] != "run")) {
      std::cerr << "usage: instructions create|run MODEL\n";
      return 2;
    }
    const auto session = onnxforge::CountedCreate(arguments[1]);
    if (arguments[0] == "create") return 0;
    const auto feeds = onnxforge::ZerosFor(*session);
    for (int warmup = 0; warmup < 2; ++warmup) session->Run(feeds);
    onnxforge::CountedRun(*session, feeds);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
