#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "reference/regex/character_set.h"

namespace onnxforge::reference::regex {

enum class NodeKind { kEmpty, kSet, kAssertion, kSequence, kChoice, kRepeat };

enum class Assertion { kTextBegin, kTextEnd, kLineBegin, kLineEnd, kWordBoundary, kNoWordBoundary };

/// A part of a parsed expression. What only matters for the place or the parts of a match – groups, laziness – is gone.
struct Node {
  NodeKind kind = NodeKind::kEmpty;
  Assertion assertion = Assertion::kTextBegin;  // kAssertion
  int32_t set = -1;                             // kSet: of Syntax::sets
  int32_t least = 0;                            // kRepeat
  int32_t most = 0;                             // kRepeat; kUnlimited
  std::vector<int32_t> parts;                   // of Syntax::nodes

  static constexpr int32_t kUnlimited = -1;
};

struct Syntax {
  std::vector<Node> nodes;
  std::vector<CharacterSet> sets;  // normalised
  int32_t root = -1;
};

/// Parses RE2's syntax (github.com/google/re2/wiki/Syntax) with RE2's defaults: UTF-8, Perl's classes, groups and
/// flags, case-sensitive, `.` without line ends. Fails with kInvalidModel, saying what is wrong at which byte; with
/// kUnsupported for \C, which is no character.
Syntax Parse(std::string_view pattern);

}  // namespace onnxforge::reference::regex
