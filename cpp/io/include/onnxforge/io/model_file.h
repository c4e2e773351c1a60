#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnxforge/base/span.h"
#include "onnxforge/ir/graph.h"

namespace onnxforge::io {

/// Says whether the engine has a kernel for an operator version; decides which function bodies are expanded.
using HasKernelFn = std::function<bool(std::string_view domain, std::string_view op_type, int since_version)>;

struct SaveOptions {
  /// Tensors of at least this many bytes go to `<file name>.data` beside the model; 0 keeps everything in the model
  /// file.
  size_t external_data_threshold = 0;
};

/// Counts and names for people: what `onnxforge info` prints.
struct Summary {
  struct Io {
    std::string name;
    Type type;
  };
  int64_t ir_version = 0;
  std::string producer;
  std::vector<std::pair<std::string, int64_t>> opsets;
  std::vector<Io> inputs;  // without those that are initialisers
  std::vector<Io> outputs;
  std::vector<std::pair<std::string, int64_t>>
      operators;  // "domain::Op" (or "Op") → how often, bodies included, most frequent first
  int64_t nodes = 0;
  int64_t parameters = 0;  // elements of all initialisers
  int64_t parameter_bytes = 0;
};

/// An ONNX model as it stands in its file. Immutable: what changes it returns another one. Small tensors share their
/// data with the message; large ones are read from the model's file when they are asked for, which fails with kIo once
/// that file was cut short; external data is memory-mapped read-only.
class ModelFile {
 public:
  /// Fails with kIo (cannot read) or kInvalidModel (not a model: says at which byte and why as far as is known).
  static ModelFile FromPath(const std::string& path);
  /// `base_dir`: where external data is looked for; empty when there is none.
  static ModelFile FromBytes(Span<const char> bytes, const std::string& base_dir = "");

  /// ONNX's checker, and ours for what it lets through. `full` also runs strict shape inference. Fails with
  /// kInvalidModel.
  void Check(bool full) const;
  /// ONNX's shape inference. `strict` fails on a contradiction; otherwise what can be inferred is kept.
  ModelFile InferShapes(bool strict, bool data_propagation) const;
  /// ONNX's version converter.
  ModelFile ConvertVersion(int64_t target_opset) const;
  /// Writes to a temporary file in the same folder and renames it: an old file is whole until the new one is.
  void Save(const std::string& path, const SaveOptions& options) const;
  std::string Serialize() const;
  Summary Summarize() const;

  /// The graph a session is built from: local functions and operators without a kernel expanded to their function
  /// bodies, shapes inferred, initialisers that inputs shadow resolved, bodies' captures made explicit. An operator
  /// that has neither kernel nor body is kUnsupported, naming operator, domain, version, node and the model's opset.
  ir::Model ToIr(const HasKernelFn& has_kernel) const;

 private:
  class Impl;
  explicit ModelFile(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

/// One row of the ONNX schema registry, or an operator of com.microsoft that has a body here.
struct SchemaRow {
  std::string domain;
  std::string op_type;
  int since_version = 0;
  bool deprecated = false;
  bool has_function_body = false;  // also the context-dependent kind, and Gradient, which is written out
};

/// Every operator version of every domain, sorted: what the coverage table is made from. Kernels know of more.
std::vector<SchemaRow> AllSchemas();

/// The version of ONNX that is linked in, and of protobuf: "1.23.2", "3.21.12".
std::string OnnxVersion();
std::string ProtobufVersion();

/// The same as marks of the binary (onnxforge/base/component_mark.h); protobuf's version as its headers' number.
const char* OnnxMark();
const char* ProtobufMark();
/// abseil's, or "" where protobuf has none inside.
const char* AbseilMark();

}  // namespace onnxforge::io
