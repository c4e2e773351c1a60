#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "onnxforge/base/value.h"
#include "onnxforge/ir/graph.h"
#include "onnxforge/kernels/table.h"

#include "memory_plan.h"

namespace onnxforge::runtime {

class ControlFlow;
struct Plan;

/// Where a step finds a value: a slot of the frame, a constant of the plan, or nowhere (an input left out).
struct Operand {
  enum class Kind : uint8_t { kNone, kSlot, kConstant };
  Kind kind = Kind::kNone;
  bool dies = false;  // nothing reads the slot after this step
  int32_t index = -1;
};

/// The body of a control-flow node, compiled.
struct BodyPlan {
  std::string attribute;
  std::unique_ptr<Plan> plan;
  std::vector<Operand> captured;  // in the frame around, for each of plan->captures
};

/// One node, ready to run.
struct Step {
  std::string description;  // "node 'conv1' (Conv)"
  std::string name;
  std::string op_type;
  std::unique_ptr<Kernel> kernel;             // null for the operators that run bodies
  std::unique_ptr<ControlFlow> control_flow;  // those
  std::vector<BodyPlan> bodies;
  std::vector<Operand> inputs;
  size_t first_input = 0;   // of its inputs in Frame::operands
  size_t first_output = 0;  // its outputs are the slots from here
  size_t output_count = 0;
  std::vector<int32_t> dying;  // the slots nobody reads after this step
};

/// A graph compiled to steps over numbered slots. Immutable but for the cache of memory layouts, which locks itself.
struct Plan {
  std::vector<Step> steps;
  std::vector<Value> constants;
  size_t slot_count = 0;
  size_t operand_count = 0;
  std::vector<int32_t> inputs;    // the slot of each graph input
  std::vector<Operand> defaults;  // for each input: a constant, where it has one
  std::vector<int32_t> captures;  // the slot of each value taken from the graph around
  std::vector<Operand> outputs;
  std::vector<Type> output_types;
  std::unique_ptr<bool[]> used;         // by slot: somebody reads it
  std::vector<int32_t> output_of_slot;  // by slot: the first graph output it is, or -1
  mutable LayoutCache layouts;
};

struct CompileOptions {
  Tier tier;
  ImageDecoder image_decoder;
  StorageArena* weights;  // for what kernels keep; may be null
  ThreadPool& threads;    // kernels are made on all of them: packing weights is most of the work
};

/// Chooses kernels and lays out steps, bodies included. The graph's constants are taken over: each goes as soon as
/// every kernel that reads it has packed it, so that there is never a second copy of all weights. Fails with
/// kUnsupported, naming the node, where there is no kernel.
std::unique_ptr<Plan> CompilePlan(ir::Graph& graph, const CompileOptions& options);

}  // namespace onnxforge::runtime
