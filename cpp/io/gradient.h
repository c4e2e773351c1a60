#pragma once

#include <string>
#include <vector>

#include "onnx_headers.h"

namespace onnxforge::io {

/// A node and the version of ai.onnx that it is written in.
struct PlacedNode {
  onnx::NodeProto node;
  int opset = 0;
};

/// Whether a graph (not its bodies) has a node of ai.onnx.preview.training.Gradient.
bool HasGradient(const onnx::GraphProto& graph);

/// The nodes of a graph with every Gradient replaced by the nodes that compute it, by reverse accumulation: a gradient
/// of a gradient is that of those nodes. `opset`: the graph's own, of ai.onnx. Fails with kUnsupported, naming the
/// operator and the node, where a value depends on what is asked for through an operator without a rule.
std::vector<PlacedNode> ExpandGradients(const onnx::GraphProto& graph, int opset);

}  // namespace onnxforge::io
