#include <algorithm>
#include <string>
#include <utility>

#include "onnxforge/base/error.h"

#include "reference/regex/syntax.h"

namespace onnxforge::reference::regex {
namespace {

// RE2's own limits.
constexpr int32_t kMostRepeats = 1000;  // also of repeats within each other, multiplied
constexpr int kDeepest = 1000;

struct Flags {
  bool fold = false;         // i
  bool multi_line = false;   // m
  bool dot_newline = false;  // s
};

bool IsWordCharacter(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool IsOctal(uint32_t c) { return c >= '0' && c <= '7'; }

int HexDigit(uint32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<int>(c - 'A') + 10;
  return -1;
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : pattern_(pattern) {}

  Syntax Run() {
    Flags flags;
    syntax_.root = Choice(flags, 0);
    if (!AtEnd()) FailAt(at_, "unexpected )");
    CheckRepeats(syntax_.root, 1);
    return std::move(syntax_);
  }

 private:
  static constexpr uint32_t kEnd = 0xFFFFFFFF;

  [[noreturn]] void FailAt(size_t at, std::string_view what, ErrorCode code = ErrorCode::kInvalidModel) const {
    Fail(code, "the regular expression '", pattern_, "' is not RE2's: ", what, " at byte ", at);
  }

  bool AtEnd() const { return at_ >= pattern_.size(); }
  std::string_view Rest() const { return pattern_.substr(at_); }
  bool LooksAt(std::string_view text) const { return Rest().substr(0, text.size()) == text; }
  bool Take(std::string_view text) {
    if (!LooksAt(text)) return false;
    at_ += text.size();
    return true;
  }
  uint32_t Peek() const { return AtEnd() ? kEnd : unicode::Decode(Rest()).code; }
  uint32_t Next(std::string_view missing) {
    if (AtEnd()) FailAt(at_, missing);
    const unicode::Character c = unicode::Decode(Rest());
    if (c.code >= unicode::kNotUtf8) FailAt(at_, "invalid UTF-8");
    at_ += c.bytes;
    return c.code;
  }

  int32_t Add(Node node) {
    syntax_.nodes.push_back(std::move(node));
    return static_cast<int32_t>(syntax_.nodes.size()) - 1;
  }
  int32_t AddSet(CharacterSet set) {
    set.Normalize();
    syntax_.sets.push_back(std::move(set));
    Node node;
    node.kind = NodeKind::kSet;
    node.set = static_cast<int32_t>(syntax_.sets.size()) - 1;
    return Add(std::move(node));
  }
  int32_t AddLiteral(uint32_t code, const Flags& flags) {
    CharacterSet set;
    set.Add(code, code);
    if (flags.fold) set.AddOtherCases();
    return AddSet(std::move(set));
  }
  int32_t AddAssertion(Assertion assertion) {
    Node node;
    node.kind = NodeKind::kAssertion;
    node.assertion = assertion;
    return Add(std::move(node));
  }
  int32_t AddMany(NodeKind kind, std::vector<int32_t> parts) {
    if (parts.size() == 1) return parts[0];
    Node node;
    node.kind = parts.empty() ? NodeKind::kEmpty : kind;
    node.parts = std::move(parts);
    return Add(std::move(node));
  }

  /// Up to the end or a closing parenthesis. Flags set inside hold until there.
  int32_t Choice(Flags flags, int depth) {
    if (depth > kDeepest) FailAt(at_, "more than 1000 groups within each other");
    std::vector<int32_t> branches = {Sequence(flags, depth)};
    while (Take("|")) branches.push_back(Sequence(flags, depth));
    return AddMany(NodeKind::kChoice, std::move(branches));
  }

  int32_t Sequence(Flags& flags, int depth) {
    std::vector<int32_t> parts;
    bool repeatable = false;
    while (!AtEnd() && !LooksAt("|") && !LooksAt(")")) {
      const size_t begin = at_;
      Node repeat;
      if (TakeRepeat(repeat)) {
        if (!repeatable) FailAt(begin, parts.empty() ? "nothing to repeat" : "a repeat that cannot be repeated");
        Take("?");  // laziness changes where a match ends, not whether there is one
        repeat.parts = {parts.back()};
        parts.back() = Add(std::move(repeat));
        repeatable = false;
      } else if (Take("\\Q")) {
        repeatable = Quoted(flags, parts) || repeatable;
      } else if (TakeFlags(flags)) {
        repeatable = !parts.empty();  // as in RE2, a repeat behind them is of what stands before them
      } else {
        parts.push_back(Atom(flags, depth));
        repeatable = true;
      }
    }
    return AddMany(NodeKind::kSequence, std::move(parts));
  }

  bool Quoted(const Flags& flags, std::vector<int32_t>& parts) {
    bool any = false;
    while (!AtEnd() && !Take("\\E")) {
      parts.push_back(AddLiteral(Next(""), flags));
      any = true;
    }
    return any;
  }

  /// *, +, ?, {n}, {n,} and {n,m}; a brace that is none of these is a character.
  bool TakeRepeat(Node& node) {
    node.kind = NodeKind::kRepeat;
    node.most = Node::kUnlimited;
    if (Take("*")) return true;
    if (Take("+")) {
      node.least = 1;
      return true;
    }
    if (Take("?")) {
      node.most = 1;
      return true;
    }
    const size_t begin = at_;
    if (!Take("{") || !TakeNumber(node.least)) return Rewind(begin);
    node.most = node.least;
    if (Take(",") && !TakeNumber(node.most)) node.most = Node::kUnlimited;
    if (!Take("}")) return Rewind(begin);
    const bool ordered = node.most == Node::kUnlimited || node.least <= node.most;
    if (!ordered || std::max(node.least, node.most) > kMostRepeats)
      FailAt(begin, "a repeat that is out of order, or more than 1000");
    return true;
  }
  bool Rewind(size_t to) {
    at_ = to;
    return false;
  }
  bool TakeNumber(int32_t& number) {
    const size_t begin = at_;
    for (number = 0; !AtEnd() && pattern_[at_] >= '0' && pattern_[at_] <= '9'; ++at_)
      number = std::min(number * 10 + (pattern_[at_] - '0'), kMostRepeats + 1);
    return at_ > begin;
  }

  /// (?flags): changes the flags of what follows in the group.
  bool TakeFlags(Flags& flags) {
    const size_t begin = at_;
    if (!Take("(?") || LooksAt("P") || LooksAt("<")) return Rewind(begin);
    Flags changed = flags;
    ReadFlags(changed, begin);
    if (!Take(")")) return Rewind(begin);
    flags = changed;
    return true;
  }
  void ReadFlags(Flags& flags, size_t begin) {
    bool value = true;
    bool any = false;  // since the minus
    while (!AtEnd()) {
      if (Take("i")) {
        flags.fold = value;
      } else if (Take("m")) {
        flags.multi_line = value;
      } else if (Take("s")) {
        flags.dot_newline = value;
      } else if (Take("U")) {
        // Swaps x* and x*?: that changes where a match ends, not whether there is one.
      } else if (value && Take("-")) {
        value = false;
        continue;
      } else {
        break;
      }
      any = any || !value;
    }
    if ((!LooksAt(")") && !LooksAt(":")) || (!value && !any))
      FailAt(begin, "a group that is neither (?:…), (?P<name>…), (?<name>…) nor one of the flags i, m, s and U");
  }

  int32_t Atom(const Flags& flags, int depth) {
    if (LooksAt("(")) return Group(flags, depth);
    if (LooksAt("[")) return Class(flags);
    if (LooksAt("\\")) return Escape(flags);
    if (Take(".")) return Any(flags);
    if (Take("^")) return AddAssertion(flags.multi_line ? Assertion::kLineBegin : Assertion::kTextBegin);
    if (Take("$")) return AddAssertion(flags.multi_line ? Assertion::kLineEnd : Assertion::kTextEnd);
    return AddLiteral(Next(""), flags);
  }

  int32_t Any(const Flags& flags) {
    CharacterSet set;
    if (!flags.dot_newline) set.Add('\n', '\n');
    set.Negate();
    return AddSet(std::move(set));
  }

  int32_t Group(const Flags& around, int depth) {
    const size_t begin = at_;
    Flags flags = around;
    Take("(");
    if (Take("?P<") || Take("?<")) {
      TakeName(begin);
    } else if (Take("?")) {
      ReadFlags(flags, begin);
      Take(":");
    }
    const int32_t inside = Choice(flags, depth + 1);
    if (!Take(")")) FailAt(begin, "a group without )");
    return inside;
  }
  void TakeName(size_t begin) {
    const size_t end = pattern_.find('>', at_);
    const std::string_view name = end == std::string_view::npos ? "" : pattern_.substr(at_, end - at_);
    if (name.empty() ||
        !std::all_of(name.begin(), name.end(), [](char c) { return IsWordCharacter(static_cast<unsigned char>(c)); }))
      FailAt(begin, "a group without a name of letters, digits and _");
    at_ = end + 1;
  }

  int32_t Escape(const Flags& flags) {
    const size_t begin = at_;
    if (Take("\\b")) return AddAssertion(Assertion::kWordBoundary);
    if (Take("\\B")) return AddAssertion(Assertion::kNoWordBoundary);
    if (Take("\\A")) return AddAssertion(Assertion::kTextBegin);
    if (Take("\\z")) return AddAssertion(Assertion::kTextEnd);
    if (Take("\\C")) FailAt(begin, "\\C (a single byte) is not supported,", ErrorCode::kUnsupported);
    CharacterSet set;
    if (TakeClassEscape(set, flags)) return AddSet(std::move(set));
    return AddLiteral(EscapedCharacter(), flags);
  }

  /// \d, \D, \pN, \p{Greek}, \P{^Greek}, …
  bool TakeClassEscape(CharacterSet& out, const Flags& flags) {
    const size_t begin = at_;
    if (!Take("\\")) return false;
    CharacterSet set;
    bool negative = LooksAt("D") || LooksAt("S") || LooksAt("W") || LooksAt("P");
    if (Take("d") || Take("D")) {
      set.AddNamed("d");
    } else if (Take("s") || Take("S")) {
      set.AddNamed("s");
    } else if (Take("w") || Take("W")) {
      set.AddNamed("w");
    } else if (Take("p") || Take("P")) {
      negative = TakeUnicodeGroup(set, begin) != negative;
    } else {
      return Rewind(begin);
    }
    AddTo(out, std::move(set), negative, flags);
    return true;
  }
  static void AddTo(CharacterSet& out, CharacterSet set, bool negative, const Flags& flags) {
    if (flags.fold) set.AddOtherCases();
    if (negative) set.Negate();
    out.Add(set);
  }
  /// Adds the group's members; returns whether its name is negated.
  bool TakeUnicodeGroup(CharacterSet& set, size_t begin) {
    const size_t first = at_;
    std::string_view name;
    if (Take("{")) {
      const size_t end = pattern_.find('}', at_);
      if (end == std::string_view::npos) FailAt(begin, "a Unicode class without }");
      name = pattern_.substr(at_, end - at_);
      at_ = end + 1;
    } else {
      Next("a Unicode class without a name");
      name = pattern_.substr(first, at_ - first);
    }
    const bool negative = name.substr(0, 1) == "^";
    if (negative) name.remove_prefix(1);
    std::vector<unicode::Range> members;
    if (name == "Any")
      members.emplace_back(0, unicode::kLast);
    else if (!unicode::FindGroup(name, members))
      FailAt(begin, "no general category or script of this name");
    for (const auto& [low, high] : members) set.Add(low, high);
    return negative;
  }

  /// One character, written with a backslash.
  uint32_t EscapedCharacter() {
    const size_t begin = at_;
    Take("\\");
    const uint32_t c = Next("a \\ at the end");
    constexpr std::pair<char, char> kControls[] = {{'a', '\a'}, {'f', '\f'}, {'n', '\n'},
                                                   {'r', '\r'}, {'t', '\t'}, {'v', '\v'}};
    for (const auto& [letter, control] : kControls) {
      if (c == static_cast<uint32_t>(letter)) return static_cast<uint32_t>(control);
    }
    if (c == 'x') return Hexadecimal(begin);
    if (IsOctal(c) && (c == '0' || IsOctal(Peek()))) return Octal(c);
    if (c < 0x80 && (c == '_' || !IsWordCharacter(c))) return c;
    FailAt(begin, c >= '1' && c <= '9' ? "a reference back to a group" : "an unknown escape");
  }
  uint32_t Octal(uint32_t first) {
    uint32_t code = first - '0';
    for (int i = 0; i < 2 && IsOctal(Peek()); ++i) code = code * 8 + (Next("") - '0');
    return code;
  }
  uint32_t Hexadecimal(size_t begin) {
    const bool braced = Take("{");
    uint32_t code = 0;
    int digits = 0;
    while (HexDigit(Peek()) >= 0 && (braced || digits < 2)) {
      code = code * 16 + static_cast<uint32_t>(HexDigit(Next("")));
      ++digits;
      if (code > unicode::kLast) FailAt(begin, "a code point beyond 10FFFF");
    }
    if (digits == 0 || (braced ? !Take("}") : digits != 2)) FailAt(begin, "a \\x without its digits");
    return code;
  }

  /// [...]
  int32_t Class(const Flags& flags) {
    const size_t begin = at_;
    Take("[");
    const bool negative = Take("^");
    CharacterSet set;
    for (bool first = true; first || !LooksAt("]"); first = false) {
      if (AtEnd()) FailAt(begin, "a class without ]");
      if (!TakeNamedClass(set, flags) && !TakeClassEscape(set, flags)) ClassRange(set, begin);
    }
    Take("]");
    if (flags.fold) set.AddOtherCases();
    if (negative) set.Negate();
    return AddSet(std::move(set));
  }
  /// [:alpha:] and [:^alpha:] within a class.
  bool TakeNamedClass(CharacterSet& out, const Flags& flags) {
    const size_t end = pattern_.find(":]", at_ + 2);
    if (!LooksAt("[:") || end == std::string_view::npos) return false;
    std::string_view name = pattern_.substr(at_ + 2, end - at_ - 2);
    const bool negative = name.substr(0, 1) == "^";
    if (negative) name.remove_prefix(1);
    CharacterSet set;
    // The classes of one letter are those of the escapes.
    if (name.size() < 2 || !set.AddNamed(name)) FailAt(at_, "no POSIX class of this name");
    AddTo(out, std::move(set), negative, flags);
    at_ = end + 2;
    return true;
  }
  void ClassRange(CharacterSet& set, size_t begin) {
    const size_t start = at_;
    const uint32_t first = ClassCharacter(begin);
    uint32_t last = first;
    if (LooksAt("-") && !LooksAt("-]")) {
      Take("-");
      last = ClassCharacter(begin);
    }
    if (last < first) FailAt(start, "a range that runs backwards");
    set.Add(first, last);
  }
  uint32_t ClassCharacter(size_t begin) {
    if (AtEnd()) FailAt(begin, "a class without ]");
    return LooksAt("\\") ? EscapedCharacter() : Next("");
  }

  /// Repeats within each other multiply the size of the program.
  void CheckRepeats(int32_t id, int64_t around) const {
    const Node& node = syntax_.nodes[static_cast<size_t>(id)];
    if (node.kind == NodeKind::kRepeat) around *= std::max({node.least, node.most, int32_t{1}});
    if (around > kMostRepeats) FailAt(pattern_.size(), "repeats within each other make more than 1000");
    for (int32_t part : node.parts) CheckRepeats(part, around);
  }

  std::string_view pattern_;
  size_t at_ = 0;
  Syntax syntax_;
};

}  // namespace

Syntax Parse(std::string_view pattern) { return Parser(pattern).Run(); }

}  // namespace onnxforge::reference::regex
