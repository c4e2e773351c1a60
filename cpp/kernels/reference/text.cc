// StringConcat and StringSplit.
#include <algorithm>
#include <string>
#include <vector>

#include "reference/broadcast.h"
#include "reference/elementwise.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

struct ConcatOp {
  static std::string Apply(const std::string& a, const std::string& b) { return a + b; }
};

std::unique_ptr<Kernel> MakeStringConcat(const NodeSpec&) {
  return MakeKernel([](KernelContext& context) {
    RunBinary(context, context.Input(0), context.Input(1), DType::kString,
              &BinaryLoopOf<std::string, std::string, ConcatOp>, {});
  });
}

constexpr const char* kBlanks = " \t\n\r\f\v";

/// Python's split(): by runs of blanks, without any at the ends. `most` splits at most, when not negative.
std::vector<std::string> SplitAtBlanks(const std::string& text, int64_t most) {
  std::vector<std::string> out;
  size_t begin = text.find_first_not_of(kBlanks);
  while (begin != std::string::npos) {
    if (static_cast<int64_t>(out.size()) == most) {
      out.push_back(text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin));
      break;
    }
    const size_t end = text.find_first_of(kBlanks, begin);
    out.push_back(text.substr(begin, end == std::string::npos ? end : end - begin));
    begin = end == std::string::npos ? end : text.find_first_not_of(kBlanks, end);
  }
  return out;
}

std::vector<std::string> SplitAt(const std::string& text, const std::string& delimiter, int64_t most) {
  std::vector<std::string> out;
  size_t begin = 0;
  while (static_cast<int64_t>(out.size()) != most) {
    const size_t end = text.find(delimiter, begin);
    if (end == std::string::npos) break;
    out.push_back(text.substr(begin, end - begin));
    begin = end + delimiter.size();
  }
  out.push_back(text.substr(begin));
  return out;
}

std::unique_ptr<Kernel> MakeStringSplit(const NodeSpec& node) {
  return MakeKernel([delimiter = node.attributes.String("delimiter", ""),
                     most = node.attributes.Int("maxsplit", -1)](KernelContext& context) {
    const Tensor& x = context.Input(0);
    std::vector<std::vector<std::string>> parts;
    size_t width = 0;
    for (int64_t i = 0; i < x.elements(); ++i) {
      const std::string& text = x.data<std::string>()[i];
      parts.push_back(delimiter.empty() ? SplitAtBlanks(text, most) : SplitAt(text, delimiter, most));
      width = std::max(width, parts.back().size());
    }
    const Shape counts = x.shape();
    Shape shape = counts;
    shape.Append(static_cast<int64_t>(width));
    Tensor& y = context.Output(0, DType::kString, shape);
    Tensor& z = context.Output(1, DType::kInt64, counts);
    for (size_t i = 0; i < parts.size(); ++i) {
      std::copy(parts[i].begin(), parts[i].end(), y.data<std::string>() + i * width);
      z.data<int64_t>()[i] = static_cast<int64_t>(parts[i].size());
    }
  });
}

}  // namespace

void AddText(KernelTable& table) {
  table.Add("", "StringConcat", {20}, &MakeStringConcat);
  table.Add("", "StringSplit", {20}, &MakeStringSplit);
}

}  // namespace onnxforge::reference
