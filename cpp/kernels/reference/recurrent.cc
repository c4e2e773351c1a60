// RNN, GRU and LSTM.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "reference/activation_functions.h"
#include "reference/compute.h"
#include "reference/list.h"
#include "reference/matrix.h"

namespace onnxforge::reference {
namespace {

enum class Cell { kRnn, kGru, kLstm };

constexpr int64_t GateCount(Cell cell) { return cell == Cell::kRnn ? 1 : cell == Cell::kGru ? 3 : 4; }
constexpr size_t FunctionCount(Cell cell) { return cell == Cell::kRnn ? 1 : cell == Cell::kGru ? 2 : 3; }

struct GateFunction {
  enum class Kind {
    kRelu,
    kTanh,
    kSigmoid,
    kAffine,
    kLeakyRelu,
    kThresholdedRelu,
    kScaledTanh,
    kHardSigmoid,
    kElu,
    kSoftsign,
    kSoftplus
  };
  Kind kind = Kind::kTanh;
  float alpha = 0;
  float beta = 0;

  template <typename C>
  C operator()(C x) const {
    const C a = static_cast<C>(alpha);
    const C b = static_cast<C>(beta);
    switch (kind) {
      case Kind::kRelu:
        return std::max(x, C{0});
      case Kind::kTanh:
        return std::tanh(x);
      case Kind::kSigmoid:
        return activation::Sigmoid(x);
      case Kind::kAffine:
        return a * x + b;
      case Kind::kLeakyRelu:
        return activation::LeakyRelu(x, a);
      case Kind::kThresholdedRelu:
        return activation::ThresholdedRelu(x, a);
      case Kind::kScaledTanh:
        return a * std::tanh(b * x);
      case Kind::kHardSigmoid:
        return activation::HardSigmoid(x, a, b);
      case Kind::kElu:
        return activation::Elu(x, a);
      case Kind::kSoftsign:
        return activation::Softsign(x);
      case Kind::kSoftplus:
        return activation::Softplus(x);
    }
    return x;
  }
};

/// The functions the standard lists for gates, with what alpha and beta are when not given.
struct GateFunctionRow {
  const char* name;  // in lower case: the standard compares without case
  GateFunction function;
  bool has_alpha;
  bool has_beta;
};

constexpr GateFunctionRow kGateFunctions[] = {
    {"affine", {GateFunction::Kind::kAffine, 1.0f, 0.0f}, true, true},
    {"elu", {GateFunction::Kind::kElu, 1.0f, 0.0f}, true, false},
    {"hardsigmoid", {GateFunction::Kind::kHardSigmoid, 0.2f, 0.5f}, true, true},
    {"leakyrelu", {GateFunction::Kind::kLeakyRelu, 0.01f, 0.0f}, true, false},
    {"relu", {GateFunction::Kind::kRelu, 0.0f, 0.0f}, false, false},
    {"scaledtanh", {GateFunction::Kind::kScaledTanh, 1.0f, 1.0f}, true, true},
    {"sigmoid", {GateFunction::Kind::kSigmoid, 0.0f, 0.0f}, false, false},
    {"softplus", {GateFunction::Kind::kSoftplus, 0.0f, 0.0f}, false, false},
    {"softsign", {GateFunction::Kind::kSoftsign, 0.0f, 0.0f}, false, false},
    {"tanh", {GateFunction::Kind::kTanh, 0.0f, 0.0f}, false, false},
    {"thresholdedrelu", {GateFunction::Kind::kThresholdedRelu, 1.0f, 0.0f}, true, false},
};

const GateFunctionRow& FindGateFunction(std::string name) {
  const std::string given = name;
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const GateFunctionRow& row : kGateFunctions) {
    if (name == row.name) return row;
  }
  Fail(ErrorCode::kInvalidModel, "attribute 'activations' names '", given, "', which is no function a gate can have");
}

struct RecurrentAttributes {
  Cell cell = Cell::kRnn;
  size_t directions = 1;
  bool first_reversed = false;
  bool batch_first = false;  // layout 1
  bool linear_before_reset = false;
  bool input_forget = false;
  float clip = 0;                       // none when 0
  std::vector<GateFunction> functions;  // of the first direction, then of the second
};

std::vector<GateFunction> ReadFunctions(const NodeSpec& node, Cell cell, size_t directions) {
  std::vector<std::string> names = node.attributes.Strings("activations");
  if (names.empty()) {
    for (size_t d = 0; d < directions; ++d) {
      if (cell != Cell::kRnn) names.emplace_back("Sigmoid");
      names.emplace_back("Tanh");
      if (cell == Cell::kLstm) names.emplace_back("Tanh");
    }
  }
  const size_t count = FunctionCount(cell) * directions;
  Require(names.size() == count, ErrorCode::kInvalidModel, "attribute 'activations' has ", names.size(), " names, ",
          count, " are expected");
  // The lists of parameters have an entry for each function that takes one, in order.
  const std::vector<float> alphas = node.attributes.Floats("activation_alpha");
  const std::vector<float> betas = node.attributes.Floats("activation_beta");
  size_t next_alpha = 0;
  size_t next_beta = 0;
  std::vector<GateFunction> out;
  for (const std::string& name : names) {
    const GateFunctionRow& row = FindGateFunction(name);
    GateFunction function = row.function;
    if (row.has_alpha && next_alpha < alphas.size()) function.alpha = alphas[next_alpha++];
    if (row.has_beta && next_beta < betas.size()) function.beta = betas[next_beta++];
    out.push_back(function);
  }
  return out;
}

RecurrentAttributes ReadAttributes(const NodeSpec& node, Cell cell) {
  RecurrentAttributes out;
  out.cell = cell;
  const std::string direction = node.attributes.String("direction", "forward");
  Require(direction == "forward" || direction == "reverse" || direction == "bidirectional", ErrorCode::kInvalidModel,
          "attribute 'direction' must be 'forward', 'reverse' or 'bidirectional', not '", direction, "'");
  out.directions = direction == "bidirectional" ? 2 : 1;
  out.first_reversed = direction == "reverse";
  out.batch_first = node.attributes.Int("layout", 0) != 0;
  out.linear_before_reset = node.attributes.Int("linear_before_reset", 0) != 0;
  out.input_forget = node.attributes.Int("input_forget", 0) != 0;
  out.clip = node.attributes.Float("clip", 0.0f);
  out.functions = ReadFunctions(node, cell, out.directions);
  return out;
}

struct RecurrentSizes {
  int64_t steps = 0;
  int64_t batch = 0;
  int64_t input = 0;
  int64_t hidden = 0;
};

/// One direction of a layer. All states are [batch, hidden].
template <typename C>
class Direction {
 public:
  Direction(const RecurrentAttributes& attributes, const RecurrentSizes& sizes, size_t index)
      : a_(attributes),
        s_(sizes),
        gates_(GateCount(attributes.cell) * sizes.hidden),
        functions_(attributes.functions.data() + index * FunctionCount(attributes.cell)),
        h(static_cast<size_t>(sizes.batch * sizes.hidden), C{0}),
        c(attributes.cell == Cell::kLstm ? h.size() : 0, C{0}) {}

  /// The parts of the gates that depend on the input alone: [steps · batch, gates].
  void MultiplyInput(ThreadPool& threads, const C* x, const C* w, const C* bias) {
    const int64_t rows = s_.steps * s_.batch;
    input_part_.assign(static_cast<size_t>(rows * gates_), C{0});
    if (bias != nullptr) {
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t g = 0; g < gates_; ++g)
          input_part_[static_cast<size_t>(i * gates_ + g)] = bias[g] + OuterRecurrentBias(bias, g);
      }
      recurrent_bias_ = bias + gates_;
    }
    std::vector<C> turned(static_cast<size_t>(gates_ * s_.input));
    TransposeMatrix(w, gates_, s_.input, turned.data());
    ParallelMultiplyAdd(threads, rows, gates_, s_.input, x, s_.input, int64_t{1}, turned.data(), gates_,
                        input_part_.data(), gates_);
  }

  void SetRecurrence(const C* r, const C* peepholes) {
    recurrence_.resize(static_cast<size_t>(gates_ * s_.hidden));
    TransposeMatrix(r, gates_, s_.hidden, recurrence_.data());
    peepholes_ = peepholes;
  }

  /// Computes the next states of every row from input_part of row `rows[b]` (a step times batch plus b); -1: the
  /// sequence is over.
  void Step(ThreadPool& threads, const std::vector<int64_t>& rows) {
    work_.resize(static_cast<size_t>(s_.batch * gates_));
    for (int64_t b = 0; b < s_.batch; ++b) {
      const int64_t row = std::max<int64_t>(0, rows[static_cast<size_t>(b)]);
      std::copy_n(input_part_.begin() + row * gates_, gates_, work_.begin() + b * gates_);
    }
    switch (a_.cell) {
      case Cell::kRnn:
        return StepRnn(threads, rows);
      case Cell::kGru:
        return StepGru(threads, rows);
      case Cell::kLstm:
        return StepLstm(threads, rows);
    }
  }

 private:
  /// The recurrent bias joins the input's part, except GRU's of the hidden gate when that is to be reset before it is
  /// added.
  C OuterRecurrentBias(const C* bias, int64_t gate) const {
    const bool inner = a_.cell == Cell::kGru && a_.linear_before_reset && gate >= 2 * s_.hidden;
    return inner ? C{0} : bias[gates_ + gate];
  }

  C Clipped(C x) const {
    const C limit = static_cast<C>(a_.clip);
    return a_.clip > 0 ? std::clamp(x, -limit, limit) : x;
  }

  void StepRnn(ThreadPool& threads, const std::vector<int64_t>& rows) {
    const int64_t hidden = s_.hidden;
    ParallelMultiplyAdd(threads, s_.batch, hidden, hidden, h.data(), hidden, int64_t{1}, recurrence_.data(), gates_,
                        work_.data(), gates_);
    ForStates(rows, [&](int64_t b, int64_t i, size_t state) {
      h[state] = functions_[0](Clipped(work_[static_cast<size_t>(b * gates_ + i)]));
    });
  }

  void StepGru(ThreadPool& threads, const std::vector<int64_t>& rows) {
    const int64_t hidden = s_.hidden;
    ParallelMultiplyAdd(threads, s_.batch, 2 * hidden, hidden, h.data(), hidden, int64_t{1}, recurrence_.data(), gates_,
                        work_.data(), gates_);
    std::vector<C> reset(h.size());  // r · H, or r where the reset comes after the product
    std::vector<C> product(h.size(), C{0});
    const std::vector<int64_t> all(static_cast<size_t>(s_.batch), 0);
    ForStates(all, [&](int64_t b, int64_t i, size_t state) {
      const C r = functions_[0](Clipped(work_[static_cast<size_t>(b * gates_ + hidden + i)]));
      reset[state] = a_.linear_before_reset ? r : r * h[state];
    });
    ParallelMultiplyAdd(threads, s_.batch, hidden, hidden, a_.linear_before_reset ? h.data() : reset.data(), hidden,
                        int64_t{1}, recurrence_.data() + 2 * hidden, gates_, product.data(), hidden);
    ForStates(rows, [&](int64_t b, int64_t i, size_t state) {
      C recurrent = product[state];
      if (a_.linear_before_reset) {
        if (recurrent_bias_ != nullptr) recurrent += recurrent_bias_[2 * hidden + i];
        recurrent *= reset[state];
      }
      const C* work = work_.data() + b * gates_;
      const C z = functions_[0](Clipped(work[i]));
      const C candidate = functions_[1](Clipped(work[2 * hidden + i] + recurrent));
      h[state] = (C{1} - z) * candidate + z * h[state];
    });
  }

  void StepLstm(ThreadPool& threads, const std::vector<int64_t>& rows) {
    const int64_t hidden = s_.hidden;
    ParallelMultiplyAdd(threads, s_.batch, gates_, hidden, h.data(), hidden, int64_t{1}, recurrence_.data(), gates_,
                        work_.data(), gates_);
    ForStates(rows, [&](int64_t b, int64_t i, size_t state) {
      const C* work = work_.data() + b * gates_;  // i, o, f, c
      const auto peephole = [&](int64_t gate) { return peepholes_ != nullptr ? peepholes_[gate * hidden + i] : C{0}; };
      const C input = functions_[0](Clipped(work[i] + peephole(0) * c[state]));
      const C forget =
          a_.input_forget ? C{1} - input : functions_[0](Clipped(work[2 * hidden + i] + peephole(2) * c[state]));
      const C candidate = functions_[1](Clipped(work[3 * hidden + i]));
      c[state] = forget * c[state] + input * candidate;
      const C output = functions_[0](Clipped(work[hidden + i] + peephole(1) * c[state]));
      h[state] = output * functions_[2](c[state]);
    });
  }

  template <typename F>
  void ForStates(const std::vector<int64_t>& rows, F f) {
    for (int64_t b = 0; b < s_.batch; ++b) {
      if (rows[static_cast<size_t>(b)] < 0) continue;
      for (int64_t i = 0; i < s_.hidden; ++i) f(b, i, static_cast<size_t>(b * s_.hidden + i));
    }
  }

  const RecurrentAttributes& a_;
  const RecurrentSizes& s_;
  int64_t gates_;
  const GateFunction* functions_;
  std::vector<C> input_part_, recurrence_, work_;
  const C* recurrent_bias_ = nullptr;
  const C* peepholes_ = nullptr;

 public:
  std::vector<C> h, c;
};

/// Where [direction, batch] of a state and [step, direction, batch] of Y lie, in rows of the hidden size.
struct Rows {
  const RecurrentAttributes& a;
  const RecurrentSizes& s;

  int64_t State(int64_t direction, int64_t b) const {
    return a.batch_first ? b * static_cast<int64_t>(a.directions) + direction : direction * s.batch + b;
  }
  int64_t Y(int64_t step, int64_t direction, int64_t b) const {
    const auto directions = static_cast<int64_t>(a.directions);
    return a.batch_first ? (b * s.steps + step) * directions + direction
                         : (step * directions + direction) * s.batch + b;
  }
};

/// x as [steps, batch, input].
template <typename C>
const C* StepsFirst(KernelContext& context, const Tensor& x, const RecurrentSizes& s, bool batch_first) {
  const C* in = ReadAs<C>(context, x);
  if (!batch_first) return in;
  C* out = context.Scratch<C>(static_cast<size_t>(x.elements()));
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t t = 0; t < s.steps; ++t)
      std::copy_n(in + (b * s.steps + t) * s.input, s.input, out + (t * s.batch + b) * s.input);
  }
  return out;
}

void RequireShape(const Tensor* t, const char* name, const Shape& expected) {
  Require(t == nullptr || t->shape() == expected, ErrorCode::kInvalidArgument, name, " has shape ",
          t != nullptr ? t->shape() : Shape{}, ", ", expected, " is expected");
}

/// An output [..., hidden] kept in wide numbers; nothing where it is not wanted.
template <typename C>
std::vector<C> WantedRows(const KernelContext& context, size_t output, int64_t elements) {
  return std::vector<C>(context.HasOutput(output) ? static_cast<size_t>(elements) : 0, C{0});
}

template <typename C>
void StoreRows(KernelContext& context, size_t output, DType dtype, const Shape& shape, const std::vector<C>& values) {
  if (!context.HasOutput(output)) return;
  Tensor& t = context.Output(output, dtype, shape);
  ConvertElements(kDTypeOf<C>, values.data(), dtype, t.raw(), t.elements());
}

template <typename C>
void RunRecurrent(KernelContext& context, const RecurrentAttributes& a) {
  const Tensor& x = context.Input(0);
  const Tensor& w = context.Input(1);
  const Tensor& r = context.Input(2);
  Require(x.rank() == 3 && w.rank() == 3 && r.rank() == 3, ErrorCode::kInvalidArgument,
          "X, W and R must have three axes, and have shapes ", x.shape(), ", ", w.shape(), " and ", r.shape());
  const RecurrentSizes s = {x.dim(a.batch_first ? 1 : 0), x.dim(a.batch_first ? 0 : 1), x.dim(2), r.dim(2)};
  const auto directions = static_cast<int64_t>(a.directions);
  const int64_t gates = GateCount(a.cell) * s.hidden;
  const Shape states = a.batch_first ? Shape{s.batch, directions, s.hidden} : Shape{directions, s.batch, s.hidden};
  const Tensor* bias = context.OptionalInput(3);
  const Tensor* initial_h = context.OptionalInput(5);
  const Tensor* initial_c = a.cell == Cell::kLstm ? context.OptionalInput(6) : nullptr;
  const Tensor* peepholes = a.cell == Cell::kLstm ? context.OptionalInput(7) : nullptr;
  RequireShape(&w, "W", {directions, gates, s.input});
  RequireShape(&r, "R", {directions, gates, s.hidden});
  RequireShape(bias, "B", {directions, 2 * gates});
  RequireShape(initial_h, "initial_h", states);
  RequireShape(initial_c, "initial_c", states);
  RequireShape(peepholes, "P", {directions, 3 * s.hidden});
  std::vector<int64_t> lengths(static_cast<size_t>(s.batch), s.steps);
  if (const Tensor* given = context.OptionalInput(4)) {
    RequireShape(given, "sequence_lens", {s.batch});
    lengths = given->To<int64_t>();
    for (int64_t length : lengths) {
      Require(length >= 0 && length <= s.steps, ErrorCode::kInvalidArgument, "a sequence length is ", length, " of ",
              s.steps, " steps");
    }
  }
  const Rows rows{a, s};
  const C* in = StepsFirst<C>(context, x, s, a.batch_first);
  std::vector<C> y = WantedRows<C>(context, 0, s.steps * directions * s.batch * s.hidden);
  std::vector<C> last_h = WantedRows<C>(context, 1, directions * s.batch * s.hidden);
  std::vector<C> last_c =
      a.cell == Cell::kLstm ? WantedRows<C>(context, 2, directions * s.batch * s.hidden) : std::vector<C>{};
  const auto copy_rows = [&](const std::vector<C>& from, std::vector<C>& to, int64_t b, int64_t row) {
    if (!to.empty()) std::copy_n(from.begin() + b * s.hidden, s.hidden, to.begin() + row * s.hidden);
  };
  for (int64_t d = 0; d < directions; ++d) {
    Direction<C> direction(a, s, static_cast<size_t>(d));
    direction.MultiplyInput(context.Threads(), in, ReadAs<C>(context, w) + d * gates * s.input,
                            bias != nullptr ? ReadAs<C>(context, *bias) + d * 2 * gates : nullptr);
    direction.SetRecurrence(ReadAs<C>(context, r) + d * gates * s.hidden,
                            peepholes != nullptr ? ReadAs<C>(context, *peepholes) + d * 3 * s.hidden : nullptr);
    for (int64_t b = 0; b < s.batch; ++b) {
      const int64_t from = rows.State(d, b) * s.hidden;
      if (initial_h != nullptr)
        std::copy_n(ReadAs<C>(context, *initial_h) + from, s.hidden, direction.h.begin() + b * s.hidden);
      if (initial_c != nullptr)
        std::copy_n(ReadAs<C>(context, *initial_c) + from, s.hidden, direction.c.begin() + b * s.hidden);
    }
    const bool reversed = a.first_reversed || d == 1;
    std::vector<int64_t> at(
        static_cast<size_t>(s.batch));  // the step each sequence is at, then the row of the input's part
    std::vector<int64_t> input_rows(at.size());
    for (int64_t step = 0; step < s.steps; ++step) {
      for (int64_t b = 0; b < s.batch; ++b) {
        const auto i = static_cast<size_t>(b);
        at[i] = step >= lengths[i] ? -1 : reversed ? lengths[i] - 1 - step : step;
        input_rows[i] = at[i] < 0 ? -1 : at[i] * s.batch + b;
      }
      direction.Step(context.Threads(), input_rows);
      for (int64_t b = 0; b < s.batch; ++b) {
        if (at[static_cast<size_t>(b)] >= 0) copy_rows(direction.h, y, b, rows.Y(at[static_cast<size_t>(b)], d, b));
      }
    }
    for (int64_t b = 0; b < s.batch; ++b) {
      copy_rows(direction.h, last_h, b, rows.State(d, b));
      if (a.cell == Cell::kLstm) copy_rows(direction.c, last_c, b, rows.State(d, b));
    }
  }
  const Shape all =
      a.batch_first ? Shape{s.batch, s.steps, directions, s.hidden} : Shape{s.steps, directions, s.batch, s.hidden};
  const DType dtype = x.dtype();
  StoreRows(context, 0, dtype, all, y);
  StoreRows(context, 1, dtype, states, last_h);
  if (a.cell == Cell::kLstm) StoreRows(context, 2, dtype, states, last_c);
}

template <Cell kCell>
std::unique_ptr<Kernel> MakeRecurrent(const NodeSpec& node) {
  return MakeKernel([a = ReadAttributes(node, kCell), name = std::string(node.op_type)](KernelContext& context) {
    DispatchFloat(context.Input(0).dtype(), name,
                  [&](auto tag) { RunRecurrent<typename decltype(tag)::type>(context, a); });
  });
}

}  // namespace

void AddRecurrent(KernelTable& table) {
  table.Add("", "GRU", {1, 3, 7, 14, 22}, &MakeRecurrent<Cell::kGru>);
  table.Add("", "LSTM", {1, 7, 14, 22}, &MakeRecurrent<Cell::kLstm>);
  table.Add("", "RNN", {1, 7, 14, 22}, &MakeRecurrent<Cell::kRnn>);
}

}  // namespace onnxforge::reference
