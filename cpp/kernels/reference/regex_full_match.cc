// RegexFullMatch: which strings a regular expression in RE2's syntax matches as a whole.
#include <memory>
#include <string>

#include "reference/list.h"
#include "reference/regex/regex.h"

namespace onnxforge::reference {
namespace {

std::unique_ptr<Kernel> MakeRegexFullMatch(const NodeSpec& node) {
  const auto regex = std::make_shared<const regex::Regex>(node.attributes.String("pattern", ""));
  return MakeKernel([regex](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const std::string* texts = x.data<std::string>();
    bool* y = context.Output(0, DType::kBool, x.shape()).data<bool>();
    context.Threads().ParallelFor(x.elements(), 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = regex->FullMatch(texts[i]);
    });
  });
}

}  // namespace

void AddRegexFullMatch(KernelTable& table) { table.Add("", "RegexFullMatch", {20}, &MakeRegexFullMatch); }

}  // namespace onnxforge::reference
