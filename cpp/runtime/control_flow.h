#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "onnxforge/kernels/kernel.h"

#include "plan.h"

namespace onnxforge::runtime {

/// What an operator with bodies sees of the run.
class BodyRunner {
 public:
  virtual ~BodyRunner() = default;
  /// Runs body `body` of the step on `inputs`, which it consumes, and leaves the body's outputs in `outputs`.
  /// `allocator`, where given, is asked for the memory of those outputs that the body makes itself.
  virtual void Run(size_t body, std::vector<Value>& inputs, std::vector<Value>& outputs,
                   OutputAllocator* allocator = nullptr) = 0;
};

/// An operator that runs bodies: the counterpart of Kernel.
class ControlFlow {
 public:
  virtual ~ControlFlow() = default;
  virtual void Run(KernelContext& context, BodyRunner& runner) const = 0;
};

using ControlFlowFactory = std::unique_ptr<ControlFlow> (*)(const NodeSpec& node, const std::vector<BodyPlan>& bodies);

/// The factory for an operator, or null when it is not one that runs bodies.
ControlFlowFactory FindControlFlow(std::string_view domain, std::string_view op_type);

/// Null where FindControlFlow knows nothing of the operator.
std::unique_ptr<ControlFlow> CreateControlFlow(const NodeSpec& node, const std::vector<BodyPlan>& bodies);

std::unique_ptr<ControlFlow> CreateIf(const NodeSpec& node, const std::vector<BodyPlan>& bodies);
std::unique_ptr<ControlFlow> CreateLoop(const NodeSpec& node, const std::vector<BodyPlan>& bodies);
std::unique_ptr<ControlFlow> CreateScan(const NodeSpec& node, const std::vector<BodyPlan>& bodies);
std::unique_ptr<ControlFlow> CreateSequenceMap(const NodeSpec& node, const std::vector<BodyPlan>& bodies);

/// The body held by `attribute`; kInvalidModel when the node has none.
size_t FindBody(const std::vector<BodyPlan>& bodies, std::string_view attribute);

/// Fails with kInvalidModel unless the body takes and gives so many values.
void RequireBodyArity(const BodyPlan& body, size_t inputs, size_t outputs);

/// The one element of a bool tensor such as a condition; `what` names it in errors.
bool ReadCondition(const Value& value, std::string_view what);

/// A loop's per-iteration outputs, stacked along a new axis.
class StackedOutput {
 public:
  void Add(Value value);
  /// Makes output `index` of the node. `type` is what the body declares of one row, for when there is none; `axis` may
  /// be negative and counts in the result.
  void Finish(KernelContext& context, size_t index, const Type& type, int64_t axis, bool reversed = false) const;
  Tensor Stack(const Type& type) const;  // along axis 0, in memory of its own
  size_t size() const { return rows_.size(); }

 private:
  Shape RowShape(const Type& type) const;
  DType RowDType(const Type& type) const;

  std::vector<Tensor> rows_;
};

/// `tensor` with axis `from` moved to position `to`, in new memory.
Tensor MoveAxis(const Tensor& tensor, size_t from, size_t to);

}  // namespace onnxforge::runtime
