#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "reference/broadcast.h"
#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

/// A letter, or for the axes of an ellipsis, counted from the right, the negative number of the axis.
using Label = int;
using Labels = std::vector<Label>;

struct Equation {
  std::vector<std::string> terms;
  std::string output;
  bool has_output = false;
};

constexpr char kEllipsis = '.';

/// Without blanks, an ellipsis as one character.
std::string Compact(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    if (text.compare(i, 3, "...") == 0) {
      out += kEllipsis;
      i += 2;
      continue;
    }
    const bool letter = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z');
    Require(letter || text[i] == ',' || text[i] == '-' || text[i] == '>', ErrorCode::kInvalidModel,
            "attribute 'equation' is '", text, "': character ", i, " is none of letters, ',', '->' and '...'");
    out += text[i];
  }
  return out;
}

Equation Parse(const std::string& text) {
  std::string compact = Compact(text);
  Equation out;
  const size_t arrow = compact.find("->");
  if (arrow != std::string::npos) {
    out.has_output = true;
    out.output = compact.substr(arrow + 2);
    compact.resize(arrow);
  }
  size_t begin = 0;
  for (size_t comma = 0; comma != std::string::npos; begin = comma + 1) {
    comma = compact.find(',', begin);
    out.terms.push_back(compact.substr(begin, comma == std::string::npos ? comma : comma - begin));
  }
  return out;
}

/// The labels of a term whose operand has `rank` axes.
Labels LabelsOf(const std::string& term, size_t rank) {
  Labels out;
  const bool ellipsis = term.find(kEllipsis) != std::string::npos;
  const size_t letters = term.size() - (ellipsis ? 1 : 0);
  Require(term.find_first_of("->") == std::string::npos && term.find(kEllipsis) == term.rfind(kEllipsis),
          ErrorCode::kInvalidModel, "the term '", term,
          "' of the equation (with '.' for '...') has an arrow's part or a second ellipsis");
  Require(ellipsis ? letters <= rank : letters == rank, ErrorCode::kInvalidArgument, "the term '", term,
          "' does not fit an operand of rank ", rank);
  for (char c : term) {
    if (c != kEllipsis) {
      out.push_back(c);
      continue;
    }
    for (size_t i = rank - letters; i > 0; --i) out.push_back(-static_cast<int>(i));
  }
  return out;
}

/// Without "->": the ellipsis, then what occurs once, in alphabetical order.
Labels ImplicitOutput(const std::vector<Labels>& terms) {
  std::map<Label, int> counts;
  for (const Labels& term : terms) {
    for (Label label : term) ++counts[label];
  }
  Labels out;
  for (const auto& [label, count] : counts) {
    if (label < 0 || count == 1) out.push_back(label);
  }
  return out;
}

bool Contains(const Labels& labels, Label label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

using Extents = std::map<Label, int64_t>;

template <typename T>
struct Operand {
  Labels labels;
  Extents extents;  // its own: 1 where it is broadcast
  std::vector<T> data;
};

template <typename T>
Operand<T> ReadOperand(KernelContext& context, size_t input, const Labels& labels) {
  const Tensor& t = context.Input(input);
  const T* from = ReadAs<T>(context, t);
  Operand<T> out;
  const Shape strides = RowMajorStrides(t.shape());
  Shape diagonal;  // a label that is repeated walks along the diagonal
  Shape steps;
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto at = std::find(out.labels.begin(), out.labels.end(), labels[i]);
    if (at == out.labels.end()) {
      out.labels.push_back(labels[i]);
      out.extents[labels[i]] = t.dim(i);
      diagonal.Append(t.dim(i));
      steps.Append(strides[i]);
      continue;
    }
    Require(out.extents[labels[i]] == t.dim(i), ErrorCode::kInvalidArgument, "a repeated letter stands for axes of ",
            out.extents[labels[i]], " and ", t.dim(i));
    steps[static_cast<size_t>(at - out.labels.begin())] += strides[i];
  }
  const StridedPlan plan(diagonal, Span<const Shape>(&steps, 1));
  out.data.resize(static_cast<size_t>(plan.elements()));
  plan.ForRange(0, plan.elements(), [&](const StridedPlan::Run& run) {
    for (int64_t i = 0; i < run.count; ++i)
      out.data[static_cast<size_t>(run.position + i)] = from[run.offset[0] + i * plan.inner_stride(0)];
  });
  return out;
}

/// The operand's strides along these labels: 0 where it has none or is broadcast.
template <typename T>
Shape StridesAlong(const Operand<T>& operand, const Labels& labels) {
  Shape out;
  for (Label label : labels) {
    int64_t stride = 0;
    int64_t step = 1;
    for (size_t i = operand.labels.size(); i-- > 0;) {
      const int64_t extent = operand.extents.at(operand.labels[i]);
      if (operand.labels[i] == label && extent != 1) stride = step;
      step *= extent;
    }
    out.Append(stride);
  }
  return out;
}

Shape ExtentsAlong(const Extents& extents, const Labels& labels) {
  Shape out;
  for (Label label : labels) out.Append(extents.at(label));
  return out;
}

/// Σ a · b over the labels that are not kept.
template <typename T>
Operand<T> Contract(ThreadPool& threads, const Operand<T>& a, const Operand<T>& b, const Labels& keep,
                    const Extents& extents) {
  Labels summed;
  for (const Operand<T>* operand : {&a, &b}) {
    for (Label label : operand->labels) {
      if (!Contains(keep, label) && !Contains(summed, label)) summed.push_back(label);
    }
  }
  const Shape outer_strides[] = {StridesAlong(a, keep), StridesAlong(b, keep)};
  const Shape inner_strides[] = {StridesAlong(a, summed), StridesAlong(b, summed)};
  const StridedPlan outer(ExtentsAlong(extents, keep), Span<const Shape>(outer_strides, 2));
  const StridedPlan inner(ExtentsAlong(extents, summed), Span<const Shape>(inner_strides, 2));
  Operand<T> out;
  out.labels = keep;
  for (Label label : keep) out.extents[label] = extents.at(label);
  out.data.assign(static_cast<size_t>(outer.elements()), T{0});
  outer.ForEach(
      threads, kElementwiseGrain / std::max<int64_t>(1, inner.elements()) + 1, [&](const StridedPlan::Run& run) {
        for (int64_t i = 0; i < run.count; ++i) {
          const T* left = a.data.data() + run.offset[0] + i * outer.inner_stride(0);
          const T* right = b.data.data() + run.offset[1] + i * outer.inner_stride(1);
          T sum = 0;
          inner.ForRange(0, inner.elements(), [&](const StridedPlan::Run& line) {
            T part = 0;
            for (int64_t j = 0; j < line.count; ++j) {
              part +=
                  left[line.offset[0] + j * inner.inner_stride(0)] * right[line.offset[1] + j * inner.inner_stride(1)];
            }
            sum += part;
          });
          out.data[static_cast<size_t>(run.position + i)] = sum;
        }
      });
  return out;
}

/// One operand after the other is multiplied in, and what nobody needs any more is summed away at once.
template <typename T>
Operand<T> Evaluate(KernelContext& context, const std::vector<Labels>& terms, const Labels& output,
                    const Extents& extents) {
  Operand<T> result;
  result.data = {T{1}};
  for (size_t k = 0; k < terms.size(); ++k) {
    Operand<T> next = ReadOperand<T>(context, k, terms[k]);
    const bool last = k + 1 == terms.size();
    Labels keep = last ? output : Labels{};
    for (const Labels* labels : {&result.labels, &next.labels}) {
      for (Label label : *labels) {
        const bool needed =
            Contains(output, label) || std::any_of(terms.begin() + static_cast<std::ptrdiff_t>(k) + 1, terms.end(),
                                                   [&](const Labels& term) { return Contains(term, label); });
        if (!last && needed && !Contains(keep, label)) keep.push_back(label);
      }
    }
    result = Contract(context.Threads(), result, next, keep, extents);
  }
  return result;
}

std::unique_ptr<Kernel> MakeEinsum(const NodeSpec& node) {
  return MakeKernel([equation = Parse(node.attributes.Get<std::string>("equation"))](KernelContext& context) {
    Require(equation.terms.size() == context.InputCount(), ErrorCode::kInvalidModel, "attribute 'equation' has ",
            equation.terms.size(), " terms for ", context.InputCount(), " inputs");
    std::vector<Labels> terms;
    Extents extents;
    size_t ellipsis = 0;
    for (size_t k = 0; k < context.InputCount(); ++k) {
      const Tensor& t = context.Input(k);
      terms.push_back(LabelsOf(equation.terms[k], t.rank()));
      for (size_t i = 0; i < t.rank(); ++i) {
        const Label label = terms[k][i];
        if (label < 0) ellipsis = std::max(ellipsis, static_cast<size_t>(-label));
        int64_t& extent = extents.emplace(label, t.dim(i)).first->second;
        Require(extent == t.dim(i) || extent == 1 || t.dim(i) == 1, ErrorCode::kInvalidArgument,
                "one letter of the equation stands for axes of ", extent, " and ", t.dim(i));
        if (extent == 1) extent = t.dim(i);
      }
    }
    const size_t letters = equation.output.size() - (equation.output.find(kEllipsis) != std::string::npos ? 1 : 0);
    const bool spread = letters != equation.output.size();
    const Labels output =
        equation.has_output ? LabelsOf(equation.output, letters + (spread ? ellipsis : 0)) : ImplicitOutput(terms);
    for (Label label : output) {
      Require(extents.count(label) != 0 && std::count(output.begin(), output.end(), label) == 1,
              ErrorCode::kInvalidModel,
              "a letter of the equation's output is missing in its terms, or stands there twice");
    }
    const DType dtype = context.Input(0).dtype();
    Tensor& y = context.Output(0, dtype, ExtentsAlong(extents, output));
    const auto run = [&](auto tag) {
      using T = typename decltype(tag)::type;
      const Operand<T> result = Evaluate<T>(context, terms, output, extents);
      ConvertElements(kDTypeOf<T>, result.data.data(), dtype, y.raw(), y.elements());
    };
    // Integers in 64 bits without a sign: arithmetic modulo any smaller width comes out right.
    if (IsInteger(dtype)) return run(TypeTag<uint64_t>{});
    DispatchFloat(dtype, "Einsum", run);
  });
}

}  // namespace

void AddEinsum(KernelTable& table) { table.Add("", "Einsum", {12, 28}, &MakeEinsum); }

}  // namespace onnxforge::reference
