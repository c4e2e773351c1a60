#pragma once

#include <cstdint>
#include <vector>

#include "onnxforge/base/shape.h"
#include "onnxforge/kernels/kernel.h"
#include "onnxforge/kernels/table.h"

namespace onnxforge::reference {

/// The attributes and inputs that every reduction has, whatever the version: axes as an attribute or as input 1,
/// keepdims, noop_with_empty_axes.
class ReduceAxes {
 public:
  /// `axes_input_since`: the version from which the axes are an input.
  ReduceAxes(const NodeSpec& node, int axes_input_since);

  /// Whether the tensor passes unchanged but for the elementwise part of the reduction.
  bool IsNoop(const KernelContext& context) const;
  /// For each axis of the rank whether it is reduced.
  std::vector<bool> Reduced(const KernelContext& context, size_t rank) const;
  bool keep_dims() const { return keep_dims_; }

 private:
  bool by_input_;
  bool noop_with_empty_axes_;
  bool keep_dims_;
  std::vector<int64_t> axes_;
};

/// The shape that is left: 1 (keep_dims) or nothing for the reduced axes.
Shape ReducedShape(const Shape& shape, const std::vector<bool>& reduced, bool keep_dims);

}  // namespace onnxforge::reference
