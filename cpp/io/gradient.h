#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "function_body.h"
#include "onnx_headers.h"

namespace onnxforge::io {

/// A node and the version of ai.onnx that it is written in.
struct PlacedNode {
  onnx::NodeProto node;
  int opset = 0;
};

/// The function that defines what a node does, of the model, the standard or ours; empty where there is none. `opset`:
/// that the node is written in.
using FindFunctionBody = std::function<FunctionBody(const onnx::NodeProto& node, int opset)>;

/// Whether a node is of ai.onnx.preview.training.Gradient.
bool IsGradient(const onnx::NodeProto& node);

/// Whether a graph (not its bodies) has such a node.
bool HasGradient(const onnx::GraphProto& graph);

/// Writes the nodes that compute the gradients of a graph, by reverse accumulation: a gradient of a gradient is that of
/// those nodes.
class GradientExpansion {
 public:
  /// `opset`: the graph's own, of ai.onnx.
  GradientExpansion(const onnx::GraphProto& graph, int opset, FindFunctionBody find_body);
  ~GradientExpansion();
  GradientExpansion(const GradientExpansion&) = delete;
  GradientExpansion& operator=(const GradientExpansion&) = delete;

  /// What stands for one Gradient. One that differentiates another's output comes after it. Fails with kUnsupported,
  /// naming the operator and the node, where a value depends on what is asked for through an operator without a rule.
  std::vector<PlacedNode> Expand(const onnx::NodeProto& gradient);

 private:
  class Tape;
  class Differentiation;
  std::unique_ptr<Tape> tape_;
  FindFunctionBody find_body_;
};

}  // namespace onnxforge::io
