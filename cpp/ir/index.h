#pragma once

#include <cstddef>

#include "onnxforge/ir/graph.h"

namespace onnxforge::ir {

/// Where what an id names lies in the graph's vectors.
inline size_t Index(ValueId id) { return static_cast<size_t>(id.index); }
inline size_t Index(NodeId id) { return static_cast<size_t>(id.index); }

}  // namespace onnxforge::ir
