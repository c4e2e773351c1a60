// StringNormalizer: removes stop words and changes case. The same result whatever the locale of the process is.
#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "reference/list.h"
#include "reference/unicode/unicode.h"

namespace onnxforge::reference {
namespace {

enum class CaseChange { kNone, kLower, kUpper };

CaseChange ReadCaseChange(const NodeSpec& node) {
  const std::string action = node.attributes.String("case_change_action", "NONE");
  if (action == "LOWER") return CaseChange::kLower;
  if (action == "UPPER") return CaseChange::kUpper;
  Require(action == "NONE", ErrorCode::kInvalidModel,
          "attribute 'case_change_action' must be LOWER, UPPER or NONE, not '", action, "'");
  return CaseChange::kNone;
}

/// Of a locale ("tr_TR.UTF-8", "az-Latn", "en_US"), as far as case depends on it.
unicode::Language ReadLanguage(const NodeSpec& node) {
  const std::string locale = node.attributes.String("locale", "en_US");
  const std::string language = locale.substr(0, locale.find_first_of("_-.@"));
  return language == "tr" || language == "az" ? unicode::Language::kTurkic : unicode::Language::kAny;
}

class StringNormalizer final : public Kernel {
 public:
  explicit StringNormalizer(const NodeSpec& node)
      : change_(ReadCaseChange(node)),
        language_(ReadLanguage(node)),
        case_sensitive_(node.attributes.Int("is_case_sensitive", 0) != 0) {
    for (const std::string& word : node.attributes.Strings("stopwords")) stopwords_.insert(Compared(word));
  }

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    Require(x.rank() == 1 || (x.rank() == 2 && x.dim(0) == 1), ErrorCode::kInvalidArgument,
            "the input must be [C] or [1, C], not ", x.shape());
    std::vector<std::string> kept;
    for (int64_t i = 0; i < x.elements(); ++i) {
      const std::string& word = x.data<std::string>()[i];
      if (stopwords_.empty() || stopwords_.count(Compared(word)) == 0) kept.push_back(Changed(word));
    }
    if (kept.empty()) kept.emplace_back();
    const auto count = static_cast<int64_t>(kept.size());
    Tensor& y = context.Output(0, DType::kString, x.rank() == 2 ? Shape{1, count} : Shape{count});
    std::move(kept.begin(), kept.end(), y.data<std::string>());
  }

 private:
  /// What two words that count as one have in common.
  std::string Compared(const std::string& word) const {
    return case_sensitive_ ? word : unicode::ToLower(word, language_);
  }
  std::string Changed(const std::string& word) const {
    if (change_ == CaseChange::kNone) return word;
    return change_ == CaseChange::kLower ? unicode::ToLower(word, language_) : unicode::ToUpper(word, language_);
  }

  CaseChange change_;
  unicode::Language language_;
  bool case_sensitive_;
  std::unordered_set<std::string> stopwords_;
};

std::unique_ptr<Kernel> MakeStringNormalizer(const NodeSpec& node) { return std::make_unique<StringNormalizer>(node); }

}  // namespace

void AddStringNormalizer(KernelTable& table) { table.Add("", "StringNormalizer", {10}, &MakeStringNormalizer); }

}  // namespace onnxforge::reference
