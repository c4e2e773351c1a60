#pragma once

#include "onnxforge/passes/passes.h"

namespace onnxforge::passes {

// One file each; AllPasses() in passes.cc is their order.
bool EliminateDead(ir::Graph& graph, const PassContext& context);
bool EliminateIdentity(ir::Graph& graph, const PassContext& context);
bool FoldConstants(ir::Graph& graph, const PassContext& context);
bool FuseActivation(ir::Graph& graph, const PassContext& context);
bool FuseAdd(ir::Graph& graph, const PassContext& context);
bool FuseAttention(ir::Graph& graph, const PassContext& context);
bool FuseBatchNormIntoConv(ir::Graph& graph, const PassContext& context);
bool FuseGatedActivation(ir::Graph& graph, const PassContext& context);
bool FuseLayerNorm(ir::Graph& graph, const PassContext& context);
bool FuseQuantizePair(ir::Graph& graph, const PassContext& context);
bool FuseScale(ir::Graph& graph, const PassContext& context);
bool MergeDuplicates(ir::Graph& graph, const PassContext& context);
bool SimplifyPow(ir::Graph& graph, const PassContext& context);
bool SinkTransposes(ir::Graph& graph, const PassContext& context);
bool UseChannelShuffle(ir::Graph& graph, const PassContext& context);
bool UseChannelsLast(ir::Graph& graph, const PassContext& context);
bool UseIntegerKernels(ir::Graph& graph, const PassContext& context);
bool UseMatmulForEinsum(ir::Graph& graph, const PassContext& context);

}  // namespace onnxforge::passes
