#include <algorithm>
#include <cstring>
#include <utility>

#include "control_flow.h"

namespace onnxforge::runtime {
namespace {

std::vector<int64_t> IntsOrZeros(const Attributes& attributes, std::string_view name, size_t count) {
  std::vector<int64_t> values = attributes.Ints(name);
  if (values.empty()) values.assign(count, 0);
  Require(values.size() == count, ErrorCode::kInvalidModel, "attribute '", name, "' must have ", count,
          " values, and has ", values.size());
  return values;
}

/// `tensor[index]`: one element of axis 0, without that axis.
Tensor Element(const Tensor& tensor, int64_t index) {
  Shape shape = tensor.shape();
  shape.Erase(0);
  return tensor.Rows(index, index + 1).Reshaped(std::move(shape));
}

/// What both forms share: the body takes (states…, elements…) and gives (states…, rows…).
class ScanBase : public ControlFlow {
 public:
  ScanBase(const NodeSpec& node, const std::vector<BodyPlan>& bodies, size_t first_state)
      : body_(FindBody(bodies, "body")), first_state_(first_state) {
    const int64_t scan_inputs = node.attributes.Int("num_scan_inputs");
    Require(node.input_count > first_state && scan_inputs >= 1 &&
                static_cast<uint64_t>(scan_inputs) <= node.input_count - first_state,
            ErrorCode::kInvalidModel, "attribute 'num_scan_inputs' is ", scan_inputs, " but the node has ",
            node.input_count, " inputs");
    scan_inputs_ = static_cast<size_t>(scan_inputs);
    states_ = node.input_count - first_state - scan_inputs_;
    Require(node.output_count >= states_, ErrorCode::kInvalidModel, "Scan has ", states_, " states but only ",
            node.output_count, " outputs");
    scan_outputs_ = node.output_count - states_;
    RequireBodyArity(bodies[body_], states_ + scan_inputs_, states_ + scan_outputs_);
    scan_types_.assign(bodies[body_].plan->output_types.end() - static_cast<std::ptrdiff_t>(scan_outputs_),
                       bodies[body_].plan->output_types.end());
  }

 protected:
  /// Runs the body `length` times over axis 0 of `sequences`; `backwards[i]` says which of them are read from the end.
  void Iterate(BodyRunner& runner, std::vector<Value>& states, const std::vector<Tensor>& sequences,
               const std::vector<int64_t>& backwards, int64_t length, std::vector<StackedOutput>& rows) const {
    std::vector<Value> inputs(states_ + scan_inputs_);
    std::vector<Value> outputs;
    for (int64_t t = 0; t < length; ++t) {
      for (size_t i = 0; i < states_; ++i) inputs[i] = std::move(states[i]);
      for (size_t i = 0; i < scan_inputs_; ++i) {
        inputs[states_ + i] = Element(sequences[i], backwards[i] != 0 ? length - 1 - t : t);
      }
      runner.Run(body_, inputs, outputs);
      for (size_t i = 0; i < states_; ++i) states[i] = std::move(outputs[i]);
      for (size_t i = 0; i < scan_outputs_; ++i) rows[i].Add(std::move(outputs[states_ + i]));
    }
  }

  size_t body_;
  size_t first_state_;
  size_t states_ = 0;
  size_t scan_inputs_ = 0;
  size_t scan_outputs_ = 0;
  std::vector<Type> scan_types_;
};

/// Scan from version 9 on: any axis, no batch.
class Scan final : public ScanBase {
 public:
  Scan(const NodeSpec& node, const std::vector<BodyPlan>& bodies)
      : ScanBase(node, bodies, 0),
        input_axes_(IntsOrZeros(node.attributes, "scan_input_axes", scan_inputs_)),
        input_directions_(IntsOrZeros(node.attributes, "scan_input_directions", scan_inputs_)),
        output_axes_(IntsOrZeros(node.attributes, "scan_output_axes", scan_outputs_)),
        output_directions_(IntsOrZeros(node.attributes, "scan_output_directions", scan_outputs_)) {}

  void Run(KernelContext& context, BodyRunner& runner) const override {
    std::vector<Value> states(states_);
    for (size_t i = 0; i < states_; ++i) states[i] = context.InputValue(i);
    std::vector<Tensor> sequences;
    for (size_t i = 0; i < scan_inputs_; ++i) {
      const Tensor& input = context.Input(states_ + i);
      const size_t axis = NormalizeAxis(input_axes_[i], input.rank());
      sequences.push_back(axis == 0 ? input : MoveAxis(input, axis, 0));
      Require(sequences[i].dim(0) == sequences[0].dim(0), ErrorCode::kInvalidArgument,
              "all scan inputs must have the same length; the first has ", sequences[0].dim(0), ", number ", i, " has ",
              sequences[i].dim(0));
    }
    std::vector<StackedOutput> rows(scan_outputs_);
    Iterate(runner, states, sequences, input_directions_, sequences[0].dim(0), rows);
    for (size_t i = 0; i < states_; ++i) context.SetOutput(i, std::move(states[i]));
    for (size_t i = 0; i < scan_outputs_; ++i) {
      rows[i].Finish(context, states_ + i, scan_types_[i], output_axes_[i], output_directions_[i] != 0);
    }
  }

 private:
  std::vector<int64_t> input_axes_;
  std::vector<int64_t> input_directions_;
  std::vector<int64_t> output_axes_;
  std::vector<int64_t> output_directions_;
};

/// Scan-8: every input and output has a batch axis first, and sequences may end at different lengths.
class BatchedScan final : public ScanBase {
 public:
  BatchedScan(const NodeSpec& node, const std::vector<BodyPlan>& bodies)
      : ScanBase(node, bodies, 1), directions_(IntsOrZeros(node.attributes, "directions", scan_inputs_)) {}

  void Run(KernelContext& context, BodyRunner& runner) const override {
    const Tensor& first = context.Input(1 + states_);
    Require(first.rank() >= 2, ErrorCode::kInvalidArgument, "a scan input must be [batch, sequence, …], and is ",
            first.shape());
    const int64_t batch = first.dim(0);
    const int64_t length = first.dim(1);
    RequireBatch(context, batch, length);
    const std::vector<int64_t> lengths = Lengths(context, batch, length);

    std::vector<StackedOutput> final_states(states_);
    std::vector<StackedOutput> scans(scan_outputs_);
    for (int64_t b = 0; b < batch; ++b) {
      std::vector<Value> states;
      for (size_t i = 0; i < states_; ++i) states.emplace_back(Element(context.Input(1 + i), b));
      std::vector<Tensor> sequences;
      for (size_t i = 0; i < scan_inputs_; ++i) sequences.push_back(Element(context.Input(1 + states_ + i), b));
      std::vector<StackedOutput> rows(scan_outputs_);
      Iterate(runner, states, sequences, directions_, lengths[static_cast<size_t>(b)], rows);
      for (size_t i = 0; i < states_; ++i) final_states[i].Add(std::move(states[i]));
      for (size_t i = 0; i < scan_outputs_; ++i) scans[i].Add(Padded(rows[i].Stack(scan_types_[i]), length));
    }
    for (size_t i = 0; i < states_; ++i) final_states[i].Finish(context, i, TypeOfState(context, i), 0);
    for (size_t i = 0; i < scan_outputs_; ++i) scans[i].Finish(context, states_ + i, ScanRow(i, length), 0);
  }

 private:
  void RequireBatch(const KernelContext& context, int64_t batch, int64_t length) const {
    for (size_t i = 0; i < states_ + scan_inputs_; ++i) {
      const Tensor& input = context.Input(1 + i);
      const bool fits =
          input.rank() >= 1 && input.dim(0) == batch && (i < states_ || (input.rank() >= 2 && input.dim(1) == length));
      Require(fits, ErrorCode::kInvalidArgument, "input ", 1 + i, " is ", input.shape(), ", which does not fit batch ",
              batch, " and sequence length ", length);
    }
  }

  static std::vector<int64_t> Lengths(const KernelContext& context, int64_t batch, int64_t length) {
    const Tensor* given = context.OptionalInput(0);
    if (given == nullptr) return std::vector<int64_t>(static_cast<size_t>(batch), length);
    std::vector<int64_t> lengths = given->To<int64_t>();
    Require(static_cast<int64_t>(lengths.size()) == batch, ErrorCode::kInvalidArgument, "sequence_lens has ",
            lengths.size(), " values for a batch of ", batch);
    for (int64_t l : lengths) {
      Require(l >= 0 && l <= length, ErrorCode::kInvalidArgument, "sequence_lens holds ", l, ", which is not in [0, ",
              length, "]");
    }
    return lengths;
  }

  /// `rows` with zeros behind up to `length` rows.
  static Tensor Padded(const Tensor& rows, int64_t length) {
    if (rows.dim(0) == length) return rows;
    Shape shape = rows.shape();
    shape[0] = length;
    Tensor out = Tensor::Allocate(rows.dtype(), shape);
    if (rows.dtype() == DType::kString) {
      std::copy_n(rows.data<std::string>(), rows.elements(), out.data<std::string>());
    } else {
      std::memset(out.raw(), 0, out.bytes());
      if (rows.bytes() != 0) std::memcpy(out.raw(), rows.raw(), rows.bytes());
    }
    return out;
  }

  Type TypeOfState(const KernelContext& context, size_t i) const {
    const Tensor& initial = context.Input(1 + i);
    Shape shape = initial.shape();
    shape.Erase(0);
    return Type::Tensor(initial.dtype(), shape);
  }

  Type ScanRow(size_t i, int64_t length) const {
    Type type = scan_types_[i];
    if (type.shape) type.shape->insert(type.shape->begin(), Dim{length, ""});
    return type;
  }

  std::vector<int64_t> directions_;
};

}  // namespace

std::unique_ptr<ControlFlow> CreateScan(const NodeSpec& node, const std::vector<BodyPlan>& bodies) {
  if (node.since_version == 8) return std::make_unique<BatchedScan>(node, bodies);
  return std::make_unique<Scan>(node, bodies);
}

}  // namespace onnxforge::runtime
