#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxforge/base/attribute.h"
#include "onnxforge/base/error.h"
#include "onnxforge/base/span.h"
#include "onnxforge/base/tensor.h"
#include "onnxforge/base/threads.h"
#include "onnxforge/base/type.h"
#include "onnxforge/base/value.h"
#include "onnxforge/kernels/image_decoder.h"

namespace onnxforge {

/// What is known of a node when a session is built. Valid only during the factory call, except that constants may be
/// kept.
struct NodeSpec {
  std::string_view domain;
  std::string_view op_type;
  int since_version = 0;  // of the schema the node's opset selects
  const Attributes& attributes;
  Span<const Type> input_types;        // kUnknown where inference knew nothing or the input is absent
  Span<const Tensor> constant_inputs;  // undefined where the input is not a constant
  size_t input_count = 0;
  size_t output_count = 0;
  int64_t target = 0;                           // the Highway target a SIMD kernel must keep to; 0 for the best one
  const ImageDecoder* image_decoder = nullptr;  // null where there is none
  StorageArena* weights = nullptr;              // of the session, where it has many

  bool IsConstant(size_t i) const { return i < constant_inputs.size() && constant_inputs[i].defined(); }
  /// Memory for what is kept of a constant, for as long as the kernel lives.
  Storage AllocateWeights(size_t bytes) const {
    return weights == nullptr ? AllocateStorage(bytes) : weights->Allocate(bytes);
  }
  DType InputDType(size_t i) const { return i < input_types.size() ? input_types[i].dtype : DType::kUndefined; }
};

/// Where a run's memory comes from: the session's arena, or the heap where a size was not foreseen.
class OutputAllocator {
 public:
  virtual ~OutputAllocator() = default;
  /// Memory for output `index` of the running node.
  virtual Tensor AllocateOutput(size_t index, DType dtype, const Shape& shape) = 0;
  /// The memory of input `input` as output `output`, when nobody else needs that input any more; undefined otherwise.
  virtual Tensor TakeInput(size_t input, size_t output, DType dtype, const Shape& shape) = 0;
  /// Uninitialised memory, aligned to kAlignment, that lives until the node is done.
  virtual void* Scratch(size_t bytes) = 0;
};

/// One node in one run.
class KernelContext {
 public:
  KernelContext(Span<const Value* const> inputs, Span<Value> outputs, Span<const bool> outputs_used,
                ThreadPool& threads, OutputAllocator& allocator)
      : inputs_(inputs), outputs_(outputs), outputs_used_(outputs_used), threads_(threads), allocator_(allocator) {}

  size_t InputCount() const { return inputs_.size(); }
  size_t OutputCount() const { return outputs_.size(); }
  /// Whether input `i` was given, and is not an empty optional.
  bool HasInput(size_t i) const { return i < inputs_.size() && inputs_[i] != nullptr && inputs_[i]->has_value(); }
  bool HasOutput(size_t i) const { return i < outputs_used_.size() && outputs_used_[i]; }

  /// Input `i`, which must be there and be a tensor (kInvalidModel otherwise).
  const Tensor& Input(size_t i) const;
  /// Input `i`, or null where it was left out.
  const Tensor* OptionalInput(size_t i) const { return HasInput(i) ? &Input(i) : nullptr; }
  /// Input `i` whatever its kind.
  const Value& InputValue(size_t i) const;

  /// Makes output `i` a tensor with memory of its own, uninitialised (strings: empty), and returns it.
  Tensor& Output(size_t i, DType dtype, const Shape& shape);
  /// The same, but in the memory of the first of `candidates` that is a dying input with the same bytes, where there is
  /// one. The kernel must then read each element before it writes the one in its place.
  Tensor& OutputInPlace(size_t i, DType dtype, const Shape& shape, std::initializer_list<size_t> candidates);
  /// Makes output `i` this value: a view of an input, or something the kernel made itself.
  void SetOutput(size_t i, Value value);

  template <typename T>
  T* Scratch(size_t count) {
    Require(count <= std::numeric_limits<size_t>::max() / 2 / sizeof(T), ErrorCode::kInvalidArgument,
            "not enough memory for ", count, " scratch elements");
    return static_cast<T*>(allocator_.Scratch(count * sizeof(T)));
  }
  ThreadPool& Threads() const { return threads_; }

 private:
  Span<const Value* const> inputs_;
  Span<Value> outputs_;
  Span<const bool> outputs_used_;
  ThreadPool& threads_;
  OutputAllocator& allocator_;
};

/// One operator of one node: made once per session with everything that can be decided before a run (attributes read,
/// weights packed), then run from any number of threads at once.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void Run(KernelContext& context) const = 0;
  /// Whether a run reads the elements of constant input `input`. What was packed need not be kept: where no reader says
  /// so, the input has its type and shape in a run, but no memory.
  virtual bool ReadsConstant(size_t /*input*/) const { return true; }
};

/// A kernel from a callable `void(KernelContext&)`.
template <typename F>
std::unique_ptr<Kernel> MakeKernel(F f) {
  class FunctionKernel final : public Kernel {
   public:
    explicit FunctionKernel(F f) : f_(std::move(f)) {}
    void Run(KernelContext& context) const override { f_(context); }

   private:
    F f_;
  };
  return std::make_unique<FunctionKernel>(std::move(f));
}

}  // namespace onnxforge
