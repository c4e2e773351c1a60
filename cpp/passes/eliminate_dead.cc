// Before: nodes from which no output of the graph can be reached.
// After:  they are gone. (No ONNX operator has a side effect.)

#include "onnxforge/ir/patch.h"

#include "list.h"
#include "match.h"

namespace onnxforge::passes {

bool EliminateDead(ir::Graph& graph, const PassContext&) {
  ir::Patch patch(graph);
  for (ir::NodeId id : graph.order()) {
    bool used = false;
    for (ir::ValueId output : graph.node(id).outputs) used = used || IsUsed(graph, output);
    if (!used) patch.RemoveNode(id);
  }
  if (patch.empty()) return false;
  patch.Apply(graph);  // which also removes what only those nodes had read
  return true;
}

}  // namespace onnxforge::passes
