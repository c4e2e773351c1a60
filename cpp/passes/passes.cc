#include "onnxforge/passes/passes.h"

#include <algorithm>

#include "list.h"

namespace onnxforge::passes {
namespace {

/// Each round removes nodes or turns them into constants, so that the rounds end by themselves; this bounds what a
/// mistake in a pass could cost.
constexpr int kMaxRounds = 16;

bool IsDisabled(const Pass& pass, const PassContext& context) {
  return std::find(context.disabled.begin(), context.disabled.end(), pass.name) != context.disabled.end();
}

bool OptimizeGraph(ir::Graph& graph, const PassContext& context) {
  bool changed = false;
  bool bodies_changed = false;
  for (ir::NodeId id : std::vector<ir::NodeId>(graph.order())) {
    for (const ir::Body& body : graph.node(id).bodies) {
      bodies_changed = OptimizeGraph(*body.graph, context) || bodies_changed;
    }
  }
  if (bodies_changed) graph.Sort();  // a body may read less of this graph than it did
  for (const Pass& pass : AllPasses()) {
    if (IsDisabled(pass, context)) continue;
    try {
      changed = pass.run(graph, context) || changed;
    } catch (Error& error) {
      error.AddContext(StrCat("in the pass ", pass.name));
      throw;
    }
  }
  return changed || bodies_changed;
}

}  // namespace

const std::vector<Pass>& AllPasses() {
  static const std::vector<Pass> passes = {
      {"eliminate_dead", EliminateDead},
      {"eliminate_identity", EliminateIdentity},
      {"use_integer_kernels", UseIntegerKernels},  // before the weights are multiplied out
      {"fold_constants", FoldConstants},
      {"merge_duplicates", MergeDuplicates},
      {"fuse_batch_norm_into_conv", FuseBatchNormIntoConv},
      {"fuse_quantize_pair", FuseQuantizePair},
      {"simplify_pow", SimplifyPow},
      {"use_matmul_for_einsum", UseMatmulForEinsum},
      {"fuse_gated_activation", FuseGatedActivation},
      {"fuse_layer_norm", FuseLayerNorm},
      {"fuse_attention", FuseAttention},
      {"use_channels_last", UseChannelsLast},
      {"use_channel_shuffle", UseChannelShuffle},
      {"sink_transposes", SinkTransposes},
      {"fuse_scale", FuseScale},
      {"fuse_add", FuseAdd},
      {"fuse_activation", FuseActivation},
  };
  return passes;
}

void RequirePasses(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::string known;
    bool found = false;
    for (const Pass& pass : AllPasses()) {
      known += StrCat(known.empty() ? "" : ", ", pass.name);
      found = found || pass.name == name;
    }
    Require(found, ErrorCode::kInvalidArgument, "there is no pass '", name, "' to leave out; the passes are: ", known);
  }
}

void Optimize(ir::Model& model, const PassContext& context) {
  for (int round = 0; round < kMaxRounds && OptimizeGraph(model.graph, context); ++round) {
  }
}

}  // namespace onnxforge::passes
