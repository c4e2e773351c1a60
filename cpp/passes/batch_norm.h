#pragma once

#include <optional>
#include <vector>

#include "onnxforge/ir/graph.h"

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

}  // namespace onnxforge::passes
