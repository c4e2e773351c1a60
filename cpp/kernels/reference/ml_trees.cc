// ai.onnx.ml: TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble.
#include "reference/ml_trees.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/ml_scores.h"

namespace onnxforge::reference {
namespace {

constexpr const char* kMl = "ai.onnx.ml";

bool Holds(const Forest& forest, const TreeNode& node, double x) {
  if (std::isnan(x) && node.missing_is_true) return true;
  switch (node.branch) {
    case Branch::kLeq:
      return x <= node.threshold;
    case Branch::kLt:
      return x < node.threshold;
    case Branch::kGte:
      return x >= node.threshold;
    case Branch::kGt:
      return x > node.threshold;
    case Branch::kEq:
      return x == node.threshold;
    case Branch::kNeq:
      return x != node.threshold;
    case Branch::kMember:
      // Searching takes NaN, which is in no order, for equal to anything.
      return !std::isnan(x) &&
             std::binary_search(forest.members.begin() + node.begin, forest.members.begin() + node.end, x);
    case Branch::kLeaf:
      return false;
  }
  return false;
}

const TreeNode& FindLeaf(const Forest& forest, int64_t root, const double* row) {
  const TreeNode* node = &forest.nodes[static_cast<size_t>(root)];
  while (node->branch != Branch::kLeaf) {
    node =
        &forest.nodes[static_cast<size_t>(Holds(forest, *node, row[node->feature]) ? node->if_true : node->if_false)];
  }
  return *node;
}

/// Every branch leads to a node, and no path comes back to where it was: walking ends for any input.
void CheckForest(Forest& forest) {
  enum class Mark : uint8_t { kNew, kOpen, kDone };
  const auto count = static_cast<int64_t>(forest.nodes.size());
  std::vector<Mark> marks(forest.nodes.size(), Mark::kNew);
  for (int64_t root : forest.roots) {
    std::vector<int64_t> stack = {root};
    while (!stack.empty()) {
      const int64_t at = stack.back();
      Require(at >= 0 && at < count, ErrorCode::kInvalidModel, "a tree's branch leads to node ", at, " of ", count);
      const TreeNode& node = forest.nodes[static_cast<size_t>(at)];
      Mark& mark = marks[static_cast<size_t>(at)];
      if (mark != Mark::kNew || node.branch == Branch::kLeaf) {
        mark = Mark::kDone;
        stack.pop_back();
        continue;
      }
      mark = Mark::kOpen;
      Require(node.feature >= 0 && node.feature < std::numeric_limits<int64_t>::max(), ErrorCode::kInvalidModel,
              "a tree's node asks for feature ", node.feature);
      forest.features = std::max(forest.features, node.feature + 1);
      for (int64_t next : {node.if_true, node.if_false}) {
        Require(next >= 0 && next < count, ErrorCode::kInvalidModel, "a tree's branch leads to node ", next, " of ",
                count);
        Require(marks[static_cast<size_t>(next)] != Mark::kOpen, ErrorCode::kInvalidModel, "the tree of node ", root,
                " has a cycle");
        stack.push_back(next);
      }
    }
  }
}

Branch BranchFromName(const std::string& name) {
  struct Row {
    std::string_view name;
    Branch branch;
  };
  constexpr Row kRows[] = {{"BRANCH_LEQ", Branch::kLeq}, {"BRANCH_LT", Branch::kLt}, {"BRANCH_GTE", Branch::kGte},
                           {"BRANCH_GT", Branch::kGt},   {"BRANCH_EQ", Branch::kEq}, {"BRANCH_NEQ", Branch::kNeq},
                           {"LEAF", Branch::kLeaf}};
  for (const Row& row : kRows) {
    if (name == row.name) return row.branch;
  }
  Fail(ErrorCode::kInvalidModel, "attribute 'nodes_modes' has '", name, "'");
}

/// Numbers given as <name>, or with more precision as <name>_as_tensor.
std::vector<double> ReadReals(const NodeSpec& node, const std::string& name) {
  if (node.attributes.Has(name + "_as_tensor")) return node.attributes.Get<Tensor>(name + "_as_tensor").To<double>();
  const std::vector<float> floats = node.attributes.Floats(name);
  return std::vector<double>(floats.begin(), floats.end());
}

/// Where nodes stand in the attributes, by tree and number. Of two that are called the same, the first one counts.
class NodePlaces {
 public:
  NodePlaces(const std::vector<int64_t>& trees, const std::vector<int64_t>& ids) : trees_(trees), ids_(ids) {
    bool ascending = true;
    for (size_t i = 1; ascending && i < ids.size(); ++i) ascending = KeyOf(i - 1) < KeyOf(i);
    if (ascending) return;
    order_.resize(ids.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return KeyOf(a) < KeyOf(b); });
  }

  /// `near`: the place of a node that is likely to be in the same tree.
  size_t Of(int64_t tree, int64_t id, size_t near) const {
    const Key key(tree, id);
    // Numbers mostly count up, so that the place follows from that of any node of the tree.
    if (order_.empty() && near < ids_.size()) {
      const uint64_t guess = near + (static_cast<uint64_t>(id) - static_cast<uint64_t>(ids_[near]));
      if (guess < ids_.size() && KeyOf(static_cast<size_t>(guess)) == key) return static_cast<size_t>(guess);
    }
    size_t begin = 0;
    for (size_t end = ids_.size(); begin < end;) {
      const size_t middle = begin + (end - begin) / 2;
      if (KeyOf(At(middle)) < key) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    Require(begin < ids_.size() && KeyOf(At(begin)) == key, ErrorCode::kInvalidModel, "tree ", tree, " has no node ",
            id);
    return At(begin);
  }

 private:
  using Key = std::pair<int64_t, int64_t>;  // tree, node

  Key KeyOf(size_t place) const { return {trees_[place], ids_[place]}; }
  size_t At(size_t rank) const { return order_.empty() ? rank : order_[rank]; }

  const std::vector<int64_t>& trees_;
  const std::vector<int64_t>& ids_;
  std::vector<size_t> order_;  // places by key; empty where that is how they stand
};

/// Puts votes, each for the node at its place, behind each other node by node.
void SortVotes(const std::vector<size_t>& places, const std::vector<int64_t>& targets,
               const std::vector<double>& weights, Forest& forest) {
  for (const size_t place : places) ++forest.nodes[place].end;
  int64_t begin = 0;
  for (TreeNode& node : forest.nodes) {
    node.begin = begin;
    begin += node.end;
    node.end = node.begin;
  }
  forest.votes.resize(places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    forest.votes[static_cast<size_t>(forest.nodes[places[i]].end++)] = {targets[i], weights[i]};
  }
}

/// The encoding of versions 1 and 3; `prefix`: "class" or "target", whose attributes hold the votes.
std::shared_ptr<const Forest> ReadForest(const NodeSpec& node, const std::string& prefix) {
  const Attributes& a = node.attributes;
  static const std::vector<std::string> kNone;
  const auto& modes = a.Has("nodes_modes") ? a.Get<std::vector<std::string>>("nodes_modes") : kNone;
  const size_t count = modes.size();
  const std::vector<int64_t> trees = a.Ints("nodes_treeids");
  const std::vector<int64_t> ids = a.Ints("nodes_nodeids");
  const std::vector<int64_t> features = a.Ints("nodes_featureids");
  const std::vector<int64_t> trues = a.Ints("nodes_truenodeids");
  const std::vector<int64_t> falses = a.Ints("nodes_falsenodeids");
  const std::vector<double> values = ReadReals(node, "nodes_values");
  const std::vector<int64_t> missing = a.Ints("nodes_missing_value_tracks_true");
  Require(trees.size() == count && ids.size() == count && features.size() == count && trues.size() == count &&
              falses.size() == count && values.size() == count && (missing.empty() || missing.size() == count),
          ErrorCode::kInvalidModel, "the attributes nodes_* have different lengths");
  auto read = std::make_shared<Forest>();
  Forest& forest = *read;
  const NodePlaces places(trees, ids);
  std::set<int64_t> seen;
  forest.nodes.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    // A tree's first node is its root.
    const bool may_be_new = i == 0 || trees[i] != trees[i - 1];
    if (may_be_new && seen.insert(trees[i]).second) forest.roots.push_back(static_cast<int64_t>(i));
    TreeNode n;
    n.branch = BranchFromName(modes[i]);
    n.feature = features[i];
    n.threshold = values[i];
    n.missing_is_true = !missing.empty() && missing[i] != 0;
    if (n.branch != Branch::kLeaf) {
      n.if_true = static_cast<int64_t>(places.Of(trees[i], trues[i], i));
      n.if_false = static_cast<int64_t>(places.Of(trees[i], falses[i], i));
    }
    forest.nodes.push_back(n);
  }
  const std::vector<int64_t> vote_trees = a.Ints(prefix + "_treeids");
  const std::vector<int64_t> vote_nodes = a.Ints(prefix + "_nodeids");
  const std::vector<int64_t> targets = a.Ints(prefix + "_ids");
  const std::vector<double> weights = ReadReals(node, prefix + "_weights");
  Require(vote_nodes.size() == vote_trees.size() && targets.size() == vote_trees.size() &&
              weights.size() == vote_trees.size(),
          ErrorCode::kInvalidModel, "the attributes ", prefix, "_* have different lengths");
  std::vector<size_t> voters;
  voters.reserve(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    voters.push_back(places.Of(vote_trees[i], vote_nodes[i], voters.empty() ? 0 : voters.back()));
  }
  SortVotes(voters, targets, weights, forest);
  CheckForest(forest);
  return read;
}

/// The encoding of version 5: interior nodes and leaves apart. Leaves follow the interior nodes here.
std::shared_ptr<const Forest> ReadForest5(const NodeSpec& node) {
  const Attributes& a = node.attributes;
  const std::vector<int64_t> features = a.Ints("nodes_featureids");
  const std::vector<int64_t> modes = a.Get<Tensor>("nodes_modes").To<int64_t>();
  const std::vector<double> splits = a.Get<Tensor>("nodes_splits").To<double>();
  const std::vector<int64_t> trues = a.Ints("nodes_truenodeids");
  const std::vector<int64_t> falses = a.Ints("nodes_falsenodeids");
  const std::vector<int64_t> true_leaf = a.Ints("nodes_trueleafs");
  const std::vector<int64_t> false_leaf = a.Ints("nodes_falseleafs");
  const std::vector<int64_t> missing = a.Ints("nodes_missing_value_tracks_true");
  const std::vector<double> members =
      a.Has("membership_values") ? a.Get<Tensor>("membership_values").To<double>() : std::vector<double>{};
  const size_t count = features.size();
  Require(modes.size() == count && splits.size() == count && trues.size() == count && falses.size() == count &&
              true_leaf.size() == count && false_leaf.size() == count && (missing.empty() || missing.size() == count),
          ErrorCode::kInvalidModel, "the attributes nodes_* have different lengths");
  auto read = std::make_shared<Forest>();
  Forest& forest = *read;
  forest.roots = a.Ints("tree_roots");
  size_t member = 0;
  const auto interior = static_cast<int64_t>(count);
  for (size_t i = 0; i < count; ++i) {
    Require(modes[i] >= 0 && modes[i] <= static_cast<int64_t>(Branch::kMember), ErrorCode::kInvalidModel,
            "attribute 'nodes_modes' has ", modes[i]);
    TreeNode n;
    n.branch = static_cast<Branch>(modes[i]);
    n.feature = features[i];
    n.threshold = splits[i];
    n.missing_is_true = !missing.empty() && missing[i] != 0;
    n.if_true = trues[i] + (true_leaf[i] != 0 ? interior : 0);
    n.if_false = falses[i] + (false_leaf[i] != 0 ? interior : 0);
    if (n.branch == Branch::kMember) {
      // Sets stand in the order of their nodes, each ended by a NaN.
      n.begin = static_cast<int64_t>(forest.members.size());
      while (member < members.size() && !std::isnan(members[member])) forest.members.push_back(members[member++]);
      ++member;
      n.end = static_cast<int64_t>(forest.members.size());
      std::sort(forest.members.begin() + n.begin, forest.members.end());
    }
    forest.nodes.push_back(n);
  }
  const std::vector<int64_t> targets = a.Ints("leaf_targetids");
  const std::vector<double> weights = a.Get<Tensor>("leaf_weights").To<double>();
  Require(targets.size() == weights.size(), ErrorCode::kInvalidModel, "the attributes leaf_* have different lengths");
  for (size_t i = 0; i < targets.size(); ++i) {
    TreeNode leaf;
    leaf.begin = static_cast<int64_t>(i);
    leaf.end = leaf.begin + 1;
    forest.nodes.push_back(leaf);
    forest.votes.push_back({targets[i], weights[i]});
  }
  CheckForest(forest);
  return read;
}

void RequireTargets(const Forest& forest, int64_t count) {
  Require(count > 0, ErrorCode::kInvalidModel, "attribute 'n_targets' must be positive, not ", count);
  for (const Vote& vote : forest.votes) {
    Require(vote.target >= 0 && vote.target < count, ErrorCode::kInvalidModel, "a leaf votes for target ", vote.target,
            " of ", count);
  }
}

Aggregate ReadAggregate(const NodeSpec& node) {
  const std::string name = node.attributes.String("aggregate_function", "SUM");
  if (name == "AVERAGE") return Aggregate::kAverage;
  if (name == "SUM") return Aggregate::kSum;
  if (name == "MIN") return Aggregate::kMin;
  if (name == "MAX") return Aggregate::kMax;
  Fail(ErrorCode::kInvalidModel, "attribute 'aggregate_function' is '", name, "', not AVERAGE, SUM, MIN or MAX");
}

/// The votes for each target of one row of features; 0 where there are none.
std::vector<double> Collect(const Forest& forest, Aggregate aggregate, const double* row, int64_t targets) {
  std::vector<double> scores(static_cast<size_t>(targets), 0.0);
  std::vector<bool> voted(scores.size(), false);
  for (int64_t root : forest.roots) {
    forest.ForVotes(FindLeaf(forest, root, row), [&](const Vote& vote) {
      const auto t = static_cast<size_t>(vote.target);
      const bool first = !voted[t];
      voted[t] = true;
      if (aggregate == Aggregate::kMin) {
        scores[t] = first ? vote.weight : std::min(scores[t], vote.weight);
      } else if (aggregate == Aggregate::kMax) {
        scores[t] = first ? vote.weight : std::max(scores[t], vote.weight);
      } else {
        scores[t] += vote.weight;
      }
    });
  }
  if (aggregate == Aggregate::kAverage && !forest.roots.empty()) {
    for (double& score : scores) score /= static_cast<double>(forest.roots.size());
  }
  return scores;
}

/// [rows, features] of an input that has at least what the trees ask for.
std::pair<int64_t, int64_t> Extents(const Tensor& x, int64_t features) {
  Require(x.rank() == 1 || x.rank() == 2, ErrorCode::kInvalidArgument, "the input must be [N, F], and has shape ",
          x.shape());
  const int64_t width = x.dim(x.rank() - 1);
  Require(width >= features, ErrorCode::kInvalidArgument, "the input has ", width, " features and the trees ask for ",
          features);
  return {x.rank() == 2 ? x.dim(0) : 1, width};
}

class ReferenceScorer final : public ForestScorer {
 public:
  ReferenceScorer(std::shared_ptr<const Forest> forest, Aggregate aggregate, int64_t targets)
      : forest_(std::move(forest)), aggregate_(aggregate), targets_(targets) {}

  void Score(KernelContext& context, const Tensor& x, int64_t rows, int64_t width, double* scores) const override {
    const double* data = ReadAs<double>(context, x);
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<double> found = Collect(*forest_, aggregate_, data + r * width, targets_);
      std::copy(found.begin(), found.end(), scores + r * targets_);
    }
  }

 private:
  std::shared_ptr<const Forest> forest_;
  Aggregate aggregate_;
  int64_t targets_;
};

/// What the kernels ask for: the scores of an input.
class Scores {
 public:
  Scores(std::shared_ptr<const Forest> forest, Aggregate aggregate, int64_t targets, MakeScorer make)
      : features_(forest->features), targets_(targets), scorer_(make(std::move(forest), aggregate, targets)) {}

  /// [rows][targets], in scratch memory.
  const double* Of(KernelContext& context, int64_t& rows) const {
    const Tensor& x = context.Input(0);
    const auto [count, width] = Extents(x, features_);
    rows = count;
    auto* scores = context.Scratch<double>(static_cast<size_t>(count * targets_));
    scorer_->Score(context, x, count, width, scores);
    return scores;
  }

 private:
  int64_t features_;
  int64_t targets_;
  std::shared_ptr<const ForestScorer> scorer_;
};

void RequireBase(const std::vector<double>& base, int64_t targets) {
  Require(base.empty() || static_cast<int64_t>(base.size()) == targets, ErrorCode::kInvalidModel, base.size(),
          " base values for ", targets, " targets");
}

struct TreeClassifier {
  ClassLabels labels;
  std::vector<double> base;
  PostTransform transform;
  bool one_score = false;    // two classes, and all votes are for one
  bool all_positive = true;  // votes are probabilities then, and one half decides instead of zero
  int64_t voted_class = 0;
};

/// One score for two classes, as onnxruntime has it: votes for the first class are for the second one in truth, and the
/// first one gets what is left; votes for the second class leave the first one 0.
void ClassifyByOneScore(const TreeClassifier& c, double score, float* z, int64_t& label) {
  const auto s = static_cast<float>(score);
  const bool logistic = c.transform == PostTransform::kLogistic;
  label = s > (c.all_positive ? 0.5f : 0.0f) ? 1 : 0;
  z[1] = s;
  if (c.voted_class == 1) {
    z[0] = 0;
    return Transform(c.transform, z, 2);
  }
  z[0] = c.all_positive && !logistic ? 1 - s : -s;
  if (logistic || c.transform == PostTransform::kProbit) Transform(c.transform, z, 2);
}

}  // namespace

std::unique_ptr<Kernel> MakeTreeEnsembleRegressor(const NodeSpec& node, MakeScorer make) {
  const int64_t targets = node.attributes.Int("n_targets", 1);
  const std::shared_ptr<const Forest> forest = ReadForest(node, "target");
  RequireTargets(*forest, targets);
  const std::vector<double> base = ReadReals(node, "base_values");
  RequireBase(base, targets);
  return MakeKernel([found = Scores(forest, ReadAggregate(node), targets, make), base, targets,
                     transform = ReadPostTransform(node)](KernelContext& context) {
    int64_t rows = 0;
    const double* scores = found.Of(context, rows);
    float* y = context.Output(0, DType::kFloat32, {rows, targets}).data<float>();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t t = 0; t < targets; ++t) {
        const double added = base.empty() ? 0.0 : base[static_cast<size_t>(t)];
        y[r * targets + t] = static_cast<float>(scores[r * targets + t] + added);
      }
      Transform(transform, y + r * targets, targets);
    }
  });
}

std::unique_ptr<Kernel> MakeTreeEnsemble(const NodeSpec& node, MakeScorer make) {
  const int64_t targets = node.attributes.Int("n_targets", 1);
  const std::shared_ptr<const Forest> forest = ReadForest5(node);
  RequireTargets(*forest, targets);
  const int64_t aggregate = node.attributes.Int("aggregate_function", 1);
  const int64_t transform = node.attributes.Int("post_transform", 0);
  Require(aggregate >= 0 && aggregate <= 3 && transform >= 0 && transform <= 4, ErrorCode::kInvalidModel,
          "aggregate_function is ", aggregate, " and post_transform ", transform);
  return MakeKernel([found = Scores(forest, static_cast<Aggregate>(aggregate), targets, make), targets,
                     transform = static_cast<PostTransform>(transform)](KernelContext& context) {
    int64_t rows = 0;
    const double* scores = found.Of(context, rows);
    Tensor& y = context.Output(0, context.Input(0).dtype(), {rows, targets});
    WideOutput<double> out(context, y);
    for (int64_t r = 0; r < rows; ++r) {
      const double* from = scores + r * targets;
      double* to = out.data() + r * targets;
      std::copy_n(from, targets, to);
      if (transform == PostTransform::kNone) continue;
      std::vector<float> single(from, from + targets);
      Transform(transform, single.data(), targets);
      std::copy(single.begin(), single.end(), to);
    }
    out.Store();
  });
}

std::unique_ptr<Kernel> MakeTreeEnsembleClassifier(const NodeSpec& node, MakeScorer make) {
  const std::shared_ptr<const Forest> forest = ReadForest(node, "class");
  TreeClassifier c = {ClassLabels(node, "classlabels_int64s"), ReadReals(node, "base_values"), ReadPostTransform(node)};
  const int64_t classes = c.labels.count();
  RequireTargets(*forest, classes);
  std::set<int64_t> voted;
  for (const Vote& vote : forest->votes) {
    if (voted.size() < 2) voted.insert(vote.target);
    c.all_positive = c.all_positive && vote.weight >= 0;
  }
  c.one_score = classes == 2 && voted.size() == 1;
  if (c.one_score) c.voted_class = *voted.begin();
  if (!(c.one_score && c.base.size() == 1)) RequireBase(c.base, classes);
  return MakeKernel([found = Scores(forest, Aggregate::kSum, classes, make), c, classes](KernelContext& context) {
    int64_t rows = 0;
    const double* all = found.Of(context, rows);
    Tensor& y = c.labels.Output(context, rows);
    float* z = context.Output(1, DType::kFloat32, {rows, classes}).data<float>();
    for (int64_t r = 0; r < rows; ++r) {
      const double* scores = all + r * classes;
      float* to = z + r * classes;
      int64_t label = 0;
      if (c.one_score && c.base.size() < 2) {
        ClassifyByOneScore(c, scores[c.voted_class] + (c.base.empty() ? 0.0 : c.base[0]), to, label);
      } else {
        for (int64_t t = 0; t < classes; ++t) {
          to[t] = static_cast<float>(scores[t] + (c.base.empty() ? 0.0 : c.base[static_cast<size_t>(t)]));
        }
        label = std::max_element(to, to + classes) - to;
        Transform(c.transform, to, classes);
      }
      c.labels.Store(y, r, label);
    }
  });
}

std::unique_ptr<ForestScorer> MakeReferenceScorer(std::shared_ptr<const Forest> forest, Aggregate aggregate,
                                                  int64_t targets) {
  return std::make_unique<ReferenceScorer>(std::move(forest), aggregate, targets);
}

void AddMlTrees(KernelTable& table) {
  table.Add(kMl, "TreeEnsemble", {5}, [](const NodeSpec& node) { return MakeTreeEnsemble(node, MakeReferenceScorer); });
  table.Add(kMl, "TreeEnsembleClassifier", {1, 3, 5},
            [](const NodeSpec& node) { return MakeTreeEnsembleClassifier(node, MakeReferenceScorer); });
  table.Add(kMl, "TreeEnsembleRegressor", {1, 3, 5},
            [](const NodeSpec& node) { return MakeTreeEnsembleRegressor(node, MakeReferenceScorer); });
}

}  // namespace onnxforge::reference
