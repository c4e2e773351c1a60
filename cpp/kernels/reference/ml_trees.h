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
  bool missing_is_true = false;
  int64_t feature = 0;
  double threshold = 0;
  int64_t if_true = -1;
  int64_t if_false = -1;
  int64_t begin = 0;  // [begin, end) of the forest's members where it asks for one, of its votes otherwise
  int64_t end = 0;
};

/// Trees without cycles, every branch of which leads to a node.
struct Forest {
  std::vector<TreeNode> nodes;
  std::vector<int64_t> roots;
  std::vector<double> members;  // sorted, node by node
  std::vector<Vote> votes;      // node by node
  int64_t features = 0;         // the least number of columns the input must have

  /// Calls `take(vote)` for the votes of a leaf.
  template <typename F>
  void ForVotes(const TreeNode& leaf, const F& take) const {
    for (int64_t v = leaf.begin; v < leaf.end; ++v) take(votes[static_cast<size_t>(v)]);
  }
};

enum class Aggregate { kAverage, kSum, kMin, kMax };

/// How the votes of a forest are collected: what tiers differ in.
class ForestScorer {
 public:
  virtual ~ForestScorer() = default;
  /// scores[rows][targets], 0 where nobody voted, of x[rows, width].
  virtual void Score(KernelContext& context, const Tensor& x, int64_t rows, int64_t width, double* scores) const = 0;
};

using MakeScorer = std::unique_ptr<ForestScorer> (*)(std::shared_ptr<const Forest> forest, Aggregate aggregate,
                                                     int64_t targets);

/// One row at a time, one node at a time, in double.
std::unique_ptr<ForestScorer> MakeReferenceScorer(std::shared_ptr<const Forest> forest, Aggregate aggregate,
                                                  int64_t targets);

/// The kernels of TreeEnsembleRegressor, TreeEnsembleClassifier and TreeEnsemble with such a scorer.
std::unique_ptr<Kernel> MakeTreeEnsembleRegressor(const NodeSpec& node, MakeScorer make);
std::unique_ptr<Kernel> MakeTreeEnsembleClassifier(const NodeSpec& node, MakeScorer make);
std::unique_ptr<Kernel> MakeTreeEnsemble(const NodeSpec& node, MakeScorer make);

}  // namespace onnxforge::reference
