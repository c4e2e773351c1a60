// SVMClassifier and SVMRegressor.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "reference/activation_functions.h"
#include "reference/compute.h"
#include "reference/list.h"
#include "reference/ml_scores.h"

namespace onnxforge::reference {
namespace {

/// The function of two vectors that takes the place of their product.
class VectorKernel {
 public:
  explicit VectorKernel(const Attributes& attributes) {
    const std::string name = attributes.String("kernel_type", "LINEAR");
    if (name == "LINEAR")
      type_ = Type::kLinear;
    else if (name == "POLY")
      type_ = Type::kPolynomial;
    else if (name == "RBF")
      type_ = Type::kRbf;
    else if (name == "SIGMOID")
      type_ = Type::kSigmoid;
    else
      Fail(ErrorCode::kInvalidModel, "attribute 'kernel_type' is '", name,
           "', and must be LINEAR, POLY, RBF or SIGMOID");
    const std::vector<float> parameters = attributes.Floats("kernel_params");
    Require(parameters.empty() || parameters.size() == 3, ErrorCode::kInvalidModel, "attribute 'kernel_params' has ",
            parameters.size(), " elements instead of gamma, coef0 and degree");
    if (parameters.empty()) return;
    gamma_ = parameters[0];
    coef0_ = parameters[1];
    degree_ = parameters[2];
  }

  double operator()(const double* a, const double* b, int64_t n) const {
    if (type_ == Type::kRbf) {
      double square = 0;
      for (int64_t i = 0; i < n; ++i) square += (a[i] - b[i]) * (a[i] - b[i]);
      return std::exp(-gamma_ * square);
    }
    const double product = std::inner_product(a, a + n, b, 0.0);
    switch (type_) {
      case Type::kPolynomial:
        return std::pow(gamma_ * product + coef0_, degree_);
      case Type::kSigmoid:
        return std::tanh(gamma_ * product + coef0_);
      default:
        return product;
    }
  }

 private:
  enum class Type { kLinear, kPolynomial, kRbf, kSigmoid };
  Type type_ = Type::kLinear;
  double gamma_ = 0;
  double coef0_ = 0;
  double degree_ = 0;
};

std::vector<double> ReadReals(const Attributes& attributes, std::string_view name) {
  const std::vector<float> values = attributes.Floats(name);
  return {values.begin(), values.end()};
}

/// [N, columns], or [columns] as one row.
struct FeatureRows {
  FeatureRows(const Shape& shape, int64_t expected) {
    Require(shape.rank() == 1 || shape.rank() == 2, ErrorCode::kInvalidArgument,
            "the input must be [N, F], and has shape ", shape);
    count = shape.rank() == 2 ? shape[0] : 1;
    columns = shape[shape.rank() - 1];
    Require(columns == expected, ErrorCode::kInvalidArgument, "the input has ", columns, " features, and the model ",
            expected);
  }
  int64_t count = 1;
  int64_t columns = 0;
};

struct Regressor {
  explicit Regressor(const NodeSpec& node)
      : kernel(node.attributes),
        vectors(ReadReals(node.attributes, "support_vectors")),
        coefficients(ReadReals(node.attributes, "coefficients")),
        supports(node.attributes.Int("n_supports", 0)),
        one_class(node.attributes.Int("one_class", 0) != 0),
        transform(ReadPostTransform(node)) {
    const std::vector<double> rho = ReadReals(node.attributes, "rho");
    Require(rho.size() == 1, ErrorCode::kInvalidModel, "attribute 'rho' has ", rho.size(), " elements instead of 1");
    offset = rho[0];
    if (supports <= 0) {  // the coefficients are the only vector, and the product the plain one
      columns = static_cast<int64_t>(coefficients.size());
      return;
    }
    Require(
        static_cast<int64_t>(vectors.size()) % supports == 0 && static_cast<int64_t>(coefficients.size()) >= supports,
        ErrorCode::kInvalidModel, "attributes 'support_vectors' (", vectors.size(), " elements) and 'coefficients' (",
        coefficients.size(), ") do not fit n_supports=", supports);
    columns = static_cast<int64_t>(vectors.size()) / supports;
  }

  float Score(const double* row) const {
    double sum = offset;
    if (supports <= 0) {
      sum += std::inner_product(row, row + columns, coefficients.begin(), 0.0);
    } else {
      for (int64_t j = 0; j < supports; ++j)
        sum += coefficients[static_cast<size_t>(j)] * kernel(row, vectors.data() + j * columns, columns);
    }
    if (one_class) return sum > 0 ? 1.0f : -1.0f;
    auto score = static_cast<float>(sum);
    Transform(transform, &score, 1);
    return score;
  }

  VectorKernel kernel;
  std::vector<double> vectors, coefficients;
  int64_t supports;
  int64_t columns = 0;
  double offset = 0;
  bool one_class;
  PostTransform transform;
};

std::unique_ptr<Kernel> MakeSvmRegressor(const NodeSpec& node) {
  auto model = std::make_shared<const Regressor>(node);
  return MakeKernel([model](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const FeatureRows rows(x.shape(), model->columns);
    const double* features = ReadAs<double>(context, x);
    float* y = context.Output(0, DType::kFloat32, Shape{rows.count, 1}).data<float>();
    context.Threads().ParallelFor(rows.count, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) y[i] = model->Score(features + i * rows.columns);
    });
  });
}

/// The probabilities of k classes from those of all pairs, r[i, j] = P(i | i or j): method 2 of Wu, Lin and Weng,
/// "Probability Estimates for Multi-class Classification by Pairwise Coupling" (2004), iterated as libsvm does.
void CouplePairs(size_t k, const std::vector<double>& r, double* p) {
  constexpr size_t kLeastIterations = 100;
  const double epsilon = 0.005 / static_cast<double>(k);
  std::vector<double> q(k * k);
  std::vector<double> qp(k);
  for (size_t t = 0; t < k; ++t) {
    p[t] = 1.0 / static_cast<double>(k);
    for (size_t j = 0; j < k; ++j) {
      if (j == t) continue;
      q[t * k + t] += r[j * k + t] * r[j * k + t];
      q[t * k + j] = -r[j * k + t] * r[t * k + j];
    }
  }
  for (size_t iteration = 0; iteration < std::max(kLeastIterations, k); ++iteration) {
    double pqp = 0;
    for (size_t t = 0; t < k; ++t) {
      qp[t] = std::inner_product(p, p + k, q.begin() + static_cast<std::ptrdiff_t>(t * k), 0.0);
      pqp += p[t] * qp[t];
    }
    double error = 0;
    for (double value : qp) error = std::max(error, std::abs(value - pqp));
    if (error < epsilon) break;
    for (size_t t = 0; t < k; ++t) {
      const double step = (-qp[t] + pqp) / q[t * k + t];
      p[t] += step;
      pqp = (pqp + step * (step * q[t * k + t] + 2 * qp[t])) / (1 + step) / (1 + step);
      for (size_t j = 0; j < k; ++j) {
        qp[j] = (qp[j] + step * q[t * k + j]) / (1 + step);
        p[j] /= 1 + step;
      }
    }
  }
}

struct Classifier {
  explicit Classifier(const NodeSpec& node)
      : kernel(node.attributes),
        vectors(ReadReals(node.attributes, "support_vectors")),
        coefficients(ReadReals(node.attributes, "coefficients")),
        rho(ReadReals(node.attributes, "rho")),
        prob_a(ReadReals(node.attributes, "prob_a")),
        prob_b(ReadReals(node.attributes, "prob_b")),
        per_class(node.attributes.Ints("vectors_per_class")),
        labels(node, "classlabels_ints"),
        transform(ReadPostTransform(node)) {
    Require(!rho.empty() && !coefficients.empty(), ErrorCode::kInvalidModel,
            "attributes 'rho' and 'coefficients' must be given");
    for (int64_t n : per_class) {
      Require(n >= 0 && n <= static_cast<int64_t>(vectors.size()), ErrorCode::kInvalidModel,
              "attribute 'vectors_per_class' has the element ", n, ", and 'support_vectors' has ", vectors.size());
      starts.push_back(supports);
      supports += n;
    }
    if (supports == 0) {  // one plain product per class
      classes = static_cast<size_t>(labels.count());
      Require(coefficients.size() % classes == 0, ErrorCode::kInvalidModel, "attribute 'coefficients' has ",
              coefficients.size(), " elements for ", classes, " classes");
      columns = static_cast<int64_t>(coefficients.size() / classes);
      return;
    }
    classes = per_class.size();
    const size_t pairs = classes * (classes - 1) / 2;
    Require(classes >= 2 && rho.size() >= pairs && static_cast<size_t>(labels.count()) >= classes,
            ErrorCode::kInvalidModel, "attributes 'rho' (", rho.size(), " elements) and 'classlabels_*' (",
            labels.count(), ") do not fit ", classes, " classes");
    Require(static_cast<int64_t>(vectors.size()) % supports == 0 &&
                static_cast<int64_t>(coefficients.size()) == supports * static_cast<int64_t>(classes - 1),
            ErrorCode::kInvalidModel, "attributes 'support_vectors' (", vectors.size(),
            " elements) and 'coefficients' (", coefficients.size(), ") do not fit ", supports, " vectors of ", classes,
            " classes");
    Require(prob_a.size() == prob_b.size() && (prob_a.empty() || prob_a.size() >= pairs), ErrorCode::kInvalidModel,
            "attributes 'prob_a' and 'prob_b' must have an element for each pair of classes");
    columns = static_cast<int64_t>(vectors.size()) / supports;
  }

  size_t pairs() const { return classes * (classes - 1) / 2; }
  /// Scores before the transform: per class, or per pair of classes.
  size_t score_count() const { return supports == 0 || !prob_a.empty() ? classes : pairs(); }
  size_t width() const { return expands() ? 2 : score_count(); }
  bool expands() const { return score_count() == 1 && labels.count() == 2; }

  /// coefficients[row] · values over the vectors of class `k`.
  double OfClass(size_t row, size_t k, const std::vector<double>& values) const {
    const auto begin = static_cast<size_t>(starts[k]);
    const double* coefficient = coefficients.data() + row * static_cast<size_t>(supports);
    return std::inner_product(coefficient + begin, coefficient + begin + per_class[k], values.data() + begin, 0.0);
  }

  /// Every pair of classes is a duel; the class that wins most has the row.
  size_t Duel(const double* row, std::vector<double>& scores) const {
    std::vector<double> values(static_cast<size_t>(supports));
    for (int64_t j = 0; j < supports; ++j)
      values[static_cast<size_t>(j)] = kernel(row, vectors.data() + j * columns, columns);
    std::vector<int64_t> votes(classes);
    std::vector<double> duels;
    for (size_t i = 0; i < classes; ++i) {
      for (size_t j = i + 1; j < classes; ++j) {
        duels.push_back(rho[duels.size()] + OfClass(j - 1, i, values) + OfClass(i, j, values));
        ++votes[duels.back() > 0 ? i : j];
      }
    }
    if (prob_a.empty()) {
      scores = std::move(duels);
    } else {
      Probabilities(duels, scores);
    }
    return static_cast<size_t>(std::max_element(votes.begin(), votes.end()) - votes.begin());
  }

  void Probabilities(const std::vector<double>& duels, std::vector<double>& scores) const {
    constexpr double kLeast = 1e-7;
    std::vector<double> r(classes * classes);
    size_t pair = 0;
    for (size_t i = 0; i < classes; ++i) {
      for (size_t j = i + 1; j < classes; ++j, ++pair) {
        const double p = 1 - activation::Sigmoid(duels[pair] * prob_a[pair] + prob_b[pair]);
        r[i * classes + j] = std::min(std::max(p, kLeast), 1 - kLeast);
        r[j * classes + i] = 1 - r[i * classes + j];
      }
    }
    CouplePairs(classes, r, scores.data());
  }

  size_t Linear(const double* row, std::vector<double>& scores) const {
    for (size_t k = 0; k < classes; ++k) {
      const double* coefficient = coefficients.data() + k * static_cast<size_t>(columns);
      scores[k] = std::inner_product(row, row + columns, coefficient, rho[0]);
    }
    return static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  }

  void Run(KernelContext& context) const {
    const Tensor& x = context.Input(0);
    const FeatureRows rows(x.shape(), columns);
    const double* features = ReadAs<double>(context, x);
    const auto out = static_cast<int64_t>(width());
    Tensor& y = labels.Output(context, rows.count);
    Tensor& z = context.Output(1, DType::kFloat32, Shape{rows.count, out});
    context.Threads().ParallelFor(rows.count, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::vector<double> scores(score_count());
        const double* row = features + i * columns;
        labels.Store(y, i, static_cast<int64_t>(supports == 0 ? Linear(row, scores) : Duel(row, scores)));
        // The score of a pair of classes is its first one's. onnxruntime hands it out as the second one's, with what is
        // left of one beside it in the place of a softmax; so does this.
        const bool softmax = transform == PostTransform::kSoftmax || transform == PostTransform::kSoftmaxZero;
        if (expands()) scores = {softmax ? 1 - scores[0] : -scores[0], scores[0]};
        float* to = z.data<float>() + i * out;
        std::transform(scores.begin(), scores.end(), to, [](double score) { return static_cast<float>(score); });
        if (!expands() || transform == PostTransform::kLogistic) Transform(transform, to, out);
      }
    });
  }

  VectorKernel kernel;
  std::vector<double> vectors, coefficients, rho, prob_a, prob_b;
  std::vector<int64_t> per_class, starts;
  ClassLabels labels;
  PostTransform transform;
  size_t classes = 0;
  int64_t supports = 0;
  int64_t columns = 0;
};

std::unique_ptr<Kernel> MakeSvmClassifier(const NodeSpec& node) {
  auto model = std::make_shared<const Classifier>(node);
  return MakeKernel([model](KernelContext& context) { model->Run(context); });
}

}  // namespace

void AddMlSvm(KernelTable& table) {
  table.Add("ai.onnx.ml", "SVMClassifier", {1}, &MakeSvmClassifier);
  table.Add("ai.onnx.ml", "SVMRegressor", {1}, &MakeSvmRegressor);
}

}  // namespace onnxforge::reference
