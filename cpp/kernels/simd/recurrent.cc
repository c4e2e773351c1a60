// LSTM-7/14/22 and GRU-3…22 for float32 with constant weights and the usual functions: the input's part of all steps is
// one multiplication, each step multiplies the state by packed weights and goes on with whole vectors.

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "onnxforge/base/error.h"
#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "simd/epilogue.h"
#include "simd/gemm.h"
#include "simd/list.h"
#include "simd/rows.h"
#include "simd/tasks.h"

namespace onnxforge::simd {
namespace {

/// A matrix [n, k] given row by row, packed as the right-hand side [k, n].
struct PackedWeights {
  Storage storage;
  size_t n = 0;
  size_t k = 0;

  PackedWeights(const NodeSpec& node, const GemmOps& ops, const float* weights, size_t rows, size_t columns)
      : n(rows), k(columns) {
    storage = node.AllocateWeights(PackedSize(ops, k, n) * sizeof(float));
    ops.pack_b(weights, k, true, k, n, 0, CeilDiv(n, ops.nr), static_cast<float*>(storage.get()));
  }

  /// y[m, n] = x[m, k] · Wᵀ + epilogue, with rows of y `stride` apart.
  void Multiply(const GemmOps& ops, size_t m, const float* x, const Epilogue& epilogue, float* y, size_t stride,
                ThreadPool& threads) const {
    GemmCall call;
    call.m = m;
    call.n = n;
    call.depth = k;
    call.a = x;
    call.a_stride = k;
    call.b = static_cast<const float*>(storage.get());
    call.c = y;
    call.c_stride = stride;
    call.epilogue = epilogue;
    RunGemms(ops, 1, m, n, k, threads, [&](size_t) { return call; });
  }
};

struct Sizes {
  size_t steps, batch, input, hidden;
};

/// What the steps of both cells use.
struct Tools {
  const GemmOps& gemm;
  const RowOps& rows;
  Function sigmoid;
  Function tanh;

  explicit Tools(int64_t target)
      : gemm(GemmOpsFor(target)),
        rows(RowOpsFor(target)),
        sigmoid(FunctionFor({"Sigmoid"}, target)),
        tanh(FunctionFor({"Tanh"}, target)) {}
};

/// One direction of an LSTM; gates i, o, f, c.
class LstmCell {
 public:
  static constexpr size_t kGates = 4;
  static constexpr bool kHasCellState = true;

  LstmCell(const Tools& tools, const NodeSpec& node, const float* recurrence, size_t hidden)
      : recurrence_(node, tools.gemm, recurrence, kGates * hidden, hidden) {}

  /// The bias of the input's part.
  static void JoinBias(const float* bias, size_t hidden, float* joined) {
    for (size_t i = 0; i < kGates * hidden; ++i) joined[i] = bias[i] + bias[kGates * hidden + i];
  }

  static size_t WorkFloats(const Sizes& s) { return (kGates * s.batch + 1) * s.hidden; }

  void Step(const Tools& t, const Sizes& s, const float* input_part, const float*, float* h, float* c, float* work,
            ThreadPool& threads) const {
    const size_t n = s.hidden;
    Epilogue add;
    add.residual = input_part;
    add.residual_stride = kGates * n;
    recurrence_.Multiply(t.gemm, s.batch, h, add, work, kGates * n, threads);
    float* spare = work + kGates * s.batch * n;
    const auto count = static_cast<int64_t>(n);
    for (size_t b = 0; b < s.batch; ++b, work += kGates * n, h += n, c += n) {
      t.sigmoid(work, work, 3 * n);
      t.tanh(work + 3 * n, work + 3 * n, n);
      t.rows.mul(work + 2 * n, 1, c, 1, c, count);
      t.rows.mul(work, 1, work + 3 * n, 1, spare, count);
      t.rows.add(c, 1, spare, 1, c, count);
      t.tanh(c, spare, n);
      t.rows.mul(work + n, 1, spare, 1, h, count);
    }
  }

 private:
  PackedWeights recurrence_;
};

/// One direction of a GRU; gates z, r, h.
class GruCell {
 public:
  static constexpr size_t kGates = 3;
  static constexpr bool kHasCellState = false;

  GruCell(const Tools& tools, const NodeSpec& node, const float* recurrence, size_t hidden)
      : gates_(node, tools.gemm, recurrence, 2 * hidden, hidden),
        candidate_(node, tools.gemm, recurrence + 2 * hidden * hidden, hidden, hidden),
        reset_after_(node.attributes.Int("linear_before_reset", 0) != 0) {}

  /// The recurrent bias of the candidate stays apart where the reset comes after it.
  void JoinBias(const float* bias, size_t hidden, float* joined) const {
    for (size_t i = 0; i < kGates * hidden; ++i) {
      const bool apart = reset_after_ && i >= 2 * hidden;
      joined[i] = bias[i] + (apart ? 0.0f : bias[kGates * hidden + i]);
    }
  }

  static size_t WorkFloats(const Sizes& s) { return 4 * s.batch * s.hidden; }

  void Step(const Tools& t, const Sizes& s, const float* input_part, const float* bias, float* h, float*, float* work,
            ThreadPool& threads) const {
    const size_t n = s.hidden;
    float* gates = work;                        // [batch, 2n]
    float* reset = work + 2 * s.batch * n;      // [batch, n]
    float* recurrent = work + 3 * s.batch * n;  // [batch, n]
    Epilogue add;
    add.residual = input_part;
    add.residual_stride = kGates * n;
    add.activation = t.sigmoid;
    gates_.Multiply(t.gemm, s.batch, h, add, gates, 2 * n, threads);
    const auto count = static_cast<int64_t>(n);
    Epilogue product;
    if (reset_after_) {
      if (bias != nullptr) product.col_bias = bias + (kGates + 2) * n;
      candidate_.Multiply(t.gemm, s.batch, h, product, recurrent, n, threads);
      for (size_t b = 0; b < s.batch; ++b) {
        t.rows.mul(gates + b * 2 * n + n, 1, recurrent + b * n, 1, recurrent + b * n, count);
      }
    } else {
      for (size_t b = 0; b < s.batch; ++b) {
        t.rows.mul(gates + b * 2 * n + n, 1, h + b * n, 1, reset + b * n, count);
      }
      candidate_.Multiply(t.gemm, s.batch, reset, product, recurrent, n, threads);
    }
    for (size_t b = 0; b < s.batch; ++b) {
      float* candidate = recurrent + b * n;
      t.rows.add(candidate, 1, input_part + (b * kGates + 2) * n, 1, candidate, count);
      t.tanh(candidate, candidate, n);
      // (1 - z) · candidate + z · h
      t.rows.sub(h + b * n, 1, candidate, 1, h + b * n, count);
      t.rows.mul(h + b * n, 1, gates + b * 2 * n, 1, h + b * n, count);
      t.rows.add(h + b * n, 1, candidate, 1, h + b * n, count);
    }
  }

 private:
  PackedWeights gates_;
  PackedWeights candidate_;
  bool reset_after_;
};

template <typename Cell>
class Recurrent final : public Kernel {
 public:
  Recurrent(const NodeSpec& node, std::unique_ptr<Kernel> other)
      : tools_(node.target),
        reversed_(node.attributes.String("direction", "forward") == "reverse"),
        bias_(node.IsConstant(3) ? node.constant_inputs[3] : Tensor()),
        other_(std::move(other)) {
    const Tensor& w = node.constant_inputs[1];
    const Tensor& r = node.constant_inputs[2];
    input_ = static_cast<size_t>(w.dim(2));
    hidden_ = static_cast<size_t>(r.dim(2));
    const size_t gates = Cell::kGates * hidden_;
    for (size_t d = 0; d < static_cast<size_t>(w.dim(0)); ++d) {
      inputs_.emplace_back(node, tools_.gemm, w.data<float>() + d * gates * input_, gates, input_);
      cells_.emplace_back(tools_, node, r.data<float>() + d * gates * hidden_, hidden_);
      joined_.emplace_back(gates, 0.0f);
      if (bias_.defined()) cells_[d].JoinBias(bias_.data<float>() + d * 2 * gates, hidden_, joined_[d].data());
    }
  }

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    if (context.HasInput(4) || (context.HasInput(3) && !bias_.defined()) ||
        (Cell::kHasCellState && context.HasInput(7)) || x.rank() != 3 || static_cast<size_t>(x.dim(2)) != input_ ||
        !StatesFit(context, x.dim(1))) {
      return other_->Run(context);
    }
    const Sizes s{static_cast<size_t>(x.dim(0)), static_cast<size_t>(x.dim(1)), input_, hidden_};
    const Shape states{static_cast<int64_t>(cells_.size()), x.dim(1), static_cast<int64_t>(hidden_)};
    const auto floats = [&](size_t i, const Shape& shape) {
      return context.HasOutput(i) ? context.Output(i, DType::kFloat32, shape).template data<float>()
                                  : context.Scratch<float>(static_cast<size_t>(shape.elements()));
    };
    float* y =
        context.HasOutput(0)
            ? context.Output(0, DType::kFloat32, {x.dim(0), states[0], states[1], states[2]}).template data<float>()
            : nullptr;
    float* h = floats(1, states);
    float* c = Cell::kHasCellState ? floats(2, states) : nullptr;
    Begin(context, 5, h, states);
    if (Cell::kHasCellState) Begin(context, 6, c, states);
    for (size_t d = 0; d < cells_.size(); ++d) {
      const size_t state = d * s.batch * s.hidden;
      RunDirection(context, s, d, h + state, c == nullptr ? nullptr : c + state, y);
    }
  }

 private:
  bool StatesFit(const KernelContext& context, int64_t batch) const {
    const Shape expected{static_cast<int64_t>(cells_.size()), batch, static_cast<int64_t>(hidden_)};
    for (size_t i : {size_t{5}, size_t{6}}) {
      const Tensor* state = context.OptionalInput(i);
      if (state != nullptr && state->shape() != expected) return false;
    }
    return true;
  }

  static void Begin(const KernelContext& context, size_t input, float* state, const Shape& shape) {
    const auto count = static_cast<size_t>(shape.elements());
    if (const Tensor* initial = context.OptionalInput(input)) {
      std::copy_n(initial->data<float>(), count, state);
    } else {
      std::fill_n(state, count, 0.0f);
    }
  }

  void RunDirection(KernelContext& context, const Sizes& s, size_t d, float* h, float* c, float* y) const {
    const size_t gates = Cell::kGates * s.hidden;
    float* input_part = context.Scratch<float>(s.steps * s.batch * gates);
    float* work = context.Scratch<float>(Cell::WorkFloats(s));
    Epilogue bias;
    bias.col_bias = joined_[d].data();
    inputs_[d].Multiply(tools_.gemm, s.steps * s.batch, context.Input(0).data<float>(), bias, input_part, gates,
                        context.Threads());
    const float* own_bias = bias_.defined() ? bias_.data<float>() + d * 2 * gates : nullptr;
    const bool backwards = reversed_ || d == 1;
    const size_t state = s.batch * s.hidden;
    for (size_t i = 0; i < s.steps; ++i) {
      const size_t step = backwards ? s.steps - 1 - i : i;
      cells_[d].Step(tools_, s, input_part + step * s.batch * gates, own_bias, h, c, work, context.Threads());
      if (y != nullptr) std::copy_n(h, state, y + (step * cells_.size() + d) * state);
    }
  }

  Tools tools_;
  bool reversed_;
  Tensor bias_;
  size_t input_ = 0;
  size_t hidden_ = 0;
  std::vector<PackedWeights> inputs_;  // by direction
  std::vector<Cell> cells_;
  std::vector<std::vector<float>> joined_;
  std::unique_ptr<Kernel> other_;  // for sequence lengths, peepholes, and a bias that comes with the run
};

/// Whether W, R and B are known and fit each other.
bool WeightsFit(const NodeSpec& node, int64_t gates) {
  for (size_t i = 0; i < 3; ++i) {
    if (node.InputDType(i) != DType::kFloat32) return false;
  }
  if (!node.IsConstant(1) || !node.IsConstant(2)) return false;
  const Tensor& w = node.constant_inputs[1];
  const Tensor& r = node.constant_inputs[2];
  if (w.rank() != 3 || r.rank() != 3) return false;
  const int64_t directions = node.attributes.String("direction", "forward") == "bidirectional" ? 2 : 1;
  const int64_t hidden = r.dim(2);
  if (w.dim(0) != directions || r.shape() != Shape{directions, gates * hidden, hidden}) return false;
  if (w.dim(1) != gates * hidden || hidden == 0 || w.dim(2) == 0) return false;
  const bool has_bias = node.input_count > 3 && node.InputDType(3) != DType::kUndefined;
  return !has_bias || (node.IsConstant(3) && node.constant_inputs[3].shape() == Shape{directions, 2 * gates * hidden});
}

bool HasUsualFunctions(const NodeSpec& node, const std::vector<std::string>& usual) {
  const std::vector<std::string> names = node.attributes.Strings("activations");
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] != usual[i % usual.size()]) return false;
  }
  return names.size() % usual.size() == 0 && node.attributes.Float("clip", 0.0f) == 0.0f &&
         node.attributes.Int("layout", 0) == 0 && node.attributes.Int("input_forget", 0) == 0;
}

template <typename Cell>
std::unique_ptr<Kernel> MakeCell(const NodeSpec& node, const std::vector<std::string>& usual) {
  if (!WeightsFit(node, Cell::kGates) || !HasUsualFunctions(node, usual)) return nullptr;
  const KernelFactory reference = ReferenceKernels().Find(node.domain, node.op_type, node.since_version);
  return std::make_unique<Recurrent<Cell>>(node, reference(node));
}

std::unique_ptr<Kernel> MakeLstm(const NodeSpec& node) { return MakeCell<LstmCell>(node, {"Sigmoid", "Tanh", "Tanh"}); }

std::unique_ptr<Kernel> MakeGru(const NodeSpec& node) { return MakeCell<GruCell>(node, {"Sigmoid", "Tanh"}); }

}  // namespace

void AddRecurrent(KernelTable& table) {
  table.Add("", "GRU", {3, 7, 14, 22}, MakeGru);
  table.Add("", "LSTM", {7, 14, 22}, MakeLstm);
}

}  // namespace onnxforge::simd
