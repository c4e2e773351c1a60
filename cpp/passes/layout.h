#pragma once

#include <cstdint>
#include <vector>

#include "onnxforge/ir/patch.h"

namespace onnxforge::passes {

/// What the passes know of images with the channels first, [N, C, spatial…], and last, [N, spatial…, C].

/// The permutations between the two; ToLast reads channels first.
std::vector<int64_t> ToLast(size_t rank);
std::vector<int64_t> ToFirst(size_t rank);

/// Where an axis of a tensor with the channels first lies when they are last.
int64_t AxisInLast(int64_t axis, size_t rank);

/// A type with its extents in the order of `perm`.
Type Permuted(const Type& type, const std::vector<int64_t>& perm);

/// Adds a Transpose of `input`, whose type is `type`; returns its output.
ir::ValueId AddTranspose(ir::Patch& patch, ir::ValueId input, const std::string& name, const Type& type,
                         const std::vector<int64_t>& perm);

/// The rank of a tensor's type; 0 where it is not known.
size_t RankOf(const Type& type);

}  // namespace onnxforge::passes
