#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "reference/regex/character_set.h"

namespace onnxforge::reference::regex {

/// A regular expression in RE2's syntax (see Parse), as a nondeterministic automaton. Matching takes time linear in the
/// text, whatever the expression (Thompson, "Regular Expression Search Algorithm", 1968).
class Regex {
 public:
  explicit Regex(std::string_view pattern);

  /// Whether the expression matches the whole of a text in UTF-8.
  bool FullMatch(std::string_view text) const;

 private:
  struct Instruction {
    enum class Kind : uint8_t { kSet, kAssertion, kSplit, kMatch };
    Kind kind = Kind::kMatch;
    uint8_t assertion = 0;
    int32_t set = -1;
    int32_t next = -1;
    int32_t other = -1;  // kSplit: the second way
  };
  class Compiler;
  class Matcher;

  std::vector<Instruction> program_;
  std::vector<CharacterSet> sets_;
  int32_t start_ = -1;
};

}  // namespace onnxforge::reference::regex
