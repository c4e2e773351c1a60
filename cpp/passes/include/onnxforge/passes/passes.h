#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "onnxforge/ir/graph.h"
#include "onnxforge/kernels/table.h"

namespace onnxforge::passes {

/// What a pass may use to compute with.
struct PassContext {
  Tier tier;
  std::vector<std::string> disabled;  // passes that Optimize() leaves out
};

/// Rewrites a graph (not its bodies: the driver visits those) through ir::Patch; returns whether it changed anything.
using PassFn = bool (*)(ir::Graph& graph, const PassContext& context);

struct Pass {
  std::string_view name;
  PassFn run;
};

/// Every pass in the order in which they run.
const std::vector<Pass>& AllPasses();

/// Fails with kInvalidArgument, listing all passes, for a name that is none's.
void RequirePasses(const std::vector<std::string>& names);

/// Runs AllPasses() over a model and the bodies in it until nothing changes.
void Optimize(ir::Model& model, const PassContext& context);

}  // namespace onnxforge::passes
