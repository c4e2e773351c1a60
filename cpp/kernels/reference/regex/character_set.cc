#include "reference/regex/character_set.h"

#include <algorithm>

namespace onnxforge::reference::regex {
namespace {

/// The classes of RE2's syntax, all of them ASCII: pairs of first and last.
struct NamedClass {
  std::string_view name;
  std::string_view ranges;
};

constexpr NamedClass kClasses[] = {
    {"d", "09"},           {"s", "\t\n\f\r  "},      {"w", "09AZ__az"},   {"alnum", "09AZaz"},
    {"alpha", "AZaz"},     {"ascii", {"\0\x7F", 2}}, {"blank", "\t\t  "}, {"cntrl", {"\0\x1F\x7F\x7F", 4}},
    {"digit", "09"},       {"graph", "!~"},          {"lower", "az"},     {"print", " ~"},
    {"punct", "!/:@[`{~"}, {"space", "\t\r  "},      {"upper", "AZ"},     {"word", "09AZ__az"},
    {"xdigit", "09AFaf"},
};

}  // namespace

void CharacterSet::AddOtherCases() {
  // Three characters may be one letter (k, K and the Kelvin sign): two of them meet in the one that both fold to, so
  // that the first round adds that one and the second its others.
  for (int round = 0; round < 2; ++round) {
    Normalize();
    std::vector<unicode::Range> more;
    unicode::ForEachFold([&](uint32_t code, uint32_t folded) {
      if (Contains(code)) more.emplace_back(folded, folded);
      if (Contains(folded)) more.emplace_back(code, code);
    });
    ranges_.insert(ranges_.end(), more.begin(), more.end());
  }
  Normalize();
}

void CharacterSet::Negate() {
  Normalize();
  std::vector<unicode::Range> outside;
  uint32_t next = 0;
  for (const auto& [first, last] : ranges_) {
    if (first > next) outside.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= unicode::kLast) outside.emplace_back(next, unicode::kLast);
  ranges_ = std::move(outside);
}

void CharacterSet::Normalize() {
  std::sort(ranges_.begin(), ranges_.end());
  std::vector<unicode::Range> merged;
  for (const auto& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, range.second);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
}

bool CharacterSet::Contains(uint32_t code) const {
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), code,
                       [](uint32_t wanted, const unicode::Range& range) { return wanted < range.first; });
  return after != ranges_.begin() && code <= (after - 1)->second;
}

bool CharacterSet::AddNamed(std::string_view name) {
  for (const NamedClass& known : kClasses) {
    if (known.name != name) continue;
    for (size_t i = 0; i < known.ranges.size(); i += 2)
      Add(static_cast<unsigned char>(known.ranges[i]), static_cast<unsigned char>(known.ranges[i + 1]));
    return true;
  }
  return false;
}

}  // namespace onnxforge::reference::regex
