// The derivatives of the operators that have bodies: If, Loop and Scan.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "onnxforge/base/error.h"

#include "gradient_reverse.h"

namespace onnxforge::io {
namespace {

using onnx::MakeAttribute;

/// A body's nodes keep the meaning that their own opset gives them, so what is written beside them is of that opset
/// too.
void RequireOpset(const Pullback& p) {
  constexpr int kOldest = 18;  // which has all that rules write
  if (p.opset() < kOldest) FailForm(p, StrCat("of opset ", p.opset(), ", but from opset ", kOldest, " on"));
}

/// Adds a node with bodies, which are of the opset of the forward node.
std::vector<std::string> EmitWithBodies(Pullback& p, const char* op, std::vector<std::string> inputs, size_t outputs,
                                        Pullback::Attributes attributes) {
  std::vector<std::string> names = p.EmitMany(op, std::move(inputs), outputs, std::move(attributes));
  p.pen().nodes.back().opset = p.opset();
  return names;
}

/// What the node's bodies read from around them and a gradient is asked for.
std::vector<std::string> WantedCaptures(const Pullback& p) {
  const std::vector<std::string> uses = Uses(p.node());  // first the inputs that are given
  const auto empty = std::count(p.node().input().begin(), p.node().input().end(), std::string());
  std::vector<std::string> captures;
  for (size_t i = p.inputs() - static_cast<size_t>(empty); i < uses.size(); ++i) {
    const bool known = std::find(captures.begin(), captures.end(), uses[i]) != captures.end();
    if (!known && p.Wants(uses[i])) captures.push_back(uses[i]);
  }
  return captures;
}

const onnx::GraphProto& BodyOf(const Pullback& p, const char* name) {
  const auto* found = p.Find(name);
  if (found == nullptr || !found->has_g()) FailForm(p, StrCat("without the attribute '", name, "'"));
  return found->g();
}

std::string Named(const Renaming& names, const std::string& value) {
  const auto found = names.find(value);
  return found == names.end() ? value : found->second;
}

std::string FoundOrZeros(Pullback& p, const Gradients& gradients, const std::string& value) {
  const auto found = gradients.find(value);
  return found == gradients.end() ? p.Zeros(value) : found->second;
}

/// One branch, and behind it the way back to what it reads.
onnx::AttributeProto PulledBranch(Pullback& p, const char* name, const std::vector<std::string>& captures) {
  const onnx::GraphProto& branch = BodyOf(p, name);
  GradientBody body(p, p.opset());
  Renaming names;
  WriteInline(body.p(), branch, names);
  const std::vector<PlacedNode> nodes = body.nodes();
  ValueNames dependent(captures.begin(), captures.end());
  MarkDependent(nodes, dependent);
  Gradients gradients;
  for (int i = 0; i < branch.output_size(); ++i) {
    const auto output = static_cast<size_t>(i);
    if (p.HasGradient(output))
      Accumulate(body.p(), Named(names, branch.output(i).name()), p.gradient(output), gradients);
  }
  Reverse(nodes, dependent, body.p().pen(), gradients);
  for (const std::string& capture : captures) body.AddOutput(FoundOrZeros(body.p(), gradients, capture));
  return body.Attribute(name);
}

void PullIf(Pullback& p) {
  RequireOpset(p);
  const std::vector<std::string> captures = WantedCaptures(p);
  const std::vector<std::string> back =
      EmitWithBodies(p, "If", {p.Input(0)}, captures.size(),
                     {PulledBranch(p, "then_branch", captures), PulledBranch(p, "else_branch", captures)});
  for (size_t i = 0; i < captures.size(); ++i) p.Give(captures[i], back[i]);
}

/// A value of which a body gets one part in each step.
struct Sequence {
  std::string value;
  int64_t axis = 0;
  int64_t forwards = 1;  // 0: the steps begin at its end
};

/// The steps of a Scan or a Loop.
struct Steps {
  const onnx::GraphProto* body = nullptr;
  size_t states = 0;                 // the node's first outputs
  size_t first_input = 0;            // of the node that is a state, and of the body
  int first_output = 0;              // of the body that is a state
  std::vector<std::string> saved;    // the states that each step began with
  std::vector<Sequence> read;        // the node's other inputs
  std::vector<std::string> read_as;  // by the body
  std::vector<Sequence> made;        // the node's other outputs

  const std::string& StateAs(size_t i) const { return body->input(static_cast<int>(first_input + i)).name(); }
  const std::string& OutputAs(size_t i) const { return body->output(first_output + static_cast<int>(i)).name(); }
};

/// Goes through the steps of a node once more, the last first.
class StepsBack {
 public:
  StepsBack(Pullback& p, Steps steps)
      : p_(p), s_(std::move(steps)), captures_(WantedCaptures(p)), body_(p, p.opset()), carries_(s_.states) {
    for (size_t i = 0; i < s_.states; ++i) carries_[i] = p.Wants(s_.first_input + i);
  }

  void Run() {
    for (size_t i = 0; i < s_.states; ++i) names_[s_.StateAs(i)] = p_.pen().Fresh();
    for (const std::string& input : s_.read_as) names_[input] = p_.pen().Fresh();
    WriteInline(body_.p(), *s_.body, names_);
    const std::vector<PlacedNode> nodes = body_.nodes();
    while (MarkStates(nodes)) {
    }
    AddCarried();
    AddSequences();
    Reverse(nodes, dependent_, body_.p().pen(), gradients_);
    AddOutputs();
    GiveFrom(EmitWithBodies(p_, "Scan", inputs_, given_.size(), Attributes()));
  }

 private:
  /// Whether another state has turned out to depend on what is asked for: one that becomes so in a step.
  bool MarkStates(const std::vector<PlacedNode>& nodes) {
    dependent_ = ValueNames(captures_.begin(), captures_.end());
    for (size_t i = 0; i < s_.states; ++i) {
      if (carries_[i]) dependent_.insert(Named(names_, s_.StateAs(i)));
    }
    for (size_t k = 0; k < s_.read.size(); ++k) {
      if (p_.Wants(s_.read[k].value)) dependent_.insert(Named(names_, s_.read_as[k]));
    }
    MarkDependent(nodes, dependent_);
    bool more = false;
    for (size_t i = 0; i < s_.states; ++i) {
      if (carries_[i] || dependent_.count(Named(names_, s_.OutputAs(i))) == 0) continue;
      carries_[i] = more = true;
    }
    return more;
  }

  /// The gradients of the states go from step to step, those of captured values add up.
  void AddCarried() {
    for (size_t i = 0; i < s_.states; ++i) {
      const std::string last = p_.HasGradient(i) ? p_.gradient(i) : "";
      if (!carries_[i]) continue;
      inputs_.push_back(last.empty() ? p_.Zeros(p_.Input(s_.first_input + i)) : last);
      Accumulate(body_.p(), Named(names_, s_.OutputAs(i)), body_.AddInput(p_.pen().Fresh()), gradients_);
    }
    for (const std::string& capture : captures_) {
      inputs_.push_back(p_.Zeros(capture));
      sums_.push_back(body_.AddInput(p_.pen().Fresh()));
    }
  }

  void AddSequence(const Sequence& sequence, const std::string& name) {
    inputs_.push_back(sequence.value);
    axes_.push_back(sequence.axis);
    directions_.push_back(sequence.forwards);
    body_.AddInput(name);
  }

  void AddSequences() {
    for (size_t i = 0; i < s_.states; ++i) AddSequence({s_.saved[i]}, Named(names_, s_.StateAs(i)));
    for (size_t k = 0; k < s_.read.size(); ++k) AddSequence(s_.read[k], Named(names_, s_.read_as[k]));
    for (size_t j = 0; j < s_.made.size(); ++j) {
      if (!p_.HasGradient(s_.states + j)) continue;
      const std::string part = p_.pen().Fresh();
      AddSequence({p_.gradient(s_.states + j), s_.made[j].axis, s_.made[j].forwards}, part);
      Accumulate(body_.p(), Named(names_, s_.OutputAs(s_.states + j)), part, gradients_);
    }
  }

  void AddOutput(const std::string& in_body, const std::string& value) {
    given_.push_back(value);
    body_.AddOutput(FoundOrZeros(body_.p(), gradients_, in_body));
  }

  void AddOutputs() {
    for (size_t i = 0; i < s_.states; ++i) {
      if (carries_[i]) AddOutput(Named(names_, s_.StateAs(i)), p_.Input(s_.first_input + i));
    }
    for (size_t i = 0; i < captures_.size(); ++i) {
      Accumulate(body_.p(), captures_[i], sums_[i], gradients_);
      AddOutput(captures_[i], captures_[i]);
    }
    for (size_t k = 0; k < s_.read.size(); ++k) {
      if (!p_.Wants(s_.read[k].value)) continue;
      AddOutput(Named(names_, s_.read_as[k]), s_.read[k].value);
      output_axes_.push_back(s_.read[k].axis);
      output_directions_.push_back(s_.read[k].forwards);
    }
  }

  Pullback::Attributes Attributes() const {
    return {body_.Attribute("body"),
            MakeAttribute("num_scan_inputs", static_cast<int64_t>(axes_.size())),
            MakeAttribute("scan_input_axes", axes_),
            MakeAttribute("scan_input_directions", directions_),
            MakeAttribute("scan_output_axes", output_axes_),
            MakeAttribute("scan_output_directions", output_directions_)};
  }

  void GiveFrom(const std::vector<std::string>& outputs) {
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!given_[i].empty()) p_.Give(given_[i], outputs[i]);
    }
  }

  Pullback& p_;
  Steps s_;
  std::vector<std::string> captures_;
  GradientBody body_;
  std::vector<bool> carries_;
  Renaming names_;
  ValueNames dependent_;
  Gradients gradients_;
  std::vector<std::string> inputs_, sums_, given_;
  std::vector<int64_t> axes_, directions_, output_axes_, output_directions_;
};

/// The forward node once more, for the states that its steps begin with: `before` and the states are the inputs of its
/// body, of which the first outputs are kept and the others left out.
std::vector<std::string> SavedStates(Pullback& p, const char* op, const Steps& s, Pullback::Attributes attributes) {
  GradientBody body(p, p.opset());
  Renaming names;
  for (const auto& input : s.body->input()) names[input.name()] = body.AddInput(p.pen().Fresh());
  WriteInline(body.p(), *s.body, names);
  const int kept = s.first_output + static_cast<int>(s.states);
  for (int i = 0; i < kept; ++i) body.AddOutput(Named(names, s.body->output(i).name()));
  for (size_t i = 0; i < s.states; ++i) body.AddOutput(Named(names, s.StateAs(i)));
  for (size_t i = 0; i < s.first_input; ++i) body.AddOutput(Named(names, s.body->input(static_cast<int>(i)).name()));
  attributes.push_back(body.Attribute("body"));
  std::vector<std::string> outputs = EmitWithBodies(p, op, {p.node().input().begin(), p.node().input().end()},
                                                    2 * s.states + s.first_input, std::move(attributes));
  outputs.erase(outputs.begin(), outputs.begin() + static_cast<std::ptrdiff_t>(s.states));
  return outputs;
}

/// The axis and the direction of a sequence that the steps go through backwards.
Sequence Backwards(const Pullback& p, const std::string& value, const char* kind, size_t i) {
  const std::vector<int64_t> axes = IntsOf(p, StrCat("scan_", kind, "_axes"), i + 1, 0);
  const std::vector<int64_t> directions = IntsOf(p, StrCat("scan_", kind, "_directions"), i + 1, 0);
  if (axes.size() <= i || directions.size() <= i) FailForm(p, StrCat("with too few axes or directions of ", kind, "s"));
  return {value, axes[i], 1 - directions[i]};
}

void RequireCounts(const Pullback& p, const Steps& s) {
  const bool inputs = p.inputs() >= s.first_input && static_cast<size_t>(s.body->input_size()) == p.inputs();
  const bool outputs = s.body->output_size() == p.node().output_size() + s.first_output &&
                       static_cast<size_t>(p.node().output_size()) >= s.states;
  if (!inputs || !outputs) FailForm(p, "with another number of inputs or outputs than its body");
}

void PullScan(Pullback& p) {
  RequireOpset(p);
  Steps s;
  s.body = &BodyOf(p, "body");
  const auto read = static_cast<size_t>(p.Int("num_scan_inputs", 0));
  s.states = p.inputs() - std::min(read, p.inputs());
  RequireCounts(p, s);
  for (size_t k = s.states; k < p.inputs(); ++k) {
    s.read.push_back(Backwards(p, p.Input(k), "input", k - s.states));
    s.read_as.push_back(s.body->input(static_cast<int>(k)).name());
  }
  for (int j = static_cast<int>(s.states); j < s.body->output_size(); ++j)
    s.made.push_back(Backwards(p, "", "output", static_cast<size_t>(j) - s.states));
  Pullback::Attributes attributes;
  for (const char* name : {"num_scan_inputs", "scan_input_axes", "scan_input_directions"}) {
    if (p.Find(name) != nullptr) attributes.push_back(*p.Find(name));
  }
  s.saved = SavedStates(p, "Scan", s, std::move(attributes));
  StepsBack(p, s).Run();
}

/// Backwards the number of the steps is known.
void PullLoop(Pullback& p) {
  RequireOpset(p);
  Steps s;
  s.body = &BodyOf(p, "body");
  s.first_input = 2;
  s.first_output = 1;
  s.states = p.inputs() - std::min(s.first_input, p.inputs());
  RequireCounts(p, s);
  for (size_t j = s.states; j < static_cast<size_t>(p.node().output_size()); ++j) s.made.emplace_back();
  s.saved = SavedStates(p, "Loop", s, {});
  const std::vector<std::string> counted(s.saved.end() - 2, s.saved.end());
  s.saved.resize(s.states);
  for (int i : {0, 1}) {
    s.read.push_back({counted[static_cast<size_t>(i)]});
    s.read_as.push_back(s.body->input(i).name());
  }
  StepsBack(p, s).Run();
}

}  // namespace

const std::vector<GradientRow>& BodyGradients() {
  static const std::vector<GradientRow> rows = {
      {"If", &PullIf},
      {"Loop", &PullLoop},
      {"Scan", &PullScan},
  };
  return rows;
}

}  // namespace onnxforge::io
