#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxforge/base/span.h"
#include "onnxforge/base/value.h"
#include "onnxforge/ir/graph.h"
#include "onnxforge/kernels/table.h"

namespace onnxforge::runtime {

struct SessionOptions {
  int threads = 0;  // 0: one per core this process may use
  Tier tier = Tier::Auto();
  bool optimize = true;                      // run the passes
  std::vector<std::string> disabled_passes;  // but these, by name
  ImageDecoder image_decoder;                // empty: the operator ImageDecoder is refused
};

/// A graph input or output, for people and for checking what the caller passes.
struct IoSpec {
  std::string name;
  Type type;
};

/// What one node cost in one run.
struct NodeTiming {
  std::string node;  // its name, or its first output's
  std::string op_type;
  int depth = 0;            // 0: the model's graph, 1: the body of one of its nodes, …
  int64_t start_ns = 0;     // since the run began
  int64_t duration_ns = 0;  // with the bodies it ran
  int64_t output_bytes = 0;
  bool in_arena = false;  // all outputs in planned memory
};

struct Profile {
  int64_t total_ns = 0;
  int64_t arena_bytes = 0;            // of the model's graph; 0 while its shapes are seen for the first time
  int64_t unplanned_allocations = 0;  // memory for values and scratch that no plan had foreseen
  std::vector<NodeTiming> nodes;      // in the order they started, bodies' nodes too
};

/// Thrown out of Session::Run when `cancelled` said so.
class Cancelled : public std::exception {
 public:
  const char* what() const noexcept override { return "the run was cancelled"; }
};

/// Whether a session can run an operator version: there is a kernel, or it runs bodies (If, Loop, Scan, SequenceMap).
bool CanRun(std::string_view domain, std::string_view op_type, int since_version);

/// What SessionOptions::disabled_passes may name, in the order in which they run.
std::vector<std::string> PassNames();

/// A compiled model. Run() may be called from several threads at once.
class Session {
 public:
  /// Compiles: passes, kernels chosen and weights packed, steps and lifetimes laid out.
  static std::unique_ptr<Session> Create(ir::Model model, const SessionOptions& options);
  ~Session();

  const std::vector<IoSpec>& inputs() const;  // without those that have a default (an initialiser)
  const std::vector<IoSpec>& overridable_inputs() const;
  const std::vector<IoSpec>& outputs() const;
  int threads() const;
  const Tier& tier() const;

  using NamedValue = std::pair<std::string, Value>;
  /// Asked between nodes, at most every kPollInterval; true ends the run with Cancelled.
  using CancelFn = std::function<bool()>;
  /// Runs the model. Names, dtypes, ranks and fixed extents of `feeds` are checked (kInvalidArgument, naming what was
  /// expected and what came). `wanted`: names of outputs, all when empty. `profile`: filled when not null. The values
  /// returned own their memory: neither a later run nor the model shares it.
  std::vector<Value> Run(const std::vector<NamedValue>& feeds, const std::vector<std::string>& wanted = {},
                         Profile* profile = nullptr, const CancelFn& cancelled = nullptr) const;

 private:
  class Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace onnxforge::runtime
