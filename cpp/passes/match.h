#pragma once

#include <optional>
#include <string_view>

#include "onnxforge/ir/graph.h"

namespace onnxforge::passes {

/// What the passes ask of a graph again and again.

/// A node of the default domain with this operator.
bool Is(const ir::Node& node, std::string_view op_type);

/// A node of the internal domain with this operator.
bool IsInternal(const ir::Node& node, std::string_view op_type);

/// The node with this operator that makes the value; null where another makes it, or none.
const ir::Node* Maker(const ir::Graph& graph, ir::ValueId id, std::string_view op_type);

/// Whether the value is known to be a tensor of float32.
bool IsFloat32(const ir::Graph& graph, ir::ValueId value);

/// Whether elements are bytes, signed or not: what quantised tensors hold.
bool IsByte(DType dtype);

/// Whether two extents are known to be the same, be it by the same symbol.
bool IsSame(const Dim& a, const Dim& b);

/// Whether two values are known to have the same shape, be it by the same symbols.
bool HaveSameShape(const ir::Graph& graph, ir::ValueId a, ir::ValueId b);

/// Input `i`, invalid where it is left out.
ir::ValueId Input(const ir::Node& node, size_t i);

/// The constant that input `i` is, or an undefined tensor.
Tensor ConstantInput(const ir::Graph& graph, const ir::Node& node, size_t i);

/// The one number that input `i` is in every run, of no more axes than one or than the other of two operands; nothing
/// where it is anything else.
std::optional<double> ConstantNumber(const ir::Graph& graph, const ir::Node& node, size_t i);

bool IsOutput(const ir::Graph& graph, ir::ValueId value);

/// Somebody reads the value, or the graph returns it.
bool IsUsed(const ir::Graph& graph, ir::ValueId value);

/// The one node that reads the value, which the graph does not return; invalid otherwise.
ir::NodeId OnlyReader(const ir::Graph& graph, ir::ValueId value);

/// Whether every reader of `from` can read `to`. A graph returns its outputs under their own names: an input, a
/// constant or another output cannot stand in for one.
bool CanReplace(const ir::Graph& graph, ir::ValueId from, ir::ValueId to);

/// Whether two runs of the node on the same inputs may differ.
bool IsRandom(const ir::Node& node);

}  // namespace onnxforge::passes
