// The tree ensembles of ai.onnx.ml with float32 features. Nodes lie breadth first, 16 bytes each, and several walks go
// down at a time: many rows through one tree, or few rows through many, so that one walk's loads hide another's. There
// are no wide vectors here: gathering four fields of a node costs what the scalar loads do.
//
// The votes of a row are added in the order of the trees, in double: the scores are the reference tier's.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "onnxforge/kernels/table.h"

#include "reference/ml_trees.h"
#include "simd/list.h"

namespace onnxforge::simd {
namespace {

using reference::Aggregate;
using reference::Branch;
using reference::Forest;
using reference::TreeNode;
using reference::Vote;

// Walks at a time.
constexpr size_t kWalks = 8;
// Rows that go through a tree before the next one is looked at; their scores stay in the first-level cache.
constexpr int64_t kRows = 64;
// Nodes passed that are worth another thread.
constexpr int64_t kGrain = 20000;

/// Where x[feature] ≤ threshold: on to `next`, else to `next` + `step`. Leaves lead to themselves.
struct FlatNode {
  float threshold = 0;
  uint32_t feature = 0;  // with kNanIsYes where NaN goes on to `next`
  int32_t next = 0;
  int32_t step = 0;
};
constexpr uint32_t kNanIsYes = uint32_t{1} << 31;

/// The greatest float below; NaN, which nothing is at most, where there is none.
float Below(float x) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return x == -kInfinity ? std::numeric_limits<float>::quiet_NaN() : std::nextafter(x, -kInfinity);
}

/// A forest all of whose questions compare with a threshold, put as "x ≤ threshold?".
class FlatForest {
 public:
  explicit FlatForest(const Forest& forest) {
    std::vector<int32_t> places(forest.nodes.size(), -1);
    nodes_.reserve(forest.nodes.size());
    first_vote_.reserve(forest.nodes.size() + 1);
    votes_.reserve(forest.votes.size());
    for (const int64_t root : forest.roots) roots_.push_back(Place(forest, root, places));
    first_vote_.push_back(static_cast<int32_t>(votes_.size()));
  }

  const std::vector<int32_t>& roots() const { return roots_; }

  /// Calls `take(vote)` for the votes of a leaf.
  template <typename F>
  void ForVotes(int32_t leaf, const F& take) const {
    const auto at = static_cast<size_t>(leaf);
    for (int32_t v = first_vote_[at]; v < first_vote_[at + 1]; ++v) take(votes_[static_cast<size_t>(v)]);
  }

  /// The leaves that `count` ≤ kWalks walks end at: each from the node `at` with the features `rows`.
  void Walk(const float* const* rows, int32_t* at, size_t count) const {
    const FlatNode* nodes = nodes_.data();
    if (count == kWalks) return nan_matters_ ? WalkAll<true>(nodes, rows, at) : WalkAll<false>(nodes, rows, at);
    for (size_t i = 0; i < count; ++i) {
      while (Step<true>(nodes, rows[i], at[i]) != 0) {
      }
    }
  }

 private:
  template <bool kNan>
  static void WalkAll(const FlatNode* nodes, const float* const* rows, int32_t* at) {
    for (int32_t moving = 1; moving != 0;) {
      moving = 0;
      for (size_t i = 0; i < kWalks; ++i) moving |= Step<kNan>(nodes, rows[i], at[i]);
    }
  }

  /// One node on; returns what it might have stepped, 0 for a leaf.
  template <bool kNan>
  static int32_t Step(const FlatNode* nodes, const float* row, int32_t& at) {
    const FlatNode& node = nodes[at];
    // Arithmetic, because a jump would be foreseen half of the time.
    const float x = row[node.feature & ~kNanIsYes];
    auto no = static_cast<int32_t>(!(x <= node.threshold));
    if constexpr (kNan) no &= ~(static_cast<int32_t>(x != x) & static_cast<int32_t>(node.feature >> 31));
    at = node.next + (node.step & -no);
    return node.step;
  }

  /// Lays out a tree breadth first, so that what two branches lead to are neighbours; nodes that are there stay.
  int32_t Place(const Forest& forest, int64_t root, std::vector<int32_t>& places) {
    std::vector<int64_t> queue;
    const auto place_of = [&](int64_t id) {
      int32_t& place = places[static_cast<size_t>(id)];
      if (place < 0) {
        place = static_cast<int32_t>(nodes_.size());
        nodes_.emplace_back();
        queue.push_back(id);
      }
      return place;
    };
    const int32_t begin = place_of(root);
    for (size_t next = 0; next < queue.size(); ++next) {
      const TreeNode& node = forest.nodes[static_cast<size_t>(queue[next])];
      const int32_t place = places[static_cast<size_t>(queue[next])];
      FlatNode flat;
      flat.next = place;
      // Votes are kept in the order of the nodes, which is that of the queue.
      first_vote_.push_back(static_cast<int32_t>(votes_.size()));
      if (node.branch == Branch::kLeaf) {
        forest.ForVotes(node, [&](const Vote& vote) { votes_.push_back(vote); });
      } else {
        const bool less = node.branch == Branch::kLeq || node.branch == Branch::kLt;
        const bool strict = node.branch == Branch::kLt || node.branch == Branch::kGte;
        const auto threshold = static_cast<float>(node.threshold);
        flat.threshold = strict ? Below(threshold) : threshold;
        // "x > t?" is asked the other way round, where NaN has to be answered with yes.
        const bool nan_is_yes = less == node.missing_is_true;
        flat.feature = static_cast<uint32_t>(node.feature) | (nan_is_yes ? kNanIsYes : 0);
        nan_matters_ = nan_matters_ || nan_is_yes;
        flat.next = place_of(less ? node.if_true : node.if_false);
        flat.step = place_of(less ? node.if_false : node.if_true) - flat.next;
      }
      nodes_[static_cast<size_t>(place)] = flat;
    }
    return begin;
  }

  std::vector<FlatNode> nodes_;
  std::vector<int32_t> roots_;
  std::vector<int32_t> first_vote_;  // by node, and one more
  std::vector<Vote> votes_;
  bool nan_matters_ = false;
};

/// Whether FlatForest can hold the forest.
bool IsPlain(const Forest& forest) {
  constexpr size_t kMost = size_t{1} << 30;
  if (forest.nodes.size() > kMost) return false;
  return std::all_of(forest.nodes.begin(), forest.nodes.end(), [](const TreeNode& node) {
    if (node.branch == Branch::kLeaf) return true;
    const bool compares = node.branch == Branch::kLeq || node.branch == Branch::kLt || node.branch == Branch::kGte ||
                          node.branch == Branch::kGt;
    return compares && node.if_true != node.if_false && node.feature < static_cast<int64_t>(kMost) &&
           static_cast<double>(static_cast<float>(node.threshold)) == node.threshold;
  });
}

class FlatScorer final : public reference::ForestScorer {
 public:
  FlatScorer(std::shared_ptr<const Forest> forest, Aggregate aggregate, int64_t targets)
      : forest_(*forest),
        aggregate_(aggregate),
        targets_(targets),
        other_(reference::MakeReferenceScorer(std::move(forest), aggregate, targets)) {}

  void Score(KernelContext& context, const Tensor& x, int64_t rows, int64_t width, double* scores) const override {
    // A leaf looks at feature 0 too.
    if (x.dtype() != DType::kFloat32 || width == 0) return other_->Score(context, x, rows, width, scores);
    const float* data = x.data<float>();
    std::fill_n(scores, rows * targets_, 0.0);
    const auto trees = static_cast<int64_t>(forest_.roots().size());
    const int64_t blocks = (rows + kRows - 1) / kRows;
    const int64_t grain = 1 + kGrain / (1 + trees * std::min(rows, kRows) * 6);
    context.Threads().ParallelFor(blocks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * kRows;
        const int64_t count = std::min(kRows, rows - first);
        if (count >= static_cast<int64_t>(kWalks)) {
          ScoreRows(data + first * width, count, width, scores + first * targets_);
        } else {
          for (int64_t r = first; r < first + count; ++r) ScoreRow(data + r * width, scores + r * targets_);
        }
      }
    });
    if (aggregate_ != Aggregate::kAverage || trees == 0) return;
    for (int64_t i = 0; i < rows * targets_; ++i) scores[i] /= static_cast<double>(trees);
  }

 private:
  void Take(const Vote& vote, double* scores) const { scores[vote.target] += vote.weight; }

  /// Many rows, a tree at a time.
  void ScoreRows(const float* x, int64_t count, int64_t width, double* scores) const {
    for (const int32_t root : forest_.roots()) {
      for (int64_t begin = 0; begin < count; begin += kWalks) {
        // The last walks may take rows once more that have been counted.
        const int64_t from = std::min(begin, count - static_cast<int64_t>(kWalks));
        const float* rows[kWalks];
        int32_t at[kWalks];
        for (size_t i = 0; i < kWalks; ++i) {
          rows[i] = x + (from + static_cast<int64_t>(i)) * width;
          at[i] = root;
        }
        forest_.Walk(rows, at, kWalks);
        for (auto i = static_cast<size_t>(begin - from); i < kWalks; ++i) {
          double* row = scores + (from + static_cast<int64_t>(i)) * targets_;
          forest_.ForVotes(at[i], [&](const Vote& vote) { Take(vote, row); });
        }
      }
    }
  }

  /// One row, several trees at a time.
  void ScoreRow(const float* x, double* scores) const {
    const std::vector<int32_t>& roots = forest_.roots();
    const float* rows[kWalks];
    std::fill_n(rows, kWalks, x);
    for (size_t begin = 0; begin < roots.size(); begin += kWalks) {
      const size_t count = std::min(kWalks, roots.size() - begin);
      int32_t at[kWalks];
      std::copy_n(roots.data() + begin, count, at);
      forest_.Walk(rows, at, count);
      for (size_t i = 0; i < count; ++i) {
        forest_.ForVotes(at[i], [&](const Vote& vote) { Take(vote, scores); });
      }
    }
  }

  FlatForest forest_;
  Aggregate aggregate_;
  int64_t targets_;
  std::unique_ptr<reference::ForestScorer> other_;  // for features of other types
};

std::unique_ptr<reference::ForestScorer> MakeScorer(std::shared_ptr<const Forest> forest, Aggregate aggregate,
                                                    int64_t targets) {
  const bool sums = aggregate == Aggregate::kSum || aggregate == Aggregate::kAverage;
  if (!sums || !IsPlain(*forest)) return reference::MakeReferenceScorer(std::move(forest), aggregate, targets);
  return std::make_unique<FlatScorer>(std::move(forest), aggregate, targets);
}

}  // namespace

void AddTrees(KernelTable& table) {
  table.Add("ai.onnx.ml", "TreeEnsemble", {5},
            [](const NodeSpec& node) { return reference::MakeTreeEnsemble(node, MakeScorer); });
  table.Add("ai.onnx.ml", "TreeEnsembleClassifier", {1, 3, 5},
            [](const NodeSpec& node) { return reference::MakeTreeEnsembleClassifier(node, MakeScorer); });
  table.Add("ai.onnx.ml", "TreeEnsembleRegressor", {1, 3, 5},
            [](const NodeSpec& node) { return reference::MakeTreeEnsembleRegressor(node, MakeScorer); });
}

}  // namespace onnxforge::simd
