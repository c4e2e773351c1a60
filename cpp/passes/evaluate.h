#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "onnxforge/base/value.h"
#include "onnxforge/ir/graph.h"
#include "onnxforge/passes/passes.h"

namespace onnxforge::passes {

/// Runs a node on constants (undefined: an input left out), with at most `limit` bytes of outputs. `used`: by output.
/// Fails as the node does, and with kUnsupported where there is no kernel or the limit is exceeded.
std::vector<Value> Evaluate(const PassContext& context, const ir::Node& node, const std::vector<Tensor>& inputs,
                            const std::vector<bool>& used, size_t limit);

/// Output 0 of an operator of the default domain. `spent`: an input whose memory may become the output's.
Tensor Evaluate(const PassContext& context, std::string_view op_type, int since_version, const Attributes& attributes,
                const std::vector<Tensor>& inputs, std::optional<size_t> spent = std::nullopt);

}  // namespace onnxforge::passes
