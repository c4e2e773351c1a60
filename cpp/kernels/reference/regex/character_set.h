#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "reference/unicode/unicode.h"

namespace onnxforge::reference::regex {

/// A set of code points.
class CharacterSet {
 public:
  void Add(uint32_t first, uint32_t last) { ranges_.emplace_back(first, last); }
  void Add(const CharacterSet& other) { ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end()); }
  /// Adds every character that differs from a member in nothing but case.
  void AddOtherCases();
  void Negate();
  /// Sorts and merges; Contains() needs it after a change.
  void Normalize();
  bool Contains(uint32_t code) const;

  /// \d, \s, \w and the POSIX classes "alnum", "alpha", …; false where there is no such name.
  bool AddNamed(std::string_view name);

 private:
  std::vector<unicode::Range> ranges_;
};

}  // namespace onnxforge::reference::regex
