#include "onnxforge/runtime/session.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "onnxforge/base/threads.h"
#include "onnxforge/passes/passes.h"

#include "control_flow.h"
#include "executor.h"
#include "plan.h"

namespace onnxforge::runtime {
namespace {

std::string Names(const std::vector<IoSpec>& specs) {
  std::string names;
  for (const IoSpec& spec : specs) names += (names.empty() ? "'" : ", '") + spec.name + "'";
  return names.empty() ? "none" : names;
}

/// "float32[1, 3, 224, 224]", "a sequence of 2": what a caller passed, for messages.
std::string Describe(const Value& value) {
  if (value.is_tensor()) return StrCat(value.tensor().dtype(), value.tensor().shape());
  if (value.kind() == Value::Kind::kSequence) return StrCat("a sequence of ", value.sequence().items.size());
  return StrCat("a ", KindName(value.kind()));
}

[[noreturn]] void FailType(const std::string& what, const Type& expected, const Value& got, const std::string& why) {
  Fail(ErrorCode::kInvalidArgument, what, ": expected ", expected, ", got ", Describe(got), why.empty() ? "" : "; ",
       why);
}

/// Where the session's packed weights lie.
constexpr size_t kWeightsBlock = size_t{16} << 20;

/// Whether there is enough to keep of a graph's constants that a session should map its memory in large pieces.
bool HasManyWeights(const ir::Graph& graph) {
  constexpr size_t kMany = size_t{4} << 20;
  size_t bytes = 0;
  for (size_t i = 0; i < graph.value_count() && bytes < kMany; ++i) {
    const Tensor& constant = graph.value(ir::ValueId{static_cast<int32_t>(i)}).constant;
    if (constant.defined() && constant.dtype() != DType::kString) bytes += constant.bytes();
  }
  return bytes >= kMany;
}

void RequireTensor(const std::string& what, const Type& expected, const Value& value) {
  if (!value.is_tensor()) FailType(what, expected, value, "");
  const Tensor& tensor = value.tensor();
  if (expected.dtype != DType::kUndefined && tensor.dtype() != expected.dtype) {
    FailType(what, expected, value, "the element types differ");
  }
  if (!expected.shape) return;
  if (tensor.rank() != expected.shape->size()) {
    FailType(what, expected, value, StrCat("the rank is ", tensor.rank(), ", not ", expected.shape->size()));
  }
  for (size_t axis = 0; axis < tensor.rank(); ++axis) {
    const Dim& dim = (*expected.shape)[axis];
    if (dim.value && *dim.value >= 0 && *dim.value != tensor.dim(axis)) {
      FailType(what, expected, value, StrCat("axis ", axis, " is ", tensor.dim(axis), ", not ", *dim.value));
    }
  }
}

/// Fails with kInvalidArgument unless `value` is of type `expected`, as far as that is known.
void RequireType(const std::string& what, const Type& expected, const Value& value) {
  switch (expected.kind) {
    case Type::Kind::kUnknown:
      return;
    case Type::Kind::kTensor:
      RequireTensor(what, expected, value);
      return;
    case Type::Kind::kOptional:
      if (value.has_value() && expected.element != nullptr) RequireType(what, *expected.element, value);
      return;
    case Type::Kind::kSequence: {
      if (value.kind() != Value::Kind::kSequence) FailType(what, expected, value, "");
      if (expected.element == nullptr) return;
      const std::vector<Value>& items = value.sequence().items;
      for (size_t i = 0; i < items.size(); ++i) RequireType(StrCat(what, ", element ", i), *expected.element, items[i]);
      return;
    }
    case Type::Kind::kMap:
      if (value.kind() != Value::Kind::kMap) FailType(what, expected, value, "");
      if (value.map().keys.dtype() != expected.dtype) FailType(what, expected, value, "the key types differ");
      return;
    case Type::Kind::kSparseTensor:
      if (value.kind() != Value::Kind::kSparseTensor) FailType(what, expected, value, "");
      return;
  }
}

}  // namespace

bool CanRun(std::string_view domain, std::string_view op_type, int since_version) {
  return FindControlFlow(domain, op_type) != nullptr || HasKernel(domain, op_type, since_version);
}

std::vector<std::string> PassNames() {
  std::vector<std::string> names;
  for (const passes::Pass& pass : passes::AllPasses()) names.emplace_back(pass.name);
  return names;
}

class Session::Impl {
 public:
  Impl(ir::Model model, const SessionOptions& options) : options_(options), threads_(options.threads) {
    ir::Graph& graph = model.graph;
    for (ir::ValueId id : graph.inputs) {
      const ir::ValueInfo& info = graph.value(id);
      input_names_.push_back(info.name);
      input_types_.push_back(info.type);
      (info.default_value.defined() ? overridable_ : inputs_).push_back({info.name, info.type});
    }
    for (ir::ValueId id : graph.outputs) outputs_.push_back({graph.value(id).name, graph.value(id).type});
    passes::RequirePasses(options.disabled_passes);
    if (options.optimize) passes::Optimize(model, {options.tier, options.disabled_passes});
    StorageArena weights(kWeightsBlock);
    StorageArena* arena = HasManyWeights(graph) ? &weights : nullptr;
    plan_ = CompilePlan(graph, {options.tier, options.image_decoder, arena, threads_});
  }

  std::vector<Value> Run(const std::vector<NamedValue>& feeds, const std::vector<std::string>& wanted, Profile* profile,
                         const CancelFn& cancelled) {
    const std::vector<size_t> positions = Positions(wanted);
    std::vector<Value> inputs = BindInputs(feeds);
    std::vector<Value> captured;
    std::vector<Value> outputs;
    if (profile != nullptr) *profile = {};
    RunState run(threads_, profile, cancelled);
    {
      FrameLease frame(*this);
      frame->Run(inputs, captured, outputs, run, nullptr);
      if (profile != nullptr) profile->arena_bytes = static_cast<int64_t>(frame->memory().arena_bytes());
    }
    std::vector<Value> result = Select(std::move(outputs), positions, LentInParts(feeds));
    if (profile != nullptr) {
      profile->total_ns = run.Elapsed();
      profile->unplanned_allocations = run.unplanned_allocations;
    }
    return result;
  }

  SessionOptions options_;
  ThreadPool threads_;
  std::vector<IoSpec> inputs_;
  std::vector<IoSpec> overridable_;
  std::vector<IoSpec> outputs_;

 private:
  /// A frame of the pool for the length of one run; back it goes also when the run fails.
  class FrameLease {
   public:
    explicit FrameLease(Impl& impl) : impl_(impl) {
      std::lock_guard<std::mutex> lock(impl_.frames_mutex_);
      if (impl_.frames_.empty()) {
        frame_ = std::make_unique<Frame>(*impl_.plan_);
      } else {
        frame_ = std::move(impl_.frames_.back());
        impl_.frames_.pop_back();
      }
      impl_.frames_.reserve(impl_.frames_.size() + ++impl_.leased_);
    }
    ~FrameLease() {
      std::lock_guard<std::mutex> lock(impl_.frames_mutex_);
      --impl_.leased_;
      impl_.frames_.push_back(std::move(frame_));  // within the capacity reserved above
    }
    FrameLease(const FrameLease&) = delete;
    FrameLease& operator=(const FrameLease&) = delete;
    Frame* operator->() { return frame_.get(); }

   private:
    Impl& impl_;
    std::unique_ptr<Frame> frame_;
  };

  std::vector<size_t> Positions(const std::vector<std::string>& wanted) const {
    std::vector<size_t> positions;
    for (const std::string& name : wanted) {
      const auto found =
          std::find_if(outputs_.begin(), outputs_.end(), [&](const IoSpec& o) { return o.name == name; });
      Require(found != outputs_.end(), ErrorCode::kInvalidArgument, "the model has no output '", name,
              "'; its outputs are: ", Names(outputs_));
      positions.push_back(static_cast<size_t>(found - outputs_.begin()));
    }
    if (wanted.empty()) {
      for (size_t i = 0; i < outputs_.size(); ++i) positions.push_back(i);
    }
    return positions;
  }

  std::vector<Value> BindInputs(const std::vector<NamedValue>& feeds) const {
    std::vector<Value> inputs(input_names_.size());
    std::vector<bool> fed(input_names_.size(), false);
    for (const auto& [name, value] : feeds) {
      const auto found = std::find(input_names_.begin(), input_names_.end(), name);
      Require(found != input_names_.end(), ErrorCode::kInvalidArgument, "the model has no input '", name,
              "'; its inputs are: ", Names(inputs_),
              overridable_.empty() ? "" : "; with defaults: ", overridable_.empty() ? "" : Names(overridable_));
      const auto i = static_cast<size_t>(found - input_names_.begin());
      Require(!fed[i], ErrorCode::kInvalidArgument, "input '", name, "' is given twice");
      RequireType("input '" + name + "'", input_types_[i], value);
      fed[i] = true;
      inputs[i] = value;
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool optional =
          plan_->defaults[i].kind != Operand::Kind::kNone || input_types_[i].kind == Type::Kind::kOptional;
      Require(fed[i] || optional, ErrorCode::kInvalidArgument, "input '", input_names_[i], "' (", input_types_[i],
              ") is missing; the model's inputs are: ", Names(inputs_));
    }
    return inputs;
  }

  /// The memory of tensors inside the caller's sequences and maps: a value that shares such a container with the caller
  /// holds its tensors only once.
  static std::vector<const void*> LentInParts(const std::vector<NamedValue>& feeds) {
    std::vector<const void*> lent;
    for (const auto& [name, value] : feeds) {
      if (value.is_tensor()) continue;
      AnyTensor(value, [&](const Tensor& tensor) {
        lent.push_back(tensor.storage().get());
        return false;
      });
    }
    std::sort(lent.begin(), lent.end());
    return lent;
  }

  /// The wanted outputs, each with memory that nothing else can reach: what is still shared with the caller's inputs,
  /// the model's constants or another output is copied.
  static std::vector<Value> Select(std::vector<Value> outputs, const std::vector<size_t>& positions,
                                   const std::vector<const void*>& lent) {
    std::vector<Value> result;
    result.reserve(positions.size());
    for (size_t position : positions) result.push_back(outputs[position]);
    outputs.clear();
    for (Value& value : result) {
      value = Detached(value, [&](const Tensor& tensor) {
        const Storage& storage = tensor.storage();
        return storage.use_count() != 1 || std::binary_search(lent.begin(), lent.end(), storage.get());
      });
    }
    return result;
  }

  std::vector<std::string> input_names_;
  std::vector<Type> input_types_;
  std::unique_ptr<Plan> plan_;
  std::mutex frames_mutex_;
  std::vector<std::unique_ptr<Frame>> frames_;
  size_t leased_ = 0;
};

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::Create(ir::Model model, const SessionOptions& options) {
  Require(options.threads >= 0, ErrorCode::kInvalidArgument, "threads must be 0 (one per core) or more, and is ",
          options.threads);
  return std::unique_ptr<Session>(new Session(std::make_unique<Impl>(std::move(model), options)));
}

const std::vector<IoSpec>& Session::inputs() const { return impl_->inputs_; }
const std::vector<IoSpec>& Session::overridable_inputs() const { return impl_->overridable_; }
const std::vector<IoSpec>& Session::outputs() const { return impl_->outputs_; }
int Session::threads() const { return impl_->threads_.size(); }
const Tier& Session::tier() const { return impl_->options_.tier; }

std::vector<Value> Session::Run(const std::vector<NamedValue>& feeds, const std::vector<std::string>& wanted,
                                Profile* profile, const CancelFn& cancelled) const {
  return impl_->Run(feeds, wanted, profile, cancelled);
}

}  // namespace onnxforge::runtime
