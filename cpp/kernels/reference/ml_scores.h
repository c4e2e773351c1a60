#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxforge/kernels/kernel.h"
#include "onnxforge/kernels/table.h"

namespace onnxforge::reference {

/// What a classifier or regressor of ai.onnx.ml does with its scores last.
enum class PostTransform { kNone, kSoftmax, kLogistic, kSoftmaxZero, kProbit };

/// By name (attribute 'post_transform' of most operators); kInvalidModel for an unknown one.
PostTransform ReadPostTransform(const NodeSpec& node);

/// Transforms one row of scores.
void Transform(PostTransform transform, float* scores, int64_t count);

/// The class labels of a classifier, strings or integers.
class ClassLabels {
 public:
  /// `integers`: the attribute's name, which is not the same for all operators.
  ClassLabels(const NodeSpec& node, const char* integers);
  int64_t count() const;
  /// Makes output 0 [rows].
  Tensor& Output(KernelContext& context, int64_t rows) const;
  void Store(Tensor& output, int64_t row, int64_t label) const;

 private:
  std::vector<std::string> strings_;
  std::vector<int64_t> integers_;
};

}  // namespace onnxforge::reference
