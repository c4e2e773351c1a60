#include "executor.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "control_flow.h"

namespace onnxforge::runtime {
namespace {

/// Often enough for Ctrl-C to feel immediate, seldom enough that taking Python's lock costs nothing.
constexpr std::chrono::milliseconds kPollInterval{50};

int64_t BytesOf(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kTensor:
      return static_cast<int64_t>(value.tensor().bytes());
    case Value::Kind::kSequence: {
      int64_t bytes = 0;
      for (const Value& item : value.sequence().items) bytes += BytesOf(item);
      return bytes;
    }
    case Value::Kind::kMap:
      return static_cast<int64_t>(value.map().keys.bytes() + value.map().values.bytes());
    case Value::Kind::kSparseTensor:
      return static_cast<int64_t>(value.sparse().values.bytes() + value.sparse().indices.bytes());
    case Value::Kind::kNone:
      break;
  }
  return 0;
}

void AppendTensor(const Tensor& tensor, std::vector<int64_t>& signature) {
  signature.push_back(static_cast<int64_t>(tensor.dtype()));
  signature.push_back(static_cast<int64_t>(tensor.rank()));
  signature.insert(signature.end(), tensor.shape().begin(), tensor.shape().end());
}

class FrameBodyRunner final : public BodyRunner {
 public:
  FrameBodyRunner(Frame& frame, size_t step, RunState& run) : frame_(frame), step_(step), run_(run) {}

  void Run(size_t body, std::vector<Value>& inputs, std::vector<Value>& outputs, OutputAllocator* allocator) override {
    captured_.clear();
    for (const Operand& operand : frame_.plan().steps[step_].bodies[body].captured) {
      captured_.push_back(frame_.Read(operand));
    }
    ++run_.depth;
    frame_.Body(step_, body).Run(inputs, captured_, outputs, run_, allocator);
    --run_.depth;
  }

 private:
  Frame& frame_;
  size_t step_;
  RunState& run_;
  std::vector<Value> captured_;
};

}  // namespace

void AppendSignature(const Value& value, std::vector<int64_t>& signature) {
  signature.push_back(static_cast<int64_t>(value.kind()));
  switch (value.kind()) {
    case Value::Kind::kTensor:
      AppendTensor(value.tensor(), signature);
      break;
    case Value::Kind::kSequence:
      signature.push_back(static_cast<int64_t>(value.sequence().items.size()));
      for (const Value& item : value.sequence().items) AppendSignature(item, signature);
      break;
    case Value::Kind::kMap:
      AppendTensor(value.map().keys, signature);
      break;
    case Value::Kind::kSparseTensor:
      AppendTensor(value.sparse().values, signature);
      signature.insert(signature.end(), value.sparse().shape.begin(), value.sparse().shape.end());
      break;
    case Value::Kind::kNone:
      break;
  }
}

bool AnyTensor(const Value& value, FunctionRef<bool(const Tensor&)> predicate) {
  switch (value.kind()) {
    case Value::Kind::kTensor:
      return predicate(value.tensor());
    case Value::Kind::kSequence:
      for (const Value& item : value.sequence().items) {
        if (AnyTensor(item, predicate)) return true;
      }
      return false;
    case Value::Kind::kMap:
      return predicate(value.map().keys) || predicate(value.map().values);
    case Value::Kind::kSparseTensor:
      return predicate(value.sparse().values) || predicate(value.sparse().indices);
    case Value::Kind::kNone:
      break;
  }
  return false;
}

Value Detached(const Value& value, FunctionRef<bool(const Tensor&)> shared) {
  if (!AnyTensor(value, shared)) return value;
  const auto detach = [&](const Tensor& tensor) { return shared(tensor) ? tensor.Clone() : tensor; };
  switch (value.kind()) {
    case Value::Kind::kTensor:
      return value.tensor().Clone();
    case Value::Kind::kSequence: {
      Sequence sequence{{}, value.sequence().element};
      for (const Value& item : value.sequence().items) sequence.items.push_back(Detached(item, shared));
      return sequence;
    }
    case Value::Kind::kMap:
      return Map{detach(value.map().keys), detach(value.map().values)};
    case Value::Kind::kSparseTensor:
      return SparseTensor{detach(value.sparse().values), detach(value.sparse().indices), value.sparse().shape};
    case Value::Kind::kNone:
      break;
  }
  return value;
}

RunState::RunState(ThreadPool& threads, Profile* profile, const Session::CancelFn& cancelled)
    : threads_(threads),
      profile_(profile),
      cancelled_(cancelled),
      start_(Clock::now()),
      next_poll_(start_ + kPollInterval) {}

int64_t RunState::Elapsed() const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start_).count();
}

void RunState::Poll() {
  if (!cancelled_) return;
  const Clock::time_point now = Clock::now();
  if (now < next_poll_) return;
  next_poll_ = now + kPollInterval;
  if (cancelled_()) throw Cancelled();
}

void FrameMemory::BeginRun(std::vector<Value>& values, OutputAllocator* outer, RunState& run) {
  values_ = &values;
  outer_ = outer;
  run_ = &run;
  regular_ = true;
  missed_ = false;
  next_signature_.clear();
  for (int32_t slot : plan_.inputs) AppendSignature(values[static_cast<size_t>(slot)], next_signature_);
  for (int32_t slot : plan_.captures) AppendSignature(values[static_cast<size_t>(slot)], next_signature_);
  if (layout_ != nullptr && next_signature_ == signature_) return;
  std::swap(signature_, next_signature_);
  UseLayout(plan_.layouts.Find(signature_, plan_.steps.size()).layout);
}

void FrameMemory::UseLayout(std::shared_ptr<const Layout> layout) {
  layout_ = nullptr;  // until all that may fail is done
  pieces_.clear();
  observer_ = nullptr;
  if (layout == nullptr) {
    observer_ = std::make_shared<Observer>();
    return;
  }
  if (arena_capacity_ < layout->arena_bytes) {
    arena_ = nullptr;
    arena_capacity_ = 0;
    arena_ = AllocateStorage(layout->arena_bytes);
    arena_capacity_ = layout->arena_bytes;
  }
  pieces_.reserve(layout->slots.size());
  for (const Layout::Slot& slot : layout->slots) {
    // A piece keeps the arena alive: should one outlive the frame after all, it is still memory.
    pieces_.push_back(
        slot.escapes ? Storage() : Storage(static_cast<char*>(arena_.get()) + slot.offset, [arena = arena_](void*) {}));
  }
  layout_ = std::move(layout);
}

void FrameMemory::BeginStep(size_t step) {
  step_ = step;
  scratch_count_ = 0;
  if (observer_ != nullptr) observer_->BeginStep(static_cast<int32_t>(step));
}

void FrameMemory::EndStep() {
  step_scratch_.clear();
  if (layout_ == nullptr || !regular_) return;
  for (size_t i = layout_->first_expired[step_]; i < layout_->first_expired[step_ + 1]; ++i) {
    // Something lives longer than when it was observed (another branch was taken), and the arena may have promised its
    // place to a later step: the rest of this run uses the heap.
    if (pieces_[layout_->expired[i]].use_count() > 1) regular_ = false;
  }
}

void FrameMemory::EndRun(bool complete) {
  step_scratch_.clear();
  if (observer_ != nullptr) {
    std::vector<Lifetime> lifetimes = observer_->Finish();
    observer_ = nullptr;
    if (complete) plan_.layouts.Store(signature_, std::move(lifetimes));
    return;
  }
  if (!missed_ && regular_) return;
  plan_.layouts.Missed(signature_);
  layout_ = nullptr;  // asks the cache again
}

bool FrameMemory::Forwarded(size_t output) const {
  if (outer_ == nullptr) return false;
  return plan_.output_of_slot[plan_.steps[step_].first_output + output] >= 0;
}

const Layout::Slot* FrameMemory::FindSlot(int32_t index, size_t bytes, size_t* position) const {
  for (size_t i = layout_->first_slot[step_]; i < layout_->first_slot[step_ + 1]; ++i) {
    if (layout_->slots[i].index != index) continue;
    *position = i;
    return layout_->slots[i].bytes >= bytes ? &layout_->slots[i] : nullptr;
  }
  return nullptr;
}

Storage FrameMemory::Unplanned(int32_t index, size_t bytes) {
  ++run_->unplanned_allocations;
  if (observer_ != nullptr) return observer_->Allocate(static_cast<int32_t>(step_), index, bytes);
  missed_ = true;
  return AllocateStorage(bytes);
}

Tensor FrameMemory::AllocateOutput(size_t index, DType dtype, const Shape& shape) {
  if (Forwarded(index)) {
    const int32_t position = plan_.output_of_slot[plan_.steps[step_].first_output + index];
    return outer_->AllocateOutput(static_cast<size_t>(position), dtype, shape);
  }
  const int64_t elements = shape.elements();
  constexpr uint64_t kMaxBytes = uint64_t{1} << 62;
  const bool addressable = static_cast<uint64_t>(elements) < kMaxBytes / std::max<size_t>(ElementSize(dtype), 1);
  // Strings need construction, and an absurd size its error message; both are Tensor::Allocate's.
  if (dtype == DType::kString || !addressable) return Tensor::Allocate(dtype, shape);
  const size_t bytes = static_cast<size_t>(elements) * ElementSize(dtype);
  if (layout_ != nullptr) {
    size_t position = 0;
    const Layout::Slot* slot = FindSlot(static_cast<int32_t>(index), bytes, &position);
    if (slot != nullptr && slot->escapes) return Tensor::Allocate(dtype, shape);
    if (slot != nullptr && regular_ && pieces_[position].use_count() == 1) {
      return Tensor::View(dtype, shape, pieces_[position], pieces_[position].get());
    }
  }
  Storage storage = Unplanned(static_cast<int32_t>(index), bytes);
  void* data = storage.get();
  return Tensor::View(dtype, shape, std::move(storage), data);
}

Tensor FrameMemory::TakeInput(size_t input, size_t output, DType dtype, const Shape& shape) {
  const Operand& operand = plan_.steps[step_].inputs[input];
  if (operand.kind != Operand::Kind::kSlot || !operand.dies || dtype == DType::kString || Forwarded(output)) return {};
  Value& value = (*values_)[static_cast<size_t>(operand.index)];
  if (!value.is_tensor()) return {};
  Tensor& tensor = value.tensor();
  if (tensor.dtype() == DType::kString ||
      tensor.bytes() != static_cast<size_t>(shape.elements()) * ElementSize(dtype)) {
    return {};
  }
  if (reinterpret_cast<uintptr_t>(tensor.raw()) % std::max<size_t>(ElementSize(dtype), 1) != 0) return {};
  // Nobody else: the value itself, and for planned memory the frame's own hold on it.
  if (tensor.storage().use_count() != (InArena(tensor.raw()) ? 2 : 1)) return {};
  return Tensor::View(dtype, shape, tensor.storage(), tensor.raw());
}

void* FrameMemory::Scratch(size_t bytes) {
  const int32_t index = -1 - scratch_count_++;
  if (layout_ != nullptr && regular_) {
    size_t position = 0;
    const Layout::Slot* slot = FindSlot(index, bytes, &position);
    if (slot != nullptr) return pieces_[position].get();
  }
  step_scratch_.push_back(Unplanned(index, bytes));
  return step_scratch_.back().get();
}

bool FrameMemory::InArena(const void* data) const {
  const auto* base = static_cast<const char*>(arena_.get());
  const auto* p = static_cast<const char*>(data);
  return base != nullptr && p >= base && p < base + arena_capacity_;
}

Frame::Frame(const Plan& plan) : plan_(plan), memory_(plan), values_(plan.slot_count), bodies_(plan.steps.size()) {
  operands_.reserve(plan.operand_count);
  for (const Step& step : plan.steps) {
    for (const Operand& operand : step.inputs) {
      operands_.push_back(operand.kind == Operand::Kind::kNone ? nullptr : &Read(operand));
    }
  }
}

const Value& Frame::Read(const Operand& operand) const {
  static const Value kNothing;
  switch (operand.kind) {
    case Operand::Kind::kSlot:
      return values_[static_cast<size_t>(operand.index)];
    case Operand::Kind::kConstant:
      return plan_.constants[static_cast<size_t>(operand.index)];
    case Operand::Kind::kNone:
      break;
  }
  return kNothing;
}

Frame& Frame::Body(size_t step, size_t body) {
  std::vector<std::unique_ptr<Frame>>& frames = bodies_[step];
  if (frames.empty()) frames.resize(plan_.steps[step].bodies.size());
  if (frames[body] == nullptr) frames[body] = std::make_unique<Frame>(*plan_.steps[step].bodies[body].plan);
  return *frames[body];
}

void Frame::Run(std::vector<Value>& inputs, std::vector<Value>& captured, std::vector<Value>& outputs, RunState& run,
                OutputAllocator* outer) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    Value& slot = values_[static_cast<size_t>(plan_.inputs[i])];
    if (inputs[i].has_value()) {
      slot = std::exchange(inputs[i], Value());
    } else {
      slot = Read(plan_.defaults[i]);
    }
  }
  for (size_t i = 0; i < captured.size(); ++i) {
    values_[static_cast<size_t>(plan_.captures[i])] = std::move(captured[i]);
  }
  try {
    run.Poll();  // also between iterations of a body without nodes
    memory_.BeginRun(values_, outer, run);
    for (size_t s = 0; s < plan_.steps.size(); ++s) RunStep(s, run);
    TakeOutputs(outputs);
  } catch (...) {
    Clear();
    memory_.EndRun(false);
    throw;
  }
  Clear();
  memory_.EndRun(true);
}

void Frame::RunStep(size_t index, RunState& run) {
  run.Poll();
  const Step& step = plan_.steps[index];
  memory_.BeginStep(index);
  try {
    if (run.profile() == nullptr) {
      Invoke(step, index, run);
    } else {
      RunProfiled(index, run);
    }
  } catch (Error& error) {
    error.AddContext("in " + step.description);
    throw;
  } catch (const Cancelled&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kInvalidArgument, "not enough memory").AddContext("in " + step.description);
  } catch (const std::exception& error) {
    throw Error(ErrorCode::kInternal, error.what()).AddContext("in " + step.description);
  }
  for (int32_t slot : step.dying) values_[static_cast<size_t>(slot)] = Value();
  memory_.EndStep();
}

void Frame::Invoke(const Step& step, size_t index, RunState& run) {
  KernelContext context({operands_.data() + step.first_input, step.inputs.size()},
                        {values_.data() + step.first_output, step.output_count},
                        {plan_.used.get() + step.first_output, step.output_count}, run.threads(), memory_);
  if (step.kernel != nullptr) {
    step.kernel->Run(context);
  } else {
    FrameBodyRunner runner(*this, index, run);
    step.control_flow->Run(context, runner);
  }
}

void Frame::RunProfiled(size_t index, RunState& run) {
  const Step& step = plan_.steps[index];
  const size_t row = run.profile()->nodes.size();
  NodeTiming started;
  started.node = step.name;
  started.op_type = step.op_type;
  started.depth = run.depth;
  started.start_ns = run.Elapsed();
  run.profile()->nodes.push_back(std::move(started));
  Invoke(step, index, run);
  NodeTiming& timing = run.profile()->nodes[row];
  timing.duration_ns = run.Elapsed() - timing.start_ns;
  timing.in_arena = step.output_count > 0;
  for (size_t slot = step.first_output; slot < step.first_output + step.output_count; ++slot) {
    const Value& value = values_[slot];
    timing.output_bytes += BytesOf(value);
    if (!value.has_value()) continue;
    timing.in_arena = timing.in_arena && value.is_tensor() && memory_.InArena(value.tensor().raw());
  }
}

void Frame::TakeOutputs(std::vector<Value>& outputs) {
  outputs.resize(plan_.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    outputs[i] =
        Detached(Read(plan_.outputs[i]), [this](const Tensor& tensor) { return memory_.InArena(tensor.raw()); });
  }
}

void Frame::Clear() {
  for (Value& value : values_) value = Value();
}

}  // namespace onnxforge::runtime
