// Attention of ai.onnx, and the internal one, for float32. The heads of a key are packed once for all queries; a few
// queries read them as they are. Blocks of queries are taken through scores, weights and values while the scores are in
// the cache.

#include "reference/attention.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "onnxforge/kernels/fused.h"
#include "onnxforge/kernels/table.h"

#include "simd/gemm.h"
#include "simd/list.h"
#include "simd/rows.h"
#include "simd/tasks.h"

namespace onnxforge::simd {
namespace {

using reference::AttentionAttributes;
using reference::AttentionSizes;
using reference::KeyRange;
using Call = reference::AttentionCall<float>;

/// So few queries are not worth packing keys and values for.
constexpr int64_t kFewQueries = 3;
/// Scores of a block, 384 KiB.
constexpr int64_t kBlockScores = 98304;

using Rows = reference::HeadRows<float>;
template <typename C>
using HeadRows = reference::HeadRows<C>;

/// Runs calls that have keys, of some width.
class AttentionLoops {
 public:
  /// `nothing`: the weights of a query for which no key counts.
  AttentionLoops(const NodeSpec& node, float nothing)
      : gemm_(GemmOpsFor(node.target)),
        rows_(RowOpsFor(node.target)),
        cap_{FloatLoopFor(FunctionId::kTanh, node.target)},
        nothing_(nothing) {}

  void Run(const Call& call, const Rows& out, KernelContext& context) const {
    if (call.sizes.queries <= kFewQueries)
      RunFew(call, out, context.Threads());
    else
      RunBlocks(call, out, context);
  }

 private:
  /// Scores of `m` queries, capped; `b` and the like are left to the caller.
  GemmCall ScoresOf(const Call& call, int64_t b, int64_t head, int64_t first, int64_t m, float* scores) const {
    GemmCall product;
    product.m = static_cast<size_t>(m);
    product.n = static_cast<size_t>(call.sizes.keys);
    product.depth = static_cast<size_t>(call.sizes.width);
    product.a = call.q.At(b, head, first);
    product.a_stride = static_cast<size_t>(call.q.row);
    product.c = scores;
    product.c_stride = product.n;
    product.epilogue.alpha = call.scale;
    if (call.softcap != 0) {
      product.epilogue.alpha = call.scale / call.softcap;
      product.epilogue.activation = cap_;
      product.epilogue.post_scale = call.softcap;
    }
    return product;
  }

  GemmCall ValuesOf(const Call& call, int64_t m, const float* weights, int64_t keys, float* out, int64_t row) const {
    GemmCall product;
    product.m = static_cast<size_t>(m);
    product.n = static_cast<size_t>(call.sizes.value_width);
    product.depth = static_cast<size_t>(keys);
    product.a = weights;
    product.a_stride = static_cast<size_t>(call.sizes.keys);
    product.c = out;
    product.c_stride = static_cast<size_t>(row);
    return product;
  }

  void Multiply(const GemmCall& product) const { gemm_.gemm(product, 0, product.m, 0, CeilDiv(product.n, gemm_.nr)); }

  /// The scores of the keys that a query sees as weights.
  void Weigh(const Call& call, int64_t b, int64_t head, int64_t query, KeyRange keys, float* scores) const {
    const auto n = static_cast<size_t>(keys.end - keys.begin);
    float* at = scores + keys.begin;
    if (call.mask != nullptr) {
      const int64_t end = std::clamp(call.mask_keys, keys.begin, keys.end);
      const float* added = call.mask_rows.At(b, head, query) + keys.begin * call.mask_key;
      rows_.add(at, 1, added, call.mask_key, at, end - keys.begin);
      std::fill(scores + end, scores + keys.end, -std::numeric_limits<float>::infinity());
    }
    const float greatest = rows_.max(at, n);
    if (greatest == -std::numeric_limits<float>::infinity()) {
      std::fill_n(at, n, nothing_);
      return;
    }
    const float sum = rows_.exponentials(at, greatest, n, at);
    rows_.div(at, 1, &sum, 0, at, static_cast<int64_t>(n));
  }

  void RunFew(const Call& call, const Rows& out, ThreadPool& threads) const {
    const AttentionSizes& s = call.sizes;
    const double work =
        static_cast<double>(s.queries) * static_cast<double>(s.keys) * static_cast<double>(s.width + s.value_width);
    const auto grain = static_cast<int64_t>(kMinTaskWork / work) + 1;
    threads.ParallelFor(s.batch * s.heads, grain, [&](int64_t begin, int64_t end) {
      std::vector<float> scores(static_cast<size_t>(s.keys));
      for (int64_t task = begin; task < end; ++task) {
        const int64_t b = task / s.heads;
        const int64_t head = task % s.heads;
        const int64_t key_head = head / (s.heads / s.key_heads);
        for (int64_t i = 0; i < s.queries; ++i) {
          const KeyRange keys = call.Visible(b, i);
          float* to = out.At(b, head, i);
          if (keys.begin >= keys.end) {
            std::fill_n(to, s.value_width, 0.0f);
            continue;
          }
          GemmCall product = ScoresOf(call, b, head, i, 1, scores.data() + keys.begin);
          product.n = static_cast<size_t>(keys.end - keys.begin);
          product.b = call.k.At(b, key_head, keys.begin);
          product.b_stride = static_cast<size_t>(call.k.row);
          product.b_transposed = true;
          Multiply(product);
          Weigh(call, b, head, i, keys, scores.data());
          product = ValuesOf(call, 1, scores.data() + keys.begin, keys.end - keys.begin, to, out.row);
          product.b = call.v.At(b, key_head, keys.begin);
          product.b_stride = static_cast<size_t>(call.v.row);
          Multiply(product);
        }
      }
    });
  }

  /// Keys and values of one head after the other, packed for gemm.
  struct Packed {
    size_t key_floats, value_floats;
    float* data;

    float* keys(int64_t head) const { return data + static_cast<size_t>(head) * (key_floats + value_floats); }
    float* values(int64_t head) const { return keys(head) + key_floats; }
  };

  Packed Pack(const Call& call, KernelContext& context) const {
    const AttentionSizes& s = call.sizes;
    const auto keys = static_cast<size_t>(s.keys);
    const auto width = static_cast<size_t>(s.width);
    const auto value_width = static_cast<size_t>(s.value_width);
    Packed packed = {PackedSize(gemm_, width, keys), PackedSize(gemm_, keys, value_width), nullptr};
    packed.data =
        context.Scratch<float>(static_cast<size_t>(s.batch * s.key_heads) * (packed.key_floats + packed.value_floats));
    const double work = static_cast<double>(packed.key_floats + packed.value_floats);
    const auto grain = static_cast<int64_t>(kMinTaskWork / work) + 1;
    context.Threads().ParallelFor(s.batch * s.key_heads, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t b = i / s.key_heads;
        const int64_t head = i % s.key_heads;
        gemm_.pack_b(call.k.At(b, head), static_cast<size_t>(call.k.row), true, width, keys, 0, CeilDiv(keys, gemm_.nr),
                     packed.keys(i));
        gemm_.pack_b(call.v.At(b, head), static_cast<size_t>(call.v.row), false, keys, value_width, 0,
                     CeilDiv(value_width, gemm_.nr), packed.values(i));
      }
    });
    return packed;
  }

  void RunBlocks(const Call& call, const Rows& out, KernelContext& context) const {
    const AttentionSizes& s = call.sizes;
    const Packed packed = Pack(call, context);
    const int64_t rows = std::clamp<int64_t>(kBlockScores / s.keys, 12, 96);
    const RowBlocks blocks(static_cast<size_t>(s.queries), static_cast<size_t>(rows));
    const auto count = static_cast<int64_t>(blocks.count);
    const double work = static_cast<double>(std::min(rows, s.queries)) * static_cast<double>(s.keys) *
                        static_cast<double>(s.width + s.value_width);
    const auto grain = static_cast<int64_t>(kMinTaskWork / work) + 1;
    context.Threads().ParallelFor(s.batch * s.heads * count, grain, [&](int64_t begin, int64_t end) {
      std::vector<float> scores(static_cast<size_t>(std::min(rows, s.queries) * s.keys));
      for (int64_t task = begin; task < end; ++task) {
        const auto block = static_cast<size_t>(task % count);
        const int64_t head = task / count;  // of all batches
        RunBlock(call, packed, head / s.heads, head % s.heads, static_cast<int64_t>(blocks.begin(block)),
                 static_cast<int64_t>(blocks.size(block)), scores.data(), out);
      }
    });
  }

  void RunBlock(const Call& call, const Packed& packed, int64_t b, int64_t head, int64_t first, int64_t m,
                float* scores, const Rows& out) const {
    const AttentionSizes& s = call.sizes;
    const int64_t key_head = b * s.key_heads + head / (s.heads / s.key_heads);
    GemmCall product = ScoresOf(call, b, head, first, m, scores);
    product.b = packed.keys(key_head);
    // What a later query sees neither begins nor ends before what an earlier one sees.
    const auto lowest = static_cast<size_t>(call.Visible(b, first).begin);
    const auto highest = static_cast<size_t>(call.Visible(b, first + m - 1).end);
    if (lowest < highest) gemm_.gemm(product, 0, product.m, lowest / gemm_.nr, CeilDiv(highest, gemm_.nr));
    for (int64_t i = 0; i < m; ++i) {
      const KeyRange keys = call.Visible(b, first + i);
      float* row = scores + i * s.keys;
      std::fill(row, row + keys.begin, 0.0f);
      std::fill(row + keys.end, row + s.keys, 0.0f);
      Weigh(call, b, head, first + i, keys, row);
    }
    product = ValuesOf(call, m, scores, s.keys, out.At(b, head, first), out.row);
    product.b = packed.values(key_head);
    Multiply(product);
  }

  const GemmOps& gemm_;
  const RowOps& rows_;
  Function cap_;
  float nothing_;
};

class Attention final : public Kernel {
 public:
  Attention(const NodeSpec& node, std::unique_ptr<Kernel> other)
      : attributes_(node), loops_(node, 0.0f), other_(std::move(other)) {}

  void Run(KernelContext& context) const override {
    const bool empty = context.Input(0).elements() * context.Input(1).elements() * context.Input(2).elements() == 0;
    if (empty || context.HasOutput(3)) return other_->Run(context);
    const Call call = reference::ReadAttentionCall<float>(context, attributes_);
    Tensor& y = context.Output(0, DType::kFloat32, call.OutputShape());
    loops_.Run(call, call.RowsOf(y.data<float>()), context);
  }

 private:
  AttentionAttributes attributes_;
  AttentionLoops loops_;
  std::unique_ptr<Kernel> other_;  // for what has no elements, and for scores that are an output
};

/// The one that passes make: MatMul(Softmax(alpha · Q · Kᵀ + mask), V), broadcast as MatMul and Add are.
class FusedAttention final : public Kernel {
 public:
  explicit FusedAttention(const NodeSpec& node)
      : loops_(node, std::numeric_limits<float>::quiet_NaN()),  // 0 / 0
        alpha_(node.attributes.Float("alpha", 1.0f)) {
    const char* names[] = {"Q_swapped", "K_swapped", "V_swapped", "Y_swapped"};
    for (size_t i = 0; i < 4; ++i) swapped_[i] = node.attributes.Int(names[i], 0) != 0;
  }

  void Run(KernelContext& context) const override {
    const Heads q(context.Input(0), swapped_[0]);
    const Heads k(context.Input(1), swapped_[1]);
    const Heads v(context.Input(2), swapped_[2]);
    const Tensor* mask = context.OptionalInput(3);
    Shape all = BroadcastShapes({q.batch, q.heads, q.length, 1}, {k.batch, k.heads, 1, k.length});
    if (mask != nullptr) all = BroadcastShapes(all, mask->shape());
    Require(all.rank() == 4 && all[3] == k.length && k.length == v.length && q.width == k.width,
            ErrorCode::kInvalidArgument, "Q, K and V have shapes ", context.Input(0).shape(), ", ",
            context.Input(1).shape(), " and ", context.Input(2).shape(), ", and the mask ",
            mask == nullptr ? Shape{} : mask->shape(), ", which do not fit together");
    const Shape outer = BroadcastShapes({all[0], all[1]}, {v.batch, v.heads});
    Call call;
    call.sizes = {outer[0], outer[1], outer[1], all[2], k.length, q.width, v.width};
    call.q = q.Rows();
    if (q.length == 1) call.q.row = 0;
    call.k = k.Rows();
    call.v = v.Rows();
    call.scale = alpha_;
    if (mask != nullptr) ReadMask(*mask, call);
    const AttentionSizes& s = call.sizes;
    Tensor& y = context.Output(0, DType::kFloat32,
                               swapped_[3] ? Shape{s.batch, s.queries, s.heads, s.value_width}
                                           : Shape{s.batch, s.heads, s.queries, s.value_width});
    if (s.keys * s.width * y.elements() == 0) {  // sums of nothing
      Require(s.width > 0 || y.elements() == 0, ErrorCode::kUnsupported, "attention with keys of width 0");
      std::fill_n(y.data<float>(), y.elements(), 0.0f);
      return;
    }
    const int64_t row = s.value_width;
    Rows out = {y.data<float>(), s.heads * s.queries * row, s.queries * row, row};
    if (swapped_[3]) out = {y.data<float>(), s.queries * s.heads * row, row, s.heads * row};
    loops_.Run(call, out, context);
  }

 private:
  /// A tensor [batch, heads, length, width], or with `swapped` [batch, length, heads, width].
  struct Heads {
    int64_t batch, heads, length, width;
    const float* data;
    bool swapped;

    Heads(const Tensor& t, bool is_swapped) : data(t.data<float>()), swapped(is_swapped) {
      Require(t.rank() == 4, ErrorCode::kInvalidArgument, "four axes are expected, and the shape is ", t.shape());
      batch = t.dim(0);
      heads = t.dim(swapped ? 2 : 1);
      length = t.dim(swapped ? 1 : 2);
      width = t.dim(3);
    }
    /// What there is once is the same for all.
    HeadRows<const float> Rows() const {
      HeadRows<const float> rows = {data, heads * length * width, swapped ? width : length * width,
                                    swapped ? heads * width : width};
      if (batch == 1) rows.batch = 0;
      if (heads == 1) rows.head = 0;
      return rows;
    }
  };

  static void ReadMask(const Tensor& mask, Call& call) {
    int64_t extents[] = {1, 1, 1, 1};
    for (size_t i = 0; i < mask.rank(); ++i) extents[4 - mask.rank() + i] = mask.dim(i);
    call.mask = mask.data<float>();
    call.mask_key = extents[3] == 1 ? 0 : 1;
    call.mask_keys = call.sizes.keys;
    call.mask_rows = {call.mask, extents[0] == 1 ? 0 : extents[1] * extents[2] * extents[3],
                      extents[1] == 1 ? 0 : extents[2] * extents[3], extents[2] == 1 ? 0 : extents[3]};
  }

  AttentionLoops loops_;
  float alpha_;
  bool swapped_[4];
};

std::unique_ptr<Kernel> MakeAttention(const NodeSpec& node) {
  for (size_t i : {size_t{0}, size_t{1}, size_t{2}}) {
    if (node.InputDType(i) != DType::kFloat32) return nullptr;
  }
  if (node.attributes.Int("softmax_precision", 0) == static_cast<int64_t>(DType::kFloat64)) return nullptr;
  const KernelFactory reference = ReferenceKernels().Find(node.domain, node.op_type, node.since_version);
  return std::make_unique<Attention>(node, reference(node));
}

}  // namespace

void AddAttention(KernelTable& table) {
  table.Add("", "Attention", {23, 24, 25}, &MakeAttention);
  table.Add(kInternalDomain, "Attention", {1},
            [](const NodeSpec& node) -> std::unique_ptr<Kernel> { return std::make_unique<FusedAttention>(node); });
}

}  // namespace onnxforge::simd
