#pragma once

#include <optional>
#include <vector>

#include "onnxforge/ir/graph.h"
#include "onnxforge/passes/passes.h"

namespace onnxforge::passes {

/// x · scale + shift, per channel.
struct ChannelAffine {
  std::vector<double> scale;
  std::vector<double> shift;
};

/// What a BatchNormalization with given, constant statistics does; nothing where it is training, where its parameters
/// are not constant, or where a factor is not finite: such a node keeps giving what it gave.
std::optional<ChannelAffine> AffineOf(const ir::Graph& graph, const ir::Node& node);

/// A per-channel parameter, [channels] floating-point numbers; empty when it is anything else.
std::vector<double> ChannelNumbers(const Tensor& tensor, int64_t channels);

/// `numbers`, [n], as a tensor of float32 or float64.
Tensor FromDoubles(DType dtype, const std::vector<double>& numbers);

/// Input 1 of a node, constant weights of float32 or float64, [n, …], row i times scale[i]; in the memory of the
/// weights where nobody else has them. The node must then go.
Tensor ScaledWeights(const PassContext& context, const ir::Graph& graph, const ir::Node& node,
                     const std::vector<double>& scale);

}  // namespace onnxforge::passes
