#include "reference/regex/regex.h"

#include <utility>

#include "onnxforge/base/error.h"

#include "reference/regex/syntax.h"

namespace onnxforge::reference::regex {

/// Builds the program from its end: every part is compiled with the instruction that follows it.
class Regex::Compiler {
 public:
  Compiler(const Syntax& syntax, std::vector<Instruction>& program) : syntax_(syntax), program_(program) {}

  int32_t Compile(int32_t id, int32_t next) {
    const Node& node = syntax_.nodes[static_cast<size_t>(id)];
    switch (node.kind) {
      case NodeKind::kEmpty:
        return next;
      case NodeKind::kSet:
        return Add({Instruction::Kind::kSet, 0, node.set, next, -1});
      case NodeKind::kAssertion:
        return Add({Instruction::Kind::kAssertion, static_cast<uint8_t>(node.assertion), -1, next, -1});
      case NodeKind::kSequence:
        for (size_t i = node.parts.size(); i-- > 0;) next = Compile(node.parts[i], next);
        return next;
      case NodeKind::kChoice:
        return Choice(node, next);
      case NodeKind::kRepeat:
        return Repeat(node, next);
    }
    return next;
  }

  int32_t Add(Instruction instruction) {
    constexpr size_t kMost = 200'000;  // about what RE2's default memory holds
    Require(program_.size() < kMost, ErrorCode::kUnsupported, "the regular expression has more than ", kMost,
            " states once its repeats are written out");
    program_.push_back(instruction);
    return static_cast<int32_t>(program_.size()) - 1;
  }

 private:
  int32_t Split(int32_t next, int32_t other) { return Add({Instruction::Kind::kSplit, 0, -1, next, other}); }

  int32_t Choice(const Node& node, int32_t next) {
    int32_t way = Compile(node.parts.back(), next);
    for (size_t i = node.parts.size() - 1; i-- > 0;) way = Split(Compile(node.parts[i], next), way);
    return way;
  }

  int32_t Repeat(const Node& node, int32_t next) {
    const int32_t part = node.parts[0];
    const int32_t end = next;
    if (node.most == Node::kUnlimited) {
      const int32_t loop = Split(-1, next);
      const int32_t body = Compile(part, loop);
      program_[static_cast<size_t>(loop)].next = body;
      next = loop;
    } else {
      for (int32_t i = node.least; i < node.most; ++i) next = Split(Compile(part, next), end);
    }
    for (int32_t i = 0; i < node.least; ++i) next = Compile(part, next);
    return next;
  }

  const Syntax& syntax_;
  std::vector<Instruction>& program_;
};

namespace {

constexpr uint32_t kNothing = 0xFFFFFFFF;  // before the first and after the last character

bool IsWord(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool Holds(Assertion assertion, uint32_t before, uint32_t after) {
  switch (assertion) {
    case Assertion::kTextBegin:
      return before == kNothing;
    case Assertion::kTextEnd:
      return after == kNothing;
    case Assertion::kLineBegin:
      return before == kNothing || before == '\n';
    case Assertion::kLineEnd:
      return after == kNothing || after == '\n';
    case Assertion::kWordBoundary:
      return IsWord(before) != IsWord(after);
    case Assertion::kNoWordBoundary:
      return IsWord(before) == IsWord(after);
  }
  return false;
}

}  // namespace

/// The states the automaton may be in, moved along the text.
class Regex::Matcher {
 public:
  explicit Matcher(const Regex& regex) : regex_(regex), seen_(regex.program_.size(), 0) {}

  bool Run(std::string_view text) {
    uint32_t before = kNothing;
    pending_.push_back(regex_.start_);
    for (;;) {
      const unicode::Character c = text.empty() ? unicode::Character{kNothing, 0} : unicode::Decode(text);
      const bool matched = Expand(before, c.code);
      if (text.empty()) return matched;
      if (states_.empty()) return false;
      for (int32_t state : states_) {
        const Instruction& at = regex_.program_[static_cast<size_t>(state)];
        if (regex_.sets_[static_cast<size_t>(at.set)].Contains(c.code)) pending_.push_back(at.next);
      }
      before = c.code;
      text.remove_prefix(c.bytes);
    }
  }

 private:
  /// Follows everything that takes no character from the pending states; returns whether that leads to the end.
  bool Expand(uint32_t before, uint32_t after) {
    ++step_;
    states_.clear();
    bool matched = false;
    while (!pending_.empty()) {
      const int32_t state = pending_.back();
      pending_.pop_back();
      if (std::exchange(seen_[static_cast<size_t>(state)], step_) == step_) continue;
      const Instruction& at = regex_.program_[static_cast<size_t>(state)];
      switch (at.kind) {
        case Instruction::Kind::kSet:
          states_.push_back(state);
          break;
        case Instruction::Kind::kAssertion:
          if (Holds(static_cast<Assertion>(at.assertion), before, after)) pending_.push_back(at.next);
          break;
        case Instruction::Kind::kSplit:
          pending_.push_back(at.other);
          pending_.push_back(at.next);
          break;
        case Instruction::Kind::kMatch:
          matched = true;
          break;
      }
    }
    return matched;
  }

  const Regex& regex_;
  std::vector<uint64_t> seen_;  // by state: the step it was last reached in
  uint64_t step_ = 0;
  std::vector<int32_t> states_;
  std::vector<int32_t> pending_;
};

Regex::Regex(std::string_view pattern) {
  Syntax syntax = Parse(pattern);
  Compiler compiler(syntax, program_);
  const int32_t match = compiler.Add({});
  start_ = compiler.Compile(syntax.root, match);
  sets_ = std::move(syntax.sets);
}

bool Regex::FullMatch(std::string_view text) const { return Matcher(*this).Run(text); }

}  // namespace onnxforge::reference::regex
