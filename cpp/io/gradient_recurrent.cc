// The derivatives of RNN, GRU and LSTM: written as a Scan over the steps of each direction, and pulled through that.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_reverse.h"
#include "import_type.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

enum class RecurrentCell { kRnn, kGru, kLstm };

int64_t GatesOf(RecurrentCell cell) { return cell == RecurrentCell::kRnn ? 1 : cell == RecurrentCell::kGru ? 3 : 4; }

/// A function of a gate, with its parameters.
struct GateFunction {
  std::string name;
  float alpha = 0;
  float beta = 0;

  std::string operator()(Pullback& p, const std::string& x) const {
    const auto number = [&](float value) { return p.Number(value, x); };
    if (name == "Affine") return Plus(p, Times(p, number(alpha), x), number(beta));
    if (name == "ScaledTanh") return Times(p, number(alpha), p.Emit("Tanh", {Times(p, number(beta), x)}));
    if (name == "HardSigmoid")
      return p.Emit(name.c_str(), {x}, {MakeAttribute("alpha", alpha), MakeAttribute("beta", beta)});
    if (name == "Elu" || name == "LeakyRelu" || name == "ThresholdedRelu")
      return p.Emit(name.c_str(), {x}, {MakeAttribute("alpha", alpha)});
    return p.Emit(name.c_str(), {x});
  }
};

struct GateFunctionRow {
  const char* name;
  bool has_alpha, has_beta;
  float alpha, beta;  // where the node does not say
};

constexpr GateFunctionRow kGateFunctions[] = {
    {"Affine", true, true, 1.0f, 0.0f},           {"Elu", true, false, 1.0f, 0.0f},
    {"HardSigmoid", true, true, 0.2f, 0.5f},      {"LeakyRelu", true, false, 0.01f, 0.0f},
    {"Relu", false, false, 0.0f, 0.0f},           {"ScaledTanh", true, true, 1.0f, 1.0f},
    {"Sigmoid", false, false, 0.0f, 0.0f},        {"Softplus", false, false, 0.0f, 0.0f},
    {"Softsign", false, false, 0.0f, 0.0f},       {"Tanh", false, false, 0.0f, 0.0f},
    {"ThresholdedRelu", true, false, 1.0f, 0.0f},
};

std::string Lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

const GateFunctionRow& FindGateFunction(const Pullback& p, const std::string& name) {
  for (const GateFunctionRow& row : kGateFunctions) {
    if (Lower(row.name) == Lower(name)) return row;  // the standard compares without case
  }
  FailForm(p, StrCat("with the activation '", Utf8(name), "'"));
}

std::vector<std::string> FunctionNames(const Pullback& p, RecurrentCell cell, size_t directions) {
  const auto* given = p.Find("activations");
  if (given != nullptr && given->strings_size() > 0) return {given->strings().begin(), given->strings().end()};
  std::vector<std::string> names;
  for (size_t d = 0; d < directions; ++d) {
    if (cell != RecurrentCell::kRnn) names.emplace_back("Sigmoid");
    names.emplace_back("Tanh");
    if (cell == RecurrentCell::kLstm) names.emplace_back("Tanh");
  }
  return names;
}

std::vector<float> FloatsOf(const Pullback& p, std::string_view name) {
  const auto* found = p.Find(name);
  if (found == nullptr) return {};
  return {found->floats().begin(), found->floats().end()};
}

/// The functions of all directions. The lists of parameters have an entry for each that takes one, in order.
std::vector<GateFunction> FunctionsOf(const Pullback& p, RecurrentCell cell, size_t directions) {
  const std::vector<float> alphas = FloatsOf(p, "activation_alpha");
  const std::vector<float> betas = FloatsOf(p, "activation_beta");
  size_t alpha = 0;
  size_t beta = 0;
  std::vector<GateFunction> functions;
  for (const std::string& name : FunctionNames(p, cell, directions)) {
    const GateFunctionRow& row = FindGateFunction(p, name);
    GateFunction function{row.name, row.alpha, row.beta};
    if (row.has_alpha && alpha < alphas.size()) function.alpha = alphas[alpha++];
    if (row.has_beta && beta < betas.size()) function.beta = betas[beta++];
    functions.push_back(function);
  }
  return functions;
}

/// What the steps of one direction read.
struct Direction {
  RecurrentCell cell = RecurrentCell::kRnn;
  const GateFunction* functions = nullptr;
  std::string parts;       // [steps, batch, gates]: of the gates, what the input makes
  std::string recurrence;  // [gates, hidden]
  std::string bias;        // [gates]; of the recurrence
  std::string peepholes;   // [3 · hidden], or nothing
  std::string lengths;     // [batch, 1], or nothing
  std::string h, c;        // at first
  bool reversed = false;
};

/// One step: the next states from the states and the input's part of the gates.
class RecurrentStep {
 public:
  RecurrentStep(Pullback& p, const Direction& d) : p_(p), d_(d), count_(GatesOf(d.cell)) {}

  std::pair<std::string, std::string> operator()(const std::string& part, const std::string& h, const std::string& c) {
    switch (d_.cell) {
      case RecurrentCell::kRnn:
        return {Gate(0, Plus(p_, part, Recurrent(h))), ""};
      case RecurrentCell::kGru:
        return {StepGru(part, h), ""};
      case RecurrentCell::kLstm:
        break;
    }
    return StepLstm(part, h, c);
  }

 private:
  std::string Recurrent(const std::string& h) {
    return p_.Emit("Gemm", {h, d_.recurrence, d_.bias}, {MakeAttribute("transB", int64_t{1})});
  }
  std::vector<std::string> Parts(const std::string& value, int64_t count, int64_t axis) {
    if (count == 1) return {value};
    return p_.EmitMany("Split", {value}, static_cast<size_t>(count),
                       {MakeAttribute("num_outputs", count), MakeAttribute("axis", axis)});
  }
  std::string Gate(size_t function, std::string x) {
    if (const float clip = p_.Float("clip", 0); clip > 0)
      x = p_.Emit("Clip", {x, p_.Number(-clip, x), p_.Number(clip, x)});
    return d_.functions[function](p_, x);
  }
  std::string Rest(const std::string& share) { return Minus(p_, p_.Number(1, share), share); }

  /// Update, reset, hidden. Where the reset comes before the product, that is made once more.
  std::string StepGru(const std::string& part, const std::string& h) {
    const std::vector<std::string> x = Parts(part, count_, -1);
    const std::vector<std::string> r = Parts(Recurrent(h), count_, -1);
    const std::string update = Gate(0, Plus(p_, x[0], r[0]));
    const std::string reset = Gate(0, Plus(p_, x[1], r[1]));
    std::string hidden = Times(p_, reset, r[2]);
    if (p_.Int("linear_before_reset", 0) == 0) {
      hidden = p_.Emit("Gemm", {Times(p_, reset, h), Parts(d_.recurrence, 3, 0)[2], Parts(d_.bias, 3, 0)[2]},
                       {MakeAttribute("transB", int64_t{1})});
    }
    const std::string candidate = Gate(1, Plus(p_, x[2], hidden));
    return Plus(p_, Times(p_, Rest(update), candidate), Times(p_, update, h));
  }

  /// Input, output, forget, cell.
  std::pair<std::string, std::string> StepLstm(const std::string& part, const std::string& h, const std::string& c) {
    const std::vector<std::string> x = Parts(Plus(p_, part, Recurrent(h)), count_, -1);
    const std::vector<std::string> peepholes =
        d_.peepholes.empty() ? std::vector<std::string>{} : Parts(d_.peepholes, 3, 0);
    const auto gate = [&](size_t i, const std::string& cell) {
      return Gate(0, peepholes.empty() ? x[i] : Plus(p_, x[i], Times(p_, peepholes[i], cell)));
    };
    const std::string input = gate(0, c);
    const std::string forget = p_.Int("input_forget", 0) != 0 ? Rest(input) : gate(2, c);
    const std::string next = Plus(p_, Times(p_, forget, c), Times(p_, input, Gate(1, x[3])));
    return {Times(p_, gate(1, next), d_.functions[2](p_, next)), next};
  }

  Pullback& p_;
  const Direction& d_;
  int64_t count_;
};

/// A sequence that is over keeps its states, and makes zeros. Returns Y, Y_h and Y_c of the direction.
std::vector<std::string> WriteSteps(Pullback& p, const Direction& d) {
  GradientBody body(p, p.pen().opset);
  Pullback& b = body.p();
  const bool has_cell = d.cell == RecurrentCell::kLstm;
  const std::string h = body.AddInput(b.pen().Fresh());
  const std::string c = has_cell ? body.AddInput(b.pen().Fresh()) : "";
  const std::string part = body.AddInput(b.pen().Fresh());
  auto [next_h, next_c] = RecurrentStep(b, d)(part, h, c);
  std::string made = next_h;
  std::vector<std::string> inputs = {d.h};
  if (has_cell) inputs.push_back(d.c);
  inputs.push_back(d.parts);
  if (!d.lengths.empty()) {
    const std::string within = b.Emit("Less", {body.AddInput(b.pen().Fresh()), d.lengths});
    inputs.push_back(p.Emit("Range", {Integer(p, 0), p.Emit("Squeeze", {Extents(p, d.parts, 0, 1)}), Integer(p, 1)}));
    made = b.Emit("Where", {within, next_h, b.Number(0, next_h)});
    next_h = b.Emit("Where", {within, next_h, h});
    if (has_cell) next_c = b.Emit("Where", {within, next_c, c});
  }
  body.AddOutput(next_h);
  if (has_cell) body.AddOutput(next_c);
  body.AddOutput(made);
  const int64_t read = d.lengths.empty() ? 1 : 2;
  const int64_t direction = d.reversed ? 1 : 0;
  std::vector<std::string> out =
      p.EmitMany("Scan", inputs, has_cell ? 3 : 2,
                 {body.Attribute("body"), MakeAttribute("num_scan_inputs", read),
                  MakeAttribute("scan_input_directions", std::vector<int64_t>(static_cast<size_t>(read), direction)),
                  MakeAttribute("scan_output_directions", std::vector<int64_t>{direction})});
  std::rotate(out.begin(), out.end() - 1, out.end());
  return out;
}

std::string Permuted(Pullback& p, const std::string& value, std::vector<int64_t> order) {
  return p.Emit("Transpose", {value}, {MakeAttribute("perm", std::move(order))});
}

/// Reads the inputs of a layer direction by direction.
class RecurrentInputs {
 public:
  RecurrentInputs(Pullback& p, RecurrentCell cell)
      : p_(p), cell_(cell), batch_first_(p.Int("layout", 0) != 0), x_(p.Input(0)) {
    if (batch_first_) x_ = Permuted(p, x_, {1, 0, 2});
    if (p.HasInput(4)) {
      const std::string lengths = p.Emit("Cast", {p.Input(4)}, {MakeAttribute("to", int64_t{7})});
      lengths_ = p.Emit("Unsqueeze", {lengths, p.Integers({1})});
    }
  }

  Direction At(int64_t index) {
    Direction d;
    d.cell = cell_;
    d.recurrence = Of(2, index);
    const std::string product = p_.Emit("MatMul", {x_, Permuted(p_, Of(1, index), {1, 0})});
    d.parts = product;
    d.bias = p_.Emit("Expand", {p_.Number(0, x_), Extents(p_, d.recurrence, 0, 1)});
    if (p_.HasInput(3)) {
      const std::vector<std::string> biases =
          p_.EmitMany("Split", {Of(3, index)}, 2, {MakeAttribute("num_outputs", int64_t{2})});
      d.parts = Plus(p_, product, biases[0]);
      d.bias = biases[1];
    }
    d.h = State(5, index, d.recurrence);
    if (cell_ == RecurrentCell::kLstm) {
      d.c = State(6, index, d.recurrence);
      if (p_.HasInput(7)) d.peepholes = Of(7, index);
    }
    d.lengths = lengths_;
    return d;
  }

  std::string Joined(const std::vector<std::string>& parts, int64_t axis) const {
    std::vector<std::string> all;
    for (const std::string& part : parts) all.push_back(p_.Emit("Unsqueeze", {part, p_.Integers({axis})}));
    return p_.Emit("Concat", all, {MakeAttribute("axis", axis)});
  }
  std::string Steps(const std::vector<std::string>& parts) const {
    const std::string all = Joined(parts, 1);
    return batch_first_ ? Permuted(p_, all, {2, 0, 1, 3}) : all;
  }
  std::string States(const std::vector<std::string>& parts) const { return Joined(parts, batch_first_ ? 1 : 0); }

 private:
  std::string Of(size_t input, int64_t index, int64_t axis = 0) {
    return p_.Emit("Gather", {p_.Input(input), Integer(p_, index)}, {MakeAttribute("axis", axis)});
  }
  std::string State(size_t input, int64_t index, const std::string& recurrence) {
    if (p_.HasInput(input)) return Of(input, index, batch_first_ ? 1 : 0);
    const std::string shape = io::Joined(p_, {Extents(p_, x_, 1, 2), Extents(p_, recurrence, 1, 2)});
    return p_.Emit("Expand", {p_.Number(0, x_), shape});
  }

  Pullback& p_;
  RecurrentCell cell_;
  bool batch_first_;
  std::string x_, lengths_;
};

std::vector<std::string> WriteRecurrent(Pullback& p, RecurrentCell cell) {
  const std::string direction = p.String("direction", "forward");
  const size_t directions = direction == "bidirectional" ? 2 : 1;
  const std::vector<GateFunction> functions = FunctionsOf(p, cell, directions);
  const size_t each = cell == RecurrentCell::kRnn ? 1 : cell == RecurrentCell::kGru ? 2 : 3;
  if (functions.size() != each * directions) FailForm(p, StrCat("with ", functions.size(), " activations"));
  RecurrentInputs inputs(p, cell);
  std::vector<std::vector<std::string>> made(3);  // Y, Y_h and Y_c, by direction
  for (size_t i = 0; i < directions; ++i) {
    Direction d = inputs.At(static_cast<int64_t>(i));
    d.functions = functions.data() + each * i;
    d.reversed = direction == "reverse" || i == 1;
    const std::vector<std::string> out = WriteSteps(p, d);
    for (size_t k = 0; k < out.size(); ++k) made[k].push_back(out[k]);
  }
  std::vector<std::string> outputs = {inputs.Steps(made[0]), inputs.States(made[1])};
  if (cell == RecurrentCell::kLstm) outputs.push_back(inputs.States(made[2]));
  return outputs;
}

template <RecurrentCell kCell>
void PullRecurrent(Pullback& p) {
  if (p.opset() < 7) FailForm(p, StrCat("of opset ", p.opset()));
  PullThrough(p, [](Pullback& written) { return WriteRecurrent(written, kCell); });
}

}  // namespace

const std::vector<GradientRow>& RecurrentGradients() {
  static const std::vector<GradientRow> rows = {
      {"GRU", &PullRecurrent<RecurrentCell::kGru>},
      {"LSTM", &PullRecurrent<RecurrentCell::kLstm>},
      {"RNN", &PullRecurrent<RecurrentCell::kRnn>},
  };
  return rows;
}

}  // namespace onnxforge::io
