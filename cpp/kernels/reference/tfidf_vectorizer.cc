// TfIdfVectorizer: how often the n-grams of a pool occur in each row.
#include <algorithm>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"

namespace onnxforge::reference {
namespace {

constexpr int64_t kMostColumns = int64_t{1} << 28;  // of the output: what a hostile index must not go beyond

/// The pool's n-grams as a tree: each item leads from an n-gram to one that is longer by it.
template <typename Item>
class NgramTree {
 public:
  static constexpr int64_t kNone = -1;

  /// The node that `item` leads to from `node`, or kNone.
  int64_t Child(int64_t node, const Item& item) const {
    const auto& children = nodes_[static_cast<size_t>(node)].children;
    const auto at = children.find(item);
    return at == children.end() ? kNone : at->second;
  }
  /// The n-gram that ends at `node`, or kNone.
  int64_t Ngram(int64_t node) const { return nodes_[static_cast<size_t>(node)].ngram; }

  void Add(const Item* items, int64_t count, int64_t ngram) {
    int64_t node = 0;
    for (int64_t i = 0; i < count; ++i) {
      int64_t next = Child(node, items[i]);
      if (next == kNone) {
        next = static_cast<int64_t>(nodes_.size());
        nodes_.emplace_back();
        nodes_[static_cast<size_t>(node)].children.emplace(items[i], next);
      }
      node = next;
    }
    nodes_[static_cast<size_t>(node)].ngram = ngram;
  }

 private:
  struct Node {
    std::unordered_map<Item, int64_t> children;
    int64_t ngram = kNone;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
};

struct TfIdf {
  int64_t shortest = 1;
  int64_t longest = 1;
  int64_t most_skipped = 0;
  bool truncate = false;         // a count is 0 or 1
  std::vector<int64_t> columns;  // of each n-gram
  std::vector<float> weights;    // of each n-gram; empty: 1
  int64_t width = 0;
};

TfIdf ReadTfIdf(const NodeSpec& node) {
  TfIdf a;
  const Attributes& given = node.attributes;
  a.shortest = given.Int("min_gram_length");
  a.longest = given.Int("max_gram_length");
  a.most_skipped = given.Int("max_skip_count");
  Require(a.shortest > 0 && a.longest >= a.shortest && a.most_skipped >= 0, ErrorCode::kInvalidModel,
          "min_gram_length, max_gram_length and max_skip_count are ", a.shortest, ", ", a.longest, " and ",
          a.most_skipped);
  const std::string mode = given.String("mode", "");
  Require(mode == "TF" || mode == "IDF" || mode == "TFIDF", ErrorCode::kInvalidModel,
          "attribute 'mode' must be TF, IDF or TFIDF, not '", mode, "'");
  a.truncate = mode == "IDF";
  a.columns = given.Ints("ngram_indexes");
  Require(!a.columns.empty(), ErrorCode::kInvalidModel, "attribute 'ngram_indexes' is empty");
  for (int64_t column : a.columns) {
    Require(column >= 0 && column < kMostColumns, ErrorCode::kInvalidModel, "attribute 'ngram_indexes' has ", column);
    a.width = std::max(a.width, column + 1);
  }
  if (mode != "TF") a.weights = given.Floats("weights");
  Require(a.weights.empty() || a.weights.size() == a.columns.size(), ErrorCode::kInvalidModel,
          "attribute 'weights' has ", a.weights.size(), " numbers for ", a.columns.size(), " n-grams");
  return a;
}

/// `starts`: where in the pool the 1-grams, 2-grams, … begin.
template <typename Item>
NgramTree<Item> ReadPool(const std::vector<Item>& pool, const std::vector<int64_t>& starts, const TfIdf& a) {
  NgramTree<Item> tree;
  const auto size = static_cast<int64_t>(pool.size());
  int64_t ngram = 0;
  for (size_t i = 0; i < starts.size(); ++i) {
    const auto length = static_cast<int64_t>(i) + 1;
    const int64_t begin = starts[i];
    const int64_t end = i + 1 < starts.size() ? starts[i + 1] : size;
    Require(begin >= 0 && begin <= end && end <= size && (end - begin) % length == 0, ErrorCode::kInvalidModel,
            "attribute 'ngram_counts' puts the ", length, "-grams at [", begin, ", ", end, ") of a pool of ", size);
    for (int64_t at = begin; at < end; at += length, ++ngram) {
      Require(ngram < static_cast<int64_t>(a.columns.size()), ErrorCode::kInvalidModel,
              "attribute 'ngram_indexes' has ", a.columns.size(), " numbers, and the pool more n-grams");
      if (length >= a.shortest && length <= a.longest) tree.Add(pool.data() + at, length, ngram);
    }
  }
  return tree;
}

/// Calls `found(n-gram)` for every n-gram of a row, at every distance between its items.
template <typename Item, typename F>
void FindNgrams(const NgramTree<Item>& tree, const TfIdf& a, const Item* row, int64_t width, F&& found) {
  for (int64_t distance = 1; distance <= a.most_skipped + 1 && (distance == 1 || distance < width); ++distance) {
    for (int64_t begin = 0; begin < width; ++begin) {
      int64_t node = 0;
      for (int64_t at = begin, length = 1; at < width && length <= a.longest; at += distance, ++length) {
        node = tree.Child(node, row[at]);
        if (node == NgramTree<Item>::kNone) break;
        // No distance changes a 1-gram: it counts once.
        if (tree.Ngram(node) >= 0 && (length > 1 || distance == 1)) found(tree.Ngram(node));
      }
    }
  }
}

template <typename Item>
class TfIdfVectorizer final : public Kernel {
 public:
  TfIdfVectorizer(TfIdf a, const std::vector<Item>& pool, const std::vector<int64_t>& starts)
      : a_(std::move(a)), tree_(ReadPool(pool, starts, a_)) {}

  void Run(KernelContext& context) const override {
    const Tensor& x = context.Input(0);
    Require(x.rank() == 1 || x.rank() == 2, ErrorCode::kInvalidArgument, "the input must be [C] or [N, C], not ",
            x.shape());
    Require((x.dtype() == DType::kString) == std::is_same_v<Item, std::string>, ErrorCode::kInvalidArgument,
            "the input is ", x.dtype(), ", and the pool holds ",
            std::is_same_v<Item, std::string> ? "strings" : "integers");
    const int64_t rows = x.rank() == 2 ? x.dim(0) : 1;
    const int64_t width = x.dim(x.rank() - 1);
    Tensor& y = context.Output(0, DType::kFloat32, x.rank() == 2 ? Shape{rows, a_.width} : Shape{a_.width});
    const Item* items = Items(context, x);
    for (int64_t r = 0; r < rows; ++r) Vectorize(items + r * width, width, y.data<float>() + r * a_.width);
  }

 private:
  static const Item* Items(KernelContext& context, const Tensor& x) {
    if constexpr (std::is_same_v<Item, std::string>) {
      return x.data<std::string>();
    } else {
      return ReadAs<Item>(context, x);
    }
  }

  void Vectorize(const Item* row, int64_t width, float* y) const {
    std::vector<int64_t> counts(a_.columns.size(), 0);
    FindNgrams(tree_, a_, row, width, [&](int64_t ngram) { ++counts[static_cast<size_t>(ngram)]; });
    std::fill_n(y, a_.width, 0.0f);
    for (size_t i = 0; i < counts.size(); ++i) {
      const auto count = static_cast<float>(a_.truncate ? std::min<int64_t>(counts[i], 1) : counts[i]);
      y[a_.columns[i]] += count * (a_.weights.empty() ? 1.0f : a_.weights[i]);
    }
  }

  TfIdf a_;
  NgramTree<Item> tree_;
};

std::unique_ptr<Kernel> MakeTfIdfVectorizer(const NodeSpec& node) {
  const std::vector<std::string> strings = node.attributes.Strings("pool_strings");
  const std::vector<int64_t> integers = node.attributes.Ints("pool_int64s");
  Require(strings.empty() != integers.empty(), ErrorCode::kInvalidModel,
          "one of the attributes 'pool_strings' and 'pool_int64s' must be there, and not both");
  const std::vector<int64_t> starts = node.attributes.Ints("ngram_counts");
  if (integers.empty()) return std::make_unique<TfIdfVectorizer<std::string>>(ReadTfIdf(node), strings, starts);
  return std::make_unique<TfIdfVectorizer<int64_t>>(ReadTfIdf(node), integers, starts);
}

}  // namespace

void AddTfidfVectorizer(KernelTable& table) { table.Add("", "TfIdfVectorizer", {9}, &MakeTfIdfVectorizer); }

}  // namespace onnxforge::reference
