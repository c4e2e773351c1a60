// ai.onnx.ml: LinearClassifier and LinearRegressor.
#include <algorithm>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/matrix.h"
#include "reference/ml_scores.h"

namespace onnxforge::reference {
namespace {

constexpr const char* kMl = "ai.onnx.ml";

struct LinearModel {
  std::vector<float> coefficients;  // [targets, features]
  std::vector<float> intercepts;    // [targets], or none
};

LinearModel ReadModel(const NodeSpec& node) {
  return {node.attributes.Floats("coefficients"), node.attributes.Floats("intercepts")};
}

/// The scores [rows, targets].
std::vector<float> Scores(KernelContext& context, const LinearModel& model, int64_t targets) {
  const Tensor& x = context.Input(0);
  Require(x.rank() == 1 || x.rank() == 2, ErrorCode::kInvalidArgument, "the input must be [N, F], and has shape ",
          x.shape());
  const int64_t rows = x.rank() == 2 ? x.dim(0) : 1;
  const int64_t features = x.dim(x.rank() - 1);
  Require(static_cast<int64_t>(model.coefficients.size()) == targets * features, ErrorCode::kInvalidArgument,
          model.coefficients.size(), " coefficients for ", targets, " targets of ", features, " features");
  Require(model.intercepts.empty() || static_cast<int64_t>(model.intercepts.size()) == targets,
          ErrorCode::kInvalidModel, model.intercepts.size(), " intercepts for ", targets, " targets");
  std::vector<float> scores(static_cast<size_t>(rows * targets), 0.0f);
  std::vector<float> turned(model.coefficients.size());
  TransposeMatrix(model.coefficients.data(), targets, features, turned.data());
  ParallelMultiplyAdd(context.Threads(), rows, targets, features, ReadAs<float>(context, x), features, int64_t{1},
                      turned.data(), targets, scores.data(), targets);
  for (size_t i = 0; i < scores.size() && !model.intercepts.empty(); ++i)
    scores[i] += model.intercepts[i % model.intercepts.size()];
  return scores;
}

std::unique_ptr<Kernel> MakeLinearRegressor(const NodeSpec& node) {
  const int64_t targets = node.attributes.Int("targets", 1);
  Require(targets > 0, ErrorCode::kInvalidModel, "attribute 'targets' must be positive, not ", targets);
  return MakeKernel([model = ReadModel(node), targets, transform = ReadPostTransform(node)](KernelContext& context) {
    const std::vector<float> scores = Scores(context, model, targets);
    const int64_t rows = static_cast<int64_t>(scores.size()) / targets;
    Tensor& y = context.Output(0, DType::kFloat32, {rows, targets});
    std::copy(scores.begin(), scores.end(), y.data<float>());
    for (int64_t r = 0; r < rows; ++r) Transform(transform, y.data<float>() + r * targets, targets);
  });
}

/// A single score of two classes is the second one's: it wins when positive.
std::unique_ptr<Kernel> MakeLinearClassifier(const NodeSpec& node) {
  return MakeKernel([model = ReadModel(node), labels = ClassLabels(node, "classlabels_ints"),
                     transform = ReadPostTransform(node)](KernelContext& context) {
    const int64_t targets = model.intercepts.empty() ? labels.count() : static_cast<int64_t>(model.intercepts.size());
    const std::vector<float> scores = Scores(context, model, targets);
    const int64_t rows = static_cast<int64_t>(scores.size()) / targets;
    const bool binary = targets == 1 && labels.count() == 2;
    Require(binary || targets == labels.count(), ErrorCode::kInvalidModel, targets, " sets of coefficients for ",
            labels.count(), " classes");
    const int64_t width = binary ? 2 : targets;
    Tensor& y = labels.Output(context, rows);
    float* z = context.Output(1, DType::kFloat32, {rows, width}).data<float>();
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = scores.data() + r * targets;
      labels.Store(y, r, binary ? (row[0] > 0 ? 1 : 0) : std::max_element(row, row + targets) - row);
      float* to = z + r * width;
      std::copy_n(row, targets, to + (binary ? 1 : 0));
      if (!binary) {
        Transform(transform, to, width);
        continue;
      }
      Transform(transform == PostTransform::kLogistic ? transform : PostTransform::kNone, to + 1, 1);
      to[0] = 1 - to[1];
    }
  });
}

}  // namespace

void AddMlLinear(KernelTable& table) {
  table.Add(kMl, "LinearClassifier", {1}, &MakeLinearClassifier);
  table.Add(kMl, "LinearRegressor", {1}, &MakeLinearRegressor);
}

}  // namespace onnxforge::reference
