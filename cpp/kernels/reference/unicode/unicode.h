#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onnxforge::reference {

/// What the kernels know of Unicode: the same on every system and in every locale.
namespace unicode {

inline constexpr uint32_t kLast = 0x10FFFF;
/// What bytes that are not UTF-8 are decoded to, each by itself: this plus the byte. No character matches it.
inline constexpr uint32_t kNotUtf8 = 0x110000;

struct Character {
  uint32_t code = 0;
  size_t bytes = 0;  // that it takes in the text
};

/// The character at the start of a text that is not empty.
Character Decode(std::string_view text);
void Append(uint32_t code, std::string& text);

/// Code points [first, second].
using Range = std::pair<uint32_t, uint32_t>;

/// The members of a general category ("Lu", or "L" for all that start so) or a script ("Greek"); false where there is
/// no such name.
bool FindGroup(std::string_view name, std::vector<Range>& members);

/// Calls `visit(code, folded)` for every code point that folds to another one, whatever its case.
template <typename F>
void ForEachFold(F&& visit);

enum class Language { kAny, kTurkic };  // Turkic: i with and without a dot are two letters

/// The whole text in one case, by Unicode's default algorithm: lengths may change, a sigma at the end of a word is
/// final. Bytes that are not UTF-8 stay.
std::string ToLower(std::string_view text, Language language);
std::string ToUpper(std::string_view text, Language language);

/// A run of code points that map to others at one distance: every one, or every second.
struct Mapping {
  uint32_t first;
  uint32_t last;
  uint32_t stride;
  int32_t delta;
};

/// The table of simple case folding.
const Mapping* FoldBegin();
const Mapping* FoldEnd();

template <typename F>
void ForEachFold(F&& visit) {
  for (const Mapping* m = FoldBegin(); m != FoldEnd(); ++m) {
    for (uint32_t code = m->first; code <= m->last; code += m->stride)
      visit(code, static_cast<uint32_t>(static_cast<int64_t>(code) + m->delta));
  }
}

}  // namespace unicode
}  // namespace onnxforge::reference
