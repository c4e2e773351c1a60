#include "plan.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "control_flow.h"

namespace onnxforge::runtime {
namespace {

/// Deeper nesting than any real model has, and shallow enough for the stack of a small thread.
constexpr int kMaxBodyDepth = 64;

/// Values of a body that are constants of a graph around it: kernels may pack them like constants of their own.
using KnownConstants = std::map<ir::ValueId, Tensor>;

class Compiler {
 public:
  Compiler(ir::Graph& graph, const CompileOptions& options, const KnownConstants& known, int depth)
      : graph_(graph),
        options_(options),
        known_(known),
        depth_(depth),
        operands_(graph.value_count()),
        uses_(graph.value_count()) {}

  std::unique_ptr<Plan> Compile() {
    Require(depth_ <= kMaxBodyDepth, ErrorCode::kInvalidModel, "control-flow bodies are nested more than ",
            kMaxBodyDepth, " deep");
    PlaceInputs();
    for (ir::NodeId id : graph_.order()) AddStep(std::as_const(graph_).node(id));
    PlaceOutputs();
    MarkLastUses();
    MakeKernels();
    return std::move(plan_);
  }

 private:
  int32_t NewSlot() { return static_cast<int32_t>(plan_->slot_count++); }

  int32_t PlaceInSlot(ir::ValueId id) {
    const int32_t slot = NewSlot();
    if (id.valid()) operands_[static_cast<size_t>(id.index)] = {Operand::Kind::kSlot, false, slot};
    return slot;
  }

  Operand AddConstant(const Tensor& tensor) {
    plan_->constants.emplace_back(tensor);
    return {Operand::Kind::kConstant, false, static_cast<int32_t>(plan_->constants.size() - 1)};
  }

  void PlaceInputs() {
    for (ir::ValueId id : graph_.inputs) {
      const Tensor& fallback = graph_.value(id).default_value;
      plan_->inputs.push_back(PlaceInSlot(id));
      plan_->defaults.push_back(fallback.defined() ? AddConstant(fallback) : Operand{});
    }
    for (const ir::Capture& capture : graph_.captures) plan_->captures.push_back(PlaceInSlot(capture.inner));
  }

  /// The constant that a value is in every run, or an undefined tensor.
  Tensor ConstantOf(ir::ValueId id) const {
    if (!id.valid()) return {};
    const auto known = known_.find(id);
    if (known != known_.end()) return known->second;
    return graph_.value(id).constant;
  }

  Operand Find(ir::ValueId id) {
    if (!id.valid()) return {};
    Operand& operand = operands_[static_cast<size_t>(id.index)];
    if (operand.kind == Operand::Kind::kNone) {
      const Tensor& constant = graph_.value(id).constant;
      Require(constant.defined(), ErrorCode::kInternal, "value '", graph_.value(id).name,
              "' is read before it is made");
      operand = AddConstant(constant);
    }
    return operand;
  }

  void AddStep(const ir::Node& node) {
    try {
      Step step;
      step.description = node.Describe();
      step.op_type = node.op_type;
      step.name = node.name;
      for (ir::ValueId id : node.outputs) {
        if (step.name.empty() && id.valid()) step.name = graph_.value(id).name;
      }
      for (ir::ValueId id : node.inputs) step.inputs.push_back(Find(id));
      for (const ir::Body& body : node.bodies) step.bodies.push_back(CompileBody(body));
      if (FindControlFlow(node.domain, node.op_type) != nullptr) {
        step.control_flow = MakeControlFlow(node, step);
      } else {
        Await(node);
      }
      step.first_input = plan_->operand_count;
      plan_->operand_count += step.inputs.size();
      step.first_output = plan_->slot_count;
      step.output_count = node.outputs.size();
      for (ir::ValueId id : node.outputs) PlaceInSlot(id);
      plan_->steps.push_back(std::move(step));
    } catch (Error& error) {
      error.AddContext("in " + node.Describe());
      throw;
    }
  }

  BodyPlan CompileBody(const ir::Body& body) {
    BodyPlan compiled;
    compiled.attribute = body.attribute;
    KnownConstants known;
    for (const ir::Capture& capture : body.graph->captures) {
      Keep(capture.outer);
      compiled.captured.push_back(Find(capture.outer));
      const Tensor constant = ConstantOf(capture.outer);
      if (constant.defined()) known.emplace(capture.inner, constant);
    }
    compiled.plan = Compiler(*body.graph, options_, known, depth_ + 1).Compile();
    return compiled;
  }

  /// Calls `f` with what a factory is told of the node.
  template <typename F>
  auto WithSpec(const ir::Node& node, F f) const {
    std::vector<Type> types;
    std::vector<Tensor> constants;
    for (ir::ValueId id : node.inputs) {
      types.push_back(id.valid() ? graph_.value(id).type : Type{});
      constants.push_back(ConstantOf(id));
      if (constants.back().defined() && types.back().kind == Type::Kind::kUnknown) {
        types.back() = Type::Tensor(constants.back().dtype(), constants.back().shape());
      }
    }
    NodeSpec spec{node.domain, node.op_type, node.since_version, node.attributes,
                  types,       constants,    node.inputs.size(), node.outputs.size()};
    spec.image_decoder = &options_.image_decoder;
    spec.weights = options_.weights;
    return f(spec);
  }

  std::unique_ptr<ControlFlow> MakeControlFlow(const ir::Node& node, const Step& step) {
    for (ir::ValueId id : node.inputs) Keep(id);
    return WithSpec(node, [&](const NodeSpec& spec) { return CreateControlFlow(spec, step.bodies); });
  }

  std::unique_ptr<Kernel> MakeKernel(const ir::Node& node) const {
    try {
      auto kernel = WithSpec(node, [&](const NodeSpec& spec) { return CreateKernel(options_.tier, spec); });
      Require(kernel != nullptr, ErrorCode::kUnsupported, "there is no kernel for ",
              node.domain.empty() ? "" : node.domain + "::", node.op_type, " version ", node.since_version);
      return kernel;
    } catch (Error& error) {
      error.AddContext("in " + node.Describe());
      throw;
    }
  }

  /// The node's kernel is made by MakeKernels(); until then its constants stay.
  void Await(const ir::Node& node) {
    awaited_.push_back({&node, plan_->steps.size()});
    for (ir::ValueId id : node.inputs) {
      if (id.valid()) ++uses_[static_cast<size_t>(id.index)].waiting;
    }
  }

  void Keep(ir::ValueId id) {
    if (id.valid()) uses_[static_cast<size_t>(id.index)].kept = true;
  }

  /// Every thread takes the next node until there is none. Of several failures the first node's is reported.
  void MakeKernels() {
    std::vector<std::exception_ptr> failures(awaited_.size());
    std::atomic<size_t> next{0};
    const auto threads = static_cast<int64_t>(options_.threads.size());
    options_.threads.ParallelFor(threads, 1, [&](int64_t, int64_t) {
      for (size_t i; (i = next.fetch_add(1)) < awaited_.size();) {
        try {
          Step& step = plan_->steps[awaited_[i].step];
          step.kernel = MakeKernel(*awaited_[i].node);
          LetGo(*awaited_[i].node, *step.kernel);
        } catch (...) {
          failures[i] = std::current_exception();
          return;
        }
      }
    });
    for (const std::exception_ptr& failure : failures) {
      if (failure != nullptr) std::rethrow_exception(failure);
    }
  }

  /// Drops the memory of constants that this kernel was the last to wait for, and that no run reads.
  void LetGo(const ir::Node& node, const Kernel& kernel) {
    const std::lock_guard<std::mutex> lock(uses_mutex_);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::ValueId id = node.inputs[i];
      if (!id.valid()) continue;
      Use& use = uses_[static_cast<size_t>(id.index)];
      use.kept = use.kept || kernel.ReadsConstant(i);
      const Operand operand = operands_[static_cast<size_t>(id.index)];
      if (--use.waiting != 0 || use.kept || operand.kind != Operand::Kind::kConstant) continue;
      Tensor& constant = graph_.value(id).constant;
      constant = Tensor::View(constant.dtype(), constant.shape(), nullptr, nullptr);
      plan_->constants[static_cast<size_t>(operand.index)] = Value(constant);
    }
  }

  void PlaceOutputs() {
    plan_->output_of_slot.assign(plan_->slot_count, -1);
    for (ir::ValueId id : graph_.outputs) {
      Keep(id);
      const Operand operand = Find(id);
      const auto position = static_cast<int32_t>(plan_->outputs.size());
      if (operand.kind == Operand::Kind::kSlot && plan_->output_of_slot[static_cast<size_t>(operand.index)] < 0) {
        plan_->output_of_slot[static_cast<size_t>(operand.index)] = position;
      }
      plan_->outputs.push_back(operand);
      plan_->output_types.push_back(id.valid() ? graph_.value(id).type : Type{});
    }
  }

  void MarkLastUses() {
    Plan& plan = *plan_;
    plan.used = std::make_unique<bool[]>(plan.slot_count);
    std::vector<bool> seen(plan.slot_count, false);  // read by a later step or by the caller
    for (const Operand& output : plan.outputs) {
      if (output.kind == Operand::Kind::kSlot) seen[static_cast<size_t>(output.index)] = true;
    }
    for (size_t s = plan.steps.size(); s-- > 0;) {
      Step& step = plan.steps[s];
      for (size_t slot = step.first_output; slot < step.first_output + step.output_count; ++slot) {
        plan.used[slot] = seen[slot];
        if (!seen[slot]) step.dying.push_back(static_cast<int32_t>(slot));
      }
      MarkDying(step, seen);
    }
    for (size_t i = 0; i < plan.inputs.size(); ++i) plan.used[static_cast<size_t>(plan.inputs[i])] = true;
  }

  static void MarkDying(Step& step, std::vector<bool>& seen) {
    const size_t already = step.dying.size();
    const auto visit = [&](Operand& operand) {
      if (operand.kind != Operand::Kind::kSlot || seen[static_cast<size_t>(operand.index)]) return;
      operand.dies = true;
      if (std::find(step.dying.begin() + static_cast<std::ptrdiff_t>(already), step.dying.end(), operand.index) ==
          step.dying.end()) {
        step.dying.push_back(operand.index);
      }
    };
    for (Operand& operand : step.inputs) visit(operand);
    for (BodyPlan& body : step.bodies) {
      for (Operand& operand : body.captured) visit(operand);
    }
    for (size_t i = already; i < step.dying.size(); ++i) seen[static_cast<size_t>(step.dying[i])] = true;
  }

  struct Awaited {
    const ir::Node* node;
    size_t step;
  };

  /// Of a value, should it be a constant.
  struct Use {
    size_t waiting = 0;  // inputs of kernels that are not made yet
    bool kept = false;   // read in a run
  };

  ir::Graph& graph_;
  const CompileOptions& options_;
  const KnownConstants& known_;
  int depth_;
  std::vector<Operand> operands_;  // by value id
  std::vector<Use> uses_;          // by value id
  std::mutex uses_mutex_;
  std::vector<Awaited> awaited_;
  std::unique_ptr<Plan> plan_ = std::make_unique<Plan>();
};

}  // namespace

std::unique_ptr<Plan> CompilePlan(ir::Graph& graph, const CompileOptions& options) {
  return Compiler(graph, options, {}, 0).Compile();
}

}  // namespace onnxforge::runtime
