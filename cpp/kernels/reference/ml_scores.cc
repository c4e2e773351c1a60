#include "reference/ml_scores.h"

#include <algorithm>
#include <cmath>

#include "onnxforge/base/error.h"

#include "reference/activation_functions.h"

namespace onnxforge::reference {
namespace {

/// Softmax; with `keep_zeros` of the scores that are not 0, which stay 0.
void Softmax(float* scores, int64_t count, bool keep_zeros) {
  const auto ignored = [&](float v) { return keep_zeros && std::abs(v) <= 1e-7f; };
  float greatest = scores[0];
  for (int64_t i = 1; i < count; ++i) greatest = std::max(greatest, scores[i]);
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (ignored(scores[i])) {
      scores[i] *= std::exp(-greatest);
    } else {
      scores[i] = std::exp(scores[i] - greatest);
      sum += scores[i];
    }
  }
  for (int64_t i = 0; i < count && sum != 0; ++i) scores[i] /= sum;
}

/// √2 · erf⁻¹(2x - 1), the inverse by Winitzki's approximation, which is what the standard's users have.
float Probit(float x) {
  const float y = 2 * x - 1;
  const float sign = y < 0 ? -1.0f : 1.0f;
  const float log = std::log((1 - y) * (1 + y));
  const float a = 2 / (3.14159f * 0.147f) + 0.5f * log;
  const float b = 1 / 0.147f * log;
  return 1.41421356f * sign * std::sqrt(-a + std::sqrt(a * a - b));
}

}  // namespace

PostTransform ReadPostTransform(const NodeSpec& node) {
  const std::string name = node.attributes.String("post_transform", "NONE");
  if (name == "NONE") return PostTransform::kNone;
  if (name == "SOFTMAX") return PostTransform::kSoftmax;
  if (name == "LOGISTIC") return PostTransform::kLogistic;
  if (name == "SOFTMAX_ZERO") return PostTransform::kSoftmaxZero;
  if (name == "PROBIT") return PostTransform::kProbit;
  Fail(ErrorCode::kInvalidModel, "attribute 'post_transform' is '", name,
       "', not NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT");
}

void Transform(PostTransform transform, float* scores, int64_t count) {
  switch (transform) {
    case PostTransform::kNone:
      return;
    case PostTransform::kSoftmax:
      return Softmax(scores, count, false);
    case PostTransform::kSoftmaxZero:
      return Softmax(scores, count, true);
    case PostTransform::kLogistic:
      for (int64_t i = 0; i < count; ++i) scores[i] = activation::Sigmoid(scores[i]);
      return;
    case PostTransform::kProbit:
      for (int64_t i = 0; i < count; ++i) scores[i] = Probit(scores[i]);
      return;
  }
}

ClassLabels::ClassLabels(const NodeSpec& node, const char* integers)
    : strings_(node.attributes.Strings("classlabels_strings")), integers_(node.attributes.Ints(integers)) {
  Require(count() > 0, ErrorCode::kInvalidModel, "neither attribute 'classlabels_strings' nor '", integers,
          "' is there");
}

int64_t ClassLabels::count() const {
  return static_cast<int64_t>(strings_.empty() ? integers_.size() : strings_.size());
}

Tensor& ClassLabels::Output(KernelContext& context, int64_t rows) const {
  return context.Output(0, strings_.empty() ? DType::kInt64 : DType::kString, {rows});
}

void ClassLabels::Store(Tensor& output, int64_t row, int64_t label) const {
  if (strings_.empty()) {
    output.data<int64_t>()[row] = integers_[static_cast<size_t>(label)];
  } else {
    output.data<std::string>()[row] = strings_[static_cast<size_t>(label)];
  }
}

}  // namespace onnxforge::reference
