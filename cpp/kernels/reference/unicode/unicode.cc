#include "reference/unicode/unicode.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace onnxforge::reference::unicode {
namespace {

/// From here to the next run, every code point has this value.
struct Run {
  uint32_t first;
  uint8_t value;
};

/// A code point that becomes several.
struct Special {
  uint32_t code;
  const char* text;
};

#include "reference/unicode/tables.inc"

constexpr uint32_t kCapitalSigma = 0x3A3;
constexpr uint32_t kFinalSigma = 0x3C2;
constexpr uint32_t kSmallDotlessI = 0x131;
constexpr uint32_t kCapitalDottedI = 0x130;
constexpr uint32_t kCombiningDotAbove = 0x307;

template <size_t kCount>
uint8_t ValueAt(const Run (&runs)[kCount], uint32_t code) {
  const auto after = std::upper_bound(std::begin(runs), std::end(runs), code,
                                      [](uint32_t wanted, const Run& run) { return wanted < run.first; });
  return std::prev(after)->value;
}

template <size_t kCount>
void AddMembers(const Run (&runs)[kCount], uint8_t value, std::vector<Range>& members) {
  for (size_t i = 0; i < kCount; ++i) {
    if (runs[i].value == value) members.emplace_back(runs[i].first, i + 1 < kCount ? runs[i + 1].first - 1 : kLast);
  }
}

template <size_t kCount>
uint32_t Mapped(const Mapping (&table)[kCount], uint32_t code) {
  const auto after = std::upper_bound(std::begin(table), std::end(table), code,
                                      [](uint32_t wanted, const Mapping& m) { return wanted < m.first; });
  constexpr std::ptrdiff_t kInterleaved = 4;  // that many runs, those with a stride of 2, may lie within each other
  for (auto at = after; at != std::begin(table) && std::distance(at, after) < kInterleaved;) {
    --at;
    if (code <= at->last && (code - at->first) % at->stride == 0)
      return static_cast<uint32_t>(static_cast<int64_t>(code) + at->delta);
  }
  return code;
}

template <size_t kCount>
const char* FindSpecial(const Special (&table)[kCount], uint32_t code) {
  const auto at = std::lower_bound(std::begin(table), std::end(table), code,
                                   [](const Special& s, uint32_t wanted) { return s.code < wanted; });
  return at != std::end(table) && at->code == code ? at->text : nullptr;
}

std::string_view CategoryOf(uint32_t code) {
  return code > kLast ? std::string_view("Cn") : std::string_view(kCategoryNames[ValueAt(kCategories, code)]);
}

/// Unicode's property Cased.
bool IsCased(uint32_t code) {
  const std::string_view category = CategoryOf(code);
  if (category == "Lu" || category == "Ll" || category == "Lt") return true;
  return code <= kLast && (Mapped(kLower, code) != code || Mapped(kUpper, code) != code);
}

/// Unicode's property Case_Ignorable.
bool IsCaseIgnorable(uint32_t code) {
  constexpr uint32_t kWithinWords[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                       0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  const std::string_view category = CategoryOf(code);
  return category == "Mn" || category == "Me" || category == "Cf" || category == "Lm" || category == "Sk" ||
         std::find(std::begin(kWithinWords), std::end(kWithinWords), code) != std::end(kWithinWords);
}

std::vector<Character> DecodeAll(std::string_view text) {
  std::vector<Character> out;
  while (!text.empty()) {
    out.push_back(Decode(text));
    text.remove_prefix(out.back().bytes);
  }
  return out;
}

/// Whether the sigma at `at` ends a word: a letter stands before it and none after.
bool IsFinal(const std::vector<Character>& text, size_t at) {
  const auto cased = [&](size_t i) { return IsCased(text[i].code); };
  size_t before = at;
  while (before > 0 && IsCaseIgnorable(text[before - 1].code)) --before;
  if (before == 0 || !cased(before - 1)) return false;
  size_t after = at + 1;
  while (after < text.size() && IsCaseIgnorable(text[after].code)) ++after;
  return after == text.size() || !cased(after);
}

void AppendLower(const std::vector<Character>& text, size_t at, Language language, std::string& out) {
  const uint32_t code = text[at].code;
  const char* special = FindSpecial(kSpecialLower, code);
  if (language == Language::kTurkic && code == kCapitalDottedI) {
    out += 'i';
  } else if (language == Language::kTurkic && code == 'I') {
    Append(kSmallDotlessI, out);
  } else if (language == Language::kTurkic && code == kCombiningDotAbove && at > 0 && text[at - 1].code == 'I') {
    out.replace(out.size() - 2, 2, "i");  // the dotless i just written
  } else if (code == kCapitalSigma && IsFinal(text, at)) {
    Append(kFinalSigma, out);
  } else if (special != nullptr) {
    out += special;
  } else {
    Append(Mapped(kLower, code), out);
  }
}

void AppendUpper(uint32_t code, Language language, std::string& out) {
  const char* special = FindSpecial(kSpecialUpper, code);
  if (language == Language::kTurkic && code == 'i') {
    Append(kCapitalDottedI, out);
  } else if (special != nullptr) {
    out += special;
  } else {
    Append(Mapped(kUpper, code), out);
  }
}

}  // namespace

Character Decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const Character invalid = {kNotUtf8 + byte(0), 1};
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
  if (bytes == 0 || text.size() < bytes) return invalid;
  uint32_t code = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return invalid;
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[bytes] || code > kLast || (code >= 0xD800 && code < 0xE000)) return invalid;
  return {code, bytes};
}

void Append(uint32_t code, std::string& text) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code >= kNotUtf8) return add(code - kNotUtf8);
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      add(0xE0 | code >> 12);
    } else {
      add(0xF0 | code >> 18);
      add(0x80 | (code >> 12 & 0x3F));
    }
    add(0x80 | (code >> 6 & 0x3F));
  }
  add(0x80 | (code & 0x3F));
}

bool FindGroup(std::string_view name, std::vector<Range>& members) {
  bool found = false;
  for (size_t i = 0; i < std::size(kCategoryNames); ++i) {
    const std::string_view category = kCategoryNames[i];
    // "C" is what has a category: not the code points that are not assigned.
    if (category == "Cn" || (category != name && category.substr(0, 1) != name)) continue;
    AddMembers(kCategories, static_cast<uint8_t>(i), members);
    found = true;
  }
  for (size_t i = 0; i < std::size(kScriptNames); ++i) {
    if (kScriptNames[i] != name) continue;
    AddMembers(kScripts, static_cast<uint8_t>(i), members);
    found = true;
  }
  return found;
}

const Mapping* FoldBegin() { return std::begin(kFold); }
const Mapping* FoldEnd() { return std::end(kFold); }

std::string ToLower(std::string_view text, Language language) {
  const std::vector<Character> characters = DecodeAll(text);
  std::string out;
  for (size_t i = 0; i < characters.size(); ++i) AppendLower(characters, i, language, out);
  return out;
}

std::string ToUpper(std::string_view text, Language language) {
  std::string out;
  for (const Character& c : DecodeAll(text)) AppendUpper(c.code, language, out);
  return out;
}

}  // namespace onnxforge::reference::unicode
