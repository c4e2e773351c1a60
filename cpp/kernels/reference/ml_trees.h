#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "onnxforge/kernels/kernel.h"

namespace onnxforge::reference {

/// What a node of a tree asks; what holds leads to `if_true`.
enum class Branch { kLeq, kLt, kGte, kGt, kEq, kNeq, kMember, kLeaf };

struct Vote {
  int64_t target = 0;
  double weight = 0;
};

struct TreeNode {
  Branch branch = Branch::kLeaf;
  int64_t feature = 0;
  double threshold = 0;
  bool missing_is_true = false;
  int64_t if_true = -1;
  int64_t if_false = -1;
  std::vector<double> members;  // kMember, sorted
  std::vector<Vote> votes;      // leaves
};

/// Trees without cycles, every branch of which leads to a node.
struct Forest {
  std::vector<TreeNode> nodes;
  std::vector<int64_t> roots;
  int64_t features = 0;  // the least number of columns the input must have
};

enum class Aggregate { kAverage, kSum, kMin, kMax };

/// How the votes of a forest are collected: what tiers differ in.
class ForestScorer {
 public:
  virtual ~ForestScorer() = default;
  /// scores[rows][targets], 0 where nobody voted, of x[rows, width].
  virtual void Score(KernelContext& context, const Tensor& x, int64_t rows, int64_t width, double* scores) const = 0;
};

using MakeScorer = std::unique_ptr<ForestScorer> (*)(const Forest& forest, Aggregate aggregate, int64_t targets);

/// One row at a time, one node at a time, in double.
std::unique_ptr<ForestScorer> MakeReferenceScorer(const Forest& forest, Aggregate aggregate, int64_t targets);

/// The kernels of TreeEnsembleRegressor, TreeEnsembleClassifier and TreeEnsemble with such a scorer.
std::unique_ptr<Kernel> MakeTreeEnsembleRegressor(const NodeSpec& node, MakeScorer make);
std::unique_ptr<Kernel> MakeTreeEnsembleClassifier(const NodeSpec& node, MakeScorer make);
std::unique_ptr<Kernel> MakeTreeEnsemble(const NodeSpec& node, MakeScorer make);

}  // namespace onnxforge::reference
