#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "onnxforge/base/threads.h"
#include "onnxforge/runtime/session.h"

#include "memory_plan.h"
#include "plan.h"

namespace onnxforge::runtime {

/// What one Session::Run carries through all its graphs.
class RunState {
 public:
  RunState(ThreadPool& threads, Profile* profile, const Session::CancelFn& cancelled);

  ThreadPool& threads() { return threads_; }
  Profile* profile() { return profile_; }
  int64_t Elapsed() const;
  /// Throws Cancelled when it is time to ask and the answer is yes.
  void Poll();

  int depth = 0;
  int64_t unplanned_allocations = 0;

 private:
  using Clock = std::chrono::steady_clock;
  ThreadPool& threads_;
  Profile* profile_;
  const Session::CancelFn& cancelled_;
  Clock::time_point start_;
  Clock::time_point next_poll_;
};

/// The memory of a frame: an arena laid out for one signature, or, while there is no layout, the heap under
/// observation.
class FrameMemory final : public OutputAllocator {
 public:
  explicit FrameMemory(const Plan& plan) : plan_(plan) {}

  void BeginRun(std::vector<Value>& values, OutputAllocator* outer, RunState& run);
  void BeginStep(size_t step);
  void EndStep();
  /// After the frame's values were dropped. `complete`: the run reached its end, so that what was seen is worth
  /// keeping.
  void EndRun(bool complete);

  Tensor AllocateOutput(size_t index, DType dtype, const Shape& shape) override;
  Tensor TakeInput(size_t input, size_t output, DType dtype, const Shape& shape) override;
  void* Scratch(size_t bytes) override;

  bool InArena(const void* data) const;
  size_t arena_bytes() const { return layout_ == nullptr ? 0 : layout_->arena_bytes; }
  /// Whether the layout in place is the one for such inputs.
  bool Fits(const std::vector<int64_t>& signature) const { return layout_ != nullptr && signature_ == signature; }

 private:
  void UseLayout(std::shared_ptr<const Layout> layout);
  const Layout::Slot* FindSlot(int32_t index, size_t bytes, size_t* position) const;
  Storage Unplanned(int32_t index, size_t bytes);
  bool Forwarded(size_t output) const;

  const Plan& plan_;
  std::vector<Value>* values_ = nullptr;
  OutputAllocator* outer_ = nullptr;
  RunState* run_ = nullptr;
  size_t step_ = 0;
  int32_t scratch_count_ = 0;

  std::vector<int64_t> signature_;
  std::vector<int64_t> next_signature_;
  std::shared_ptr<const Layout> layout_;
  Storage arena_;
  size_t arena_capacity_ = 0;
  std::vector<Storage> pieces_;  // by slot of the layout; held here so that use_count() tells whether a piece is free
  bool regular_ = true;          // lifetimes so far are those of the layout
  bool missed_ = false;
  std::shared_ptr<Observer> observer_;  // null while a layout is in use
  std::vector<Storage> step_scratch_;
};

/// Everything one run of a plan writes to. Used by one thread at a time; kept between runs.
class Frame {
 public:
  explicit Frame(const Plan& plan);

  /// Runs the plan on `inputs` (one for each of plan.inputs, none where the default is wanted) and `captured`; consumes
  /// both. `outer` is asked for the memory of the graph's outputs, where it is given.
  void Run(std::vector<Value>& inputs, std::vector<Value>& captured, std::vector<Value>& outputs, RunState& run,
           OutputAllocator* outer);

  const Plan& plan() const { return plan_; }
  const FrameMemory& memory() const { return memory_; }
  const Value& Read(const Operand& operand) const;
  /// The frame of a step's body, made when it is first needed.
  Frame& Body(size_t step, size_t body);

 private:
  void RunStep(size_t index, RunState& run);
  void RunProfiled(size_t index, RunState& run);
  void Invoke(const Step& step, size_t index, RunState& run);
  void TakeOutputs(std::vector<Value>& outputs);
  void Clear();

  const Plan& plan_;
  FrameMemory memory_;
  std::vector<Value> values_;                                // by slot
  std::vector<const Value*> operands_;                       // of all steps, one after the other
  std::vector<std::vector<std::unique_ptr<Frame>>> bodies_;  // by step
};

/// What decides the sizes in a run: kinds, element types and extents of the values.
void AppendSignature(const Value& value, std::vector<int64_t>& signature);

/// Whether a tensor in the value satisfies the predicate.
bool AnyTensor(const Value& value, FunctionRef<bool(const Tensor&)> predicate);

/// The value with every tensor in it that `shared` names replaced by a copy with memory of its own.
Value Detached(const Value& value, FunctionRef<bool(const Tensor&)> shared);

}  // namespace onnxforge::runtime
