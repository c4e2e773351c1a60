// com.microsoft: Attention, MultiHeadAttention and GroupQueryAttention, as onnxruntime's CPU kernels compute them.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "reference/attention_core.h"
#include "reference/compute.h"
#include "reference/list.h"
#include "reference/matrix.h"

namespace onnxforge::reference {
namespace {

constexpr const char* kMicrosoft = "com.microsoft";

struct Attributes {
  int64_t heads = 0;
  int64_t key_heads = 0;
  bool causal = false;
  float masked = -10000.0f;  // what is added to the score of a masked key
  float scale = 0;           // 0: 1 / √width
  float softcap = 0;
  int64_t window = -1;
  bool smooth = false;
  bool rotate = false;
  bool interleaved = false;
  std::vector<int64_t> hidden;
};

Attributes ReadAttributes(const NodeSpec& node) {
  const onnxforge::Attributes& given = node.attributes;
  Attributes a;
  a.heads = given.Int("num_heads");
  a.key_heads = given.Int("kv_num_heads", a.heads);
  a.causal = given.Int("unidirectional", 0) != 0;
  a.masked = given.Float("mask_filter_value", a.masked);
  a.scale = given.Float("scale", 0);
  a.softcap = given.Float("softcap", 0);
  a.window = given.Int("local_window_size", -1);
  a.smooth = given.Int("smooth_softmax", 0) > 0;
  a.rotate = given.Int("do_rotary", 0) != 0;
  a.interleaved = given.Int("rotary_interleaved", 0) != 0;
  a.hidden = given.Ints("qkv_hidden_sizes");
  constexpr int64_t kMost = int64_t{1} << 31;
  Require(a.heads > 0 && a.heads < kMost && a.key_heads > 0 && a.heads % a.key_heads == 0, ErrorCode::kInvalidModel,
          "num_heads is ", a.heads, " and kv_num_heads ", a.key_heads);
  return a;
}

void RequireRank(const Tensor& t, size_t rank, const char* name) {
  Require(t.rank() == rank, ErrorCode::kInvalidArgument, name, " must have ", rank, " axes, and has shape ", t.shape());
}

/// `hidden` features as so many heads.
int64_t WidthOf(int64_t hidden, int64_t heads, const char* name) {
  Require(hidden > 0 && hidden % heads == 0, ErrorCode::kInvalidArgument, name, " has ", hidden,
          " features, which are no ", heads, " heads");
  return hidden / heads;
}

/// Queries, keys and values by head.
template <typename C>
struct Heads {
  AttentionSizes sizes;
  const C* q = nullptr;
  const C* k = nullptr;
  const C* v = nullptr;
};

template <typename C>
C* SplitInto(KernelContext& context, int64_t batch, int64_t heads, int64_t length, int64_t width,
             const HeadLayout& layout, const C* from, const C* bias) {
  C* to = context.Scratch<C>(static_cast<size_t>(batch * heads * length * width));
  SplitHeads(batch, heads, length, width, layout, from, bias, to);
  return to;
}

/// Which keys count, and what is added to their scores.
template <typename C>
class Masking {
 public:
  /// `mask`: [batch] lengths, [2 · batch] ends and begins, [batch, keys], or [batch, queries, keys]; may be null.
  Masking(KernelContext& context, const AttentionSizes& s, const Tensor* mask, const Tensor* bias, float masked)
      : sizes_(s), masked_(static_cast<C>(masked)) {
    if (mask != nullptr) ReadMask(context, *mask);
    if (bias != nullptr) ReadBias(context, *bias);
  }

  void operator()(int64_t b, int64_t head, int64_t query, C* scores) const {
    if (bias_ != nullptr) {
      const C* row =
          bias_ + ((b % bias_batch_ * bias_heads_ + head % bias_heads_) * sizes_.queries + query) * sizes_.keys;
      for (int64_t t = 0; t < sizes_.keys; ++t) scores[t] += row[t];
    }
    for (int64_t t = 0; mask_ != nullptr && t < sizes_.keys; ++t) {
      if (!Counts(b, query, t)) scores[t] += masked_;
    }
  }

 private:
  bool Counts(int64_t b, int64_t query, int64_t t) const {
    if (mask_rank_ == 1) return t < mask_[b] && (!has_begins_ || t >= mask_[sizes_.batch + b]);
    return mask_[mask_rank_ == 2 ? b * sizes_.keys + t : (b * sizes_.queries + query) * sizes_.keys + t] > 0;
  }

  void ReadMask(KernelContext& context, const Tensor& mask) {
    const Shape& s = mask.shape();
    const int64_t batch = sizes_.batch;
    const bool lengths = s.rank() == 1 && (s[0] == batch || s[0] == 2 * batch);
    Require(lengths || s == Shape{batch, sizes_.keys} || s == Shape{batch, sizes_.queries, sizes_.keys},
            ErrorCode::kUnsupported, "a mask of shape ", s, " for ", batch, " batches, ", sizes_.queries,
            " queries and ", sizes_.keys, " keys");
    mask_rank_ = s.rank();
    has_begins_ = lengths && s[0] == 2 * batch;
    mask_ = ReadAs<int64_t>(context, mask);
  }

  void ReadBias(KernelContext& context, const Tensor& bias) {
    const Shape& s = bias.shape();
    Require(s.rank() == 4 && (s[0] == 1 || s[0] == sizes_.batch) && (s[1] == 1 || s[1] == sizes_.heads) &&
                s[2] == sizes_.queries && s[3] == sizes_.keys,
            ErrorCode::kInvalidArgument, "attention_bias has shape ", s, " for ", sizes_.batch, " batches, ",
            sizes_.heads, " heads, ", sizes_.queries, " queries and ", sizes_.keys, " keys");
    bias_batch_ = s[0];
    bias_heads_ = s[1];
    bias_ = ReadAs<C>(context, bias);
  }

  const AttentionSizes& sizes_;
  C masked_;
  const int64_t* mask_ = nullptr;
  size_t mask_rank_ = 0;
  bool has_begins_ = false;
  const C* bias_ = nullptr;
  int64_t bias_batch_ = 1;
  int64_t bias_heads_ = 1;
};

template <typename C>
C ScaleOf(const Attributes& a, int64_t width) {
  return a.scale != 0 ? static_cast<C>(a.scale) : C{1} / std::sqrt(static_cast<C>(width));
}

/// joined[batch · heads, past + length, width] of what was there and what is new.
template <typename C>
void Join(const AttentionSizes& s, int64_t width, int64_t past, const C* before, int64_t length, const C* now,
          C* joined) {
  for (int64_t i = 0; i < s.batch * s.key_heads; ++i) {
    joined = std::copy_n(before + i * past * width, past * width, joined);
    joined = std::copy_n(now + i * length * width, length * width, joined);
  }
}

/// Output 0, [batch, queries, heads · value_width].
template <typename C>
void Finish(KernelContext& context, const Attributes& a, const Heads<C>& h, int64_t past, const Tensor* mask,
            const Tensor* bias, DType dtype) {
  const AttentionSizes& s = h.sizes;
  const Masking<C> masking(context, s, mask, bias, a.masked);
  AttentionOptions<C> options;
  options.scale = ScaleOf<C>(a, s.width);
  Tensor& y = context.Output(0, dtype, {s.batch, s.queries, s.heads * s.value_width});
  WideOutput<C> out(context, y);
  const auto visible = [&](int64_t, int64_t query) {
    return KeyRange{0, a.causal ? std::min(s.keys, past + query + 1) : s.keys};
  };
  Attend<C>(context.Threads(), s, options, h.q, h.k, h.v, visible, masking, out.data());
  out.Store();
}

// --- Attention

/// The past of version 1: keys and values in one tensor [2, batch, heads, past, width].
template <typename C>
int64_t AppendToStackedPast(KernelContext& context, Heads<C>& h, DType dtype) {
  AttentionSizes& s = h.sizes;
  const Tensor* before = context.OptionalInput(4);
  const int64_t past = before == nullptr ? 0 : before->rank() == 5 ? before->dim(3) : -1;
  Require(before == nullptr || before->shape() == Shape{2, s.batch, s.heads, past, s.width},
          ErrorCode::kInvalidArgument, "past has shape ", before == nullptr ? Shape{} : before->shape());
  if (before == nullptr && !context.HasOutput(1)) return 0;
  Require(s.width == s.value_width, ErrorCode::kInvalidArgument, "keys and values differ in width, and have a past");
  const int64_t size = s.batch * s.heads * (past + s.keys) * s.width;
  C* joined = context.Scratch<C>(static_cast<size_t>(2 * size));
  const C* old = before == nullptr ? nullptr : ReadAs<C>(context, *before);
  const int64_t old_size = s.batch * s.heads * past * s.width;
  Join(s, s.width, past, old, s.keys, h.k, joined);
  Join(s, s.width, past, old == nullptr ? nullptr : old + old_size, s.keys, h.v, joined + size);
  s.keys += past;
  h.k = joined;
  h.v = joined + size;
  if (context.HasOutput(1)) {
    Tensor& present = context.Output(1, dtype, {2, s.batch, s.heads, s.keys, s.width});
    ConvertElements(kDTypeOf<C>, joined, dtype, present.raw(), present.elements());
  }
  return past;
}

template <typename C>
void RunAttention(KernelContext& context, const Attributes& a, const std::vector<int64_t>& hidden) {
  const Tensor& x = context.Input(0);
  const Tensor& w = context.Input(1);
  const int64_t batch = x.dim(0);
  const int64_t length = x.dim(1);
  const int64_t columns = w.dim(1);
  const C* bias = context.HasInput(2) ? ReadAs<C>(context, context.Input(2)) : nullptr;
  C* projected = context.Scratch<C>(static_cast<size_t>(batch * length * columns));
  for (int64_t i = 0; i < batch * length; ++i) {
    for (int64_t j = 0; j < columns; ++j) projected[i * columns + j] = bias == nullptr ? C{0} : bias[j];
  }
  ParallelMultiplyAdd(context.Threads(), batch * length, columns, x.dim(2), ReadAs<C>(context, x), x.dim(2), int64_t{1},
                      ReadAs<C>(context, w), columns, projected, columns);
  Heads<C> h;
  const int64_t width = WidthOf(hidden[0], a.heads, "the query");
  const int64_t value_width = WidthOf(hidden[2], a.heads, "the value");
  h.sizes = {batch, a.heads, a.heads, length, length, width, value_width};
  const C* none = nullptr;
  h.q = SplitInto(context, batch, a.heads, length, width, {columns, width, 0}, projected, none);
  h.k = SplitInto(context, batch, a.heads, length, width, {columns, width, hidden[0]}, projected, none);
  h.v = SplitInto(context, batch, a.heads, length, value_width, {columns, value_width, hidden[0] + hidden[1]},
                  projected, none);
  const int64_t past = AppendToStackedPast(context, h, x.dtype());
  Finish(context, a, h, past, context.OptionalInput(3), context.OptionalInput(5), x.dtype());
}

std::unique_ptr<Kernel> MakeAttention(const NodeSpec& node) {
  const Attributes a = ReadAttributes(node);
  Require(!a.rotate, ErrorCode::kUnsupported, "do_rotary of com.microsoft.Attention is not supported");
  Require(a.hidden.empty() || a.hidden.size() == 3, ErrorCode::kInvalidModel, "qkv_hidden_sizes has ", a.hidden.size(),
          " numbers");
  return MakeKernel([a](KernelContext& context) {
    const Tensor& x = context.Input(0);
    const Tensor& w = context.Input(1);
    RequireRank(x, 3, "the input");
    RequireRank(w, 2, "the weights");
    const int64_t third = w.dim(1) / 3;
    const std::vector<int64_t> hidden = a.hidden.empty() ? std::vector<int64_t>{third, third, third} : a.hidden;
    Require(w.dim(0) == x.dim(2) && hidden[0] == hidden[1] && hidden[0] > 0 && hidden[2] > 0 && hidden[0] <= w.dim(1) &&
                hidden[2] <= w.dim(1) && hidden[0] + hidden[1] + hidden[2] == w.dim(1),
            ErrorCode::kInvalidArgument, "the weights have shape ", w.shape(), " for an input of shape ", x.shape());
    Require(!context.HasInput(2) || context.Input(2).shape() == Shape{w.dim(1)}, ErrorCode::kInvalidArgument,
            "the bias must have one number for each column of the weights");
    DispatchFloat(x.dtype(), "Attention",
                  [&](auto tag) { RunAttention<typename decltype(tag)::type>(context, a, hidden); });
  });
}

// --- MultiHeadAttention

/// How keys and values come: in the query [batch, length, heads, 3, width], together [batch, keys, heads, 2, width], by
/// head [batch, heads, keys, width] (those of another sequence), or plain [batch, keys, heads · width].
enum class KeyForm { kInQuery, kTogether, kByHead, kPlain };

KeyForm FormOf(const Tensor* key, const Tensor* value) {
  if (key == nullptr) return KeyForm::kInQuery;
  Require(key->rank() >= 3 && key->rank() <= 5 && (key->rank() == 5) == (value == nullptr) &&
              (value == nullptr || value->rank() == key->rank()),
          ErrorCode::kInvalidArgument, "the key has shape ", key->shape(), ", and the value ",
          value == nullptr ? Shape{} : value->shape());
  return key->rank() == 5 ? KeyForm::kTogether : key->rank() == 4 ? KeyForm::kByHead : KeyForm::kPlain;
}

AttentionSizes SizesOf(KernelContext& context, const Attributes& a, KeyForm form) {
  const Tensor& query = context.Input(0);
  const bool in_query = form == KeyForm::kInQuery;
  RequireRank(query, in_query ? 5 : 3, "the query");
  const int64_t width = in_query ? query.dim(4) : WidthOf(query.dim(2), a.heads, "the query");
  const int64_t length = query.dim(1);
  AttentionSizes s = {query.dim(0), a.heads, a.heads, length, length, width, width};
  if (in_query) {
    Require(query.dim(2) == a.heads && query.dim(3) == 3 && width > 0, ErrorCode::kInvalidArgument,
            "a query that holds keys and values must be [batch, length, heads, 3, width], not ", query.shape());
    return s;
  }
  const Tensor& key = context.Input(1);
  s.keys = key.dim(form == KeyForm::kByHead ? 2 : 1);
  Shape wanted = {s.batch, s.keys, a.heads, 2, width};
  Shape wanted_value;
  if (form == KeyForm::kByHead) {
    s.value_width = context.Input(2).dim(3);
    wanted = {s.batch, a.heads, s.keys, width};
    wanted_value = {s.batch, a.heads, s.keys, s.value_width};
  } else if (form == KeyForm::kPlain) {
    s.value_width = WidthOf(context.Input(2).dim(2), a.heads, "the value");
    wanted = {s.batch, s.keys, a.heads * width};
    wanted_value = {s.batch, s.keys, a.heads * s.value_width};
  }
  Require(key.shape() == wanted, ErrorCode::kInvalidArgument, "the key has shape ", key.shape(), ", and ", wanted,
          " is expected for a query of shape ", query.shape());
  Require(form == KeyForm::kTogether || context.Input(2).shape() == wanted_value, ErrorCode::kInvalidArgument,
          "the value must have shape ", wanted_value);
  return s;
}

/// Queries, keys and values, with their parts of the bias, by head.
template <typename C>
Heads<C> ReadHeads(KernelContext& context, const Attributes& a) {
  const KeyForm form = FormOf(context.OptionalInput(1), context.OptionalInput(2));
  Heads<C> h;
  h.sizes = SizesOf(context, a, form);
  const AttentionSizes& s = h.sizes;
  const int64_t hidden = a.heads * s.width;
  const int64_t value_hidden = a.heads * s.value_width;
  const Tensor* bias = context.OptionalInput(3);
  Require(bias == nullptr || bias->shape() == Shape{2 * hidden + value_hidden}, ErrorCode::kInvalidArgument,
          "the bias has shape ", bias == nullptr ? Shape{} : bias->shape());
  const C* added = bias == nullptr ? nullptr : ReadAs<C>(context, *bias);
  const auto split = [&](size_t input, int64_t length, int64_t width, const HeadLayout& layout, int64_t part) {
    return SplitInto(context, s.batch, a.heads, length, width, layout, ReadAs<C>(context, context.Input(input)),
                     added == nullptr ? nullptr : added + part * hidden);
  };
  const int64_t w = s.width;
  const bool in_query = form == KeyForm::kInQuery;
  h.q = split(0, s.queries, w, in_query ? HeadLayout{3 * hidden, 3 * w, 0} : HeadLayout{hidden, w, 0}, 0);
  switch (form) {
    case KeyForm::kInQuery:
      h.k = split(0, s.keys, w, {3 * hidden, 3 * w, w}, 1);
      h.v = split(0, s.keys, w, {3 * hidden, 3 * w, 2 * w}, 2);
      break;
    case KeyForm::kTogether:
      h.k = split(1, s.keys, w, {2 * hidden, 2 * w, 0}, 1);
      h.v = split(1, s.keys, w, {2 * hidden, 2 * w, w}, 2);
      break;
    case KeyForm::kByHead:  // ready as they are: their bias was added when they were made
      h.k = ReadAs<C>(context, context.Input(1));
      h.v = ReadAs<C>(context, context.Input(2));
      break;
    case KeyForm::kPlain:
      h.k = split(1, s.keys, w, {hidden, w, 0}, 1);
      h.v = split(2, s.keys, s.value_width, {value_hidden, s.value_width, 0}, 2);
      break;
  }
  return h;
}

/// Puts the past, inputs 6 and 7, before the keys and values, and makes outputs 1 and 2 of them.
template <typename C>
int64_t AppendToPast(KernelContext& context, Heads<C>& h, DType dtype) {
  AttentionSizes& s = h.sizes;
  const bool given = context.HasInput(6);
  Require(given == context.HasInput(7), ErrorCode::kInvalidArgument, "past_key and past_value come together");
  const int64_t past = given && context.Input(6).rank() == 4 ? context.Input(6).dim(2) : 0;
  const Shape key_shape = {s.batch, s.heads, past, s.width};
  const Shape value_shape = {s.batch, s.heads, past, s.value_width};
  Require(!given || (context.Input(6).shape() == key_shape && context.Input(7).shape() == value_shape),
          ErrorCode::kInvalidArgument, "past_key must have shape ", key_shape, " and past_value ", value_shape);
  if (given) {
    const auto total = static_cast<size_t>(s.batch * s.heads * (past + s.keys));
    C* keys = context.Scratch<C>(total * static_cast<size_t>(s.width));
    C* values = context.Scratch<C>(total * static_cast<size_t>(s.value_width));
    Join(s, s.width, past, ReadAs<C>(context, context.Input(6)), s.keys, h.k, keys);
    Join(s, s.value_width, past, ReadAs<C>(context, context.Input(7)), s.keys, h.v, values);
    h.k = keys;
    h.v = values;
    s.keys += past;
  }
  if (context.HasOutput(1)) {
    Tensor& present = context.Output(1, dtype, {s.batch, s.heads, s.keys, s.width});
    ConvertElements(kDTypeOf<C>, h.k, dtype, present.raw(), present.elements());
  }
  if (context.HasOutput(2)) {
    Tensor& present = context.Output(2, dtype, {s.batch, s.heads, s.keys, s.value_width});
    ConvertElements(kDTypeOf<C>, h.v, dtype, present.raw(), present.elements());
  }
  return past;
}

std::unique_ptr<Kernel> MakeMultiHeadAttention(const NodeSpec& node) {
  Require(node.output_count <= 3, ErrorCode::kUnsupported, "the output 'qk' of MultiHeadAttention is not supported");
  return MakeKernel([a = ReadAttributes(node)](KernelContext& context) {
    Require(!context.HasInput(9), ErrorCode::kUnsupported, "cache_indirection is not supported");
    const DType dtype = context.Input(0).dtype();
    DispatchFloat(dtype, "MultiHeadAttention", [&](auto tag) {
      using C = typename decltype(tag)::type;
      Heads<C> h = ReadHeads<C>(context, a);
      const int64_t past = AppendToPast(context, h, dtype);
      Finish(context, a, h, past, context.OptionalInput(4), context.OptionalInput(5), dtype);
    });
  });
}

// --- GroupQueryAttention

/// What is known of each sequence of a batch.
struct Lengths {
  std::vector<int64_t> past;   // keys that were there before
  std::vector<int64_t> total;  // keys that count
  int64_t buffer = 0;          // keys that the outputs have room for
};

Lengths ReadLengths(KernelContext& context, int64_t batch, int64_t queries, int64_t capacity) {
  const std::vector<int64_t> last = context.Input(5).To<int64_t>();
  const std::vector<int64_t> longest = context.Input(6).To<int64_t>();
  Require(static_cast<int64_t>(last.size()) == batch && longest.size() == 1, ErrorCode::kInvalidArgument,
          "seqlens_k has shape ", context.Input(5).shape(), " and total_sequence_length ", context.Input(6).shape(),
          " for ", batch, " batches");
  Lengths out;
  constexpr int64_t kMost = int64_t{1} << 31;
  Require(longest[0] < kMost, ErrorCode::kInvalidArgument, "total_sequence_length is ", longest[0]);
  out.buffer = std::max(longest[0], capacity);
  const bool first = longest[0] == queries;
  for (int64_t key : last) {
    const int64_t total = key + 1;
    const int64_t past = first ? 0 : total - queries;
    Require(total > 0 && past >= 0 && past <= capacity && std::max(total, past + queries) <= out.buffer,
            ErrorCode::kInvalidArgument, "seqlens_k has ", key, " for ", queries, " queries, a past of ", capacity,
            " and a total_sequence_length of ", longest[0]);
    out.past.push_back(past);
    out.total.push_back(total);
  }
  return out;
}

/// Turns pairs of features by the angles of their position (Su et al., "RoFormer", 2021).
template <typename C>
class Rotation {
 public:
  Rotation(KernelContext& context, bool interleaved, int64_t width)
      : interleaved_(interleaved), half_(context.Input(7).dim(1)), positions_(context.Input(7).dim(0)) {
    Require(context.Input(7).shape() == context.Input(8).shape() && 2 * half_ <= width, ErrorCode::kInvalidArgument,
            "cos_cache has shape ", context.Input(7).shape(), " and sin_cache ", context.Input(8).shape(),
            " for heads of ", width);
    cos_ = ReadAs<C>(context, context.Input(7));
    sin_ = ReadAs<C>(context, context.Input(8));
  }

  void Turn(C* head, int64_t position) const {
    Require(position >= 0 && position < positions_, ErrorCode::kInvalidArgument, "position ", position, " of ",
            positions_, " in cos_cache");
    for (int64_t i = 0; i < half_; ++i) {
      C& a = head[interleaved_ ? 2 * i : i];
      C& b = head[interleaved_ ? 2 * i + 1 : half_ + i];
      const C cos = cos_[position * half_ + i];
      const C sin = sin_[position * half_ + i];
      const C turned = a * cos - b * sin;
      b = a * sin + b * cos;
      a = turned;
    }
  }

 private:
  bool interleaved_;
  int64_t half_;
  int64_t positions_;
  const C* cos_ = nullptr;
  const C* sin_ = nullptr;
};

/// present[batch, key_heads, buffer, width] = the past of each sequence, and behind it what is new.
template <typename C>
C* Append(KernelContext& context, const AttentionSizes& s, const Lengths& lengths, const Tensor* past, const C* now) {
  const int64_t capacity = past == nullptr ? 0 : past->dim(2);
  const C* before = past == nullptr ? nullptr : ReadAs<C>(context, *past);
  const auto size = static_cast<size_t>(Shape{s.batch, s.key_heads, lengths.buffer, s.width}.elements());
  C* present = context.Scratch<C>(size);
  std::fill_n(present, size, C{0});
  for (int64_t i = 0; i < s.batch * s.key_heads; ++i) {
    const int64_t kept = lengths.past[static_cast<size_t>(i / s.key_heads)];
    C* to = present + i * lengths.buffer * s.width;
    if (before != nullptr) std::copy_n(before + i * capacity * s.width, kept * s.width, to);
    std::copy_n(now + i * s.queries * s.width, s.queries * s.width, to + kept * s.width);
  }
  return present;
}

template <typename C>
void RotateAll(KernelContext& context, const Attributes& a, const AttentionSizes& s, const Lengths& lengths, C* q,
               C* k) {
  const Rotation<C> rotation(context, a.interleaved, s.width);
  const Tensor* given = context.OptionalInput(9);
  Require(given == nullptr || given->shape() == Shape{s.batch, s.queries}, ErrorCode::kInvalidArgument,
          "position_ids has shape ", given == nullptr ? Shape{} : given->shape());
  const int64_t* positions = given == nullptr ? nullptr : ReadAs<int64_t>(context, *given);
  const auto turn = [&](C* heads, int64_t count) {
    for (int64_t i = 0; i < s.batch * count * s.queries; ++i) {
      const int64_t b = i / (count * s.queries);
      const int64_t at = i % s.queries;
      rotation.Turn(heads + i * s.width,
                    positions == nullptr ? lengths.past[static_cast<size_t>(b)] + at : positions[b * s.queries + at]);
    }
  };
  turn(q, s.heads);
  turn(k, s.key_heads);
}

template <typename C>
void StorePresent(KernelContext& context, size_t output, const AttentionSizes& s, DType dtype, const C* present) {
  if (!context.HasOutput(output)) return;
  Tensor& to = context.Output(output, dtype, {s.batch, s.key_heads, s.keys, s.width});
  ConvertElements(kDTypeOf<C>, present, dtype, to.raw(), to.elements());
}

template <typename C>
void RunGroupQueryAttention(KernelContext& context, const Attributes& a, AttentionSizes s) {
  const Tensor& query = context.Input(0);
  const bool packed = !context.HasInput(1);
  const int64_t row = query.dim(2);
  const int64_t key_row = packed ? row : a.key_heads * s.width;
  const int64_t q_size = a.heads * s.width;
  const C* none = nullptr;
  const C* q_in = ReadAs<C>(context, query);
  const C* k_in = packed ? q_in : ReadAs<C>(context, context.Input(1));
  const C* v_in = packed ? q_in : ReadAs<C>(context, context.Input(2));
  const HeadLayout k_layout = {key_row, s.width, packed ? q_size : 0};
  const HeadLayout v_layout = {key_row, s.width, packed ? q_size + a.key_heads * s.width : 0};
  C* q = SplitInto(context, s.batch, s.heads, s.queries, s.width, {row, s.width, 0}, q_in, none);
  C* k = SplitInto(context, s.batch, s.key_heads, s.queries, s.width, k_layout, k_in, none);
  const C* v = SplitInto(context, s.batch, s.key_heads, s.queries, s.width, v_layout, v_in, none);
  const Tensor* past = context.OptionalInput(3);
  const Lengths lengths = ReadLengths(context, s.batch, s.queries, past == nullptr ? 0 : past->dim(2));
  if (a.rotate) RotateAll(context, a, s, lengths, q, k);
  const C* keys = Append<C>(context, s, lengths, past, k);
  const C* values = Append<C>(context, s, lengths, context.OptionalInput(4), v);
  s.keys = lengths.buffer;
  StorePresent(context, 1, s, query.dtype(), keys);
  StorePresent(context, 2, s, query.dtype(), values);

  AttentionOptions<C> options;
  options.scale = ScaleOf<C>(a, s.width);
  options.softcap = static_cast<C>(a.softcap);
  const std::vector<C> zeros(static_cast<size_t>(s.heads), C{0});
  if (a.smooth) options.sinks = zeros.data();
  if (context.HasInput(11)) options.sinks = ReadAs<C>(context, context.Input(11));
  const Masking<C> masking(context, s, nullptr, context.OptionalInput(10), a.masked);
  const auto visible = [&](int64_t b, int64_t i) {
    const auto at = static_cast<size_t>(b);
    const int64_t end = std::min(lengths.past[at] + i + 1, std::max(lengths.total[at], int64_t{1}));
    const int64_t begin = a.window > 0 ? std::max<int64_t>(0, lengths.past[at] + i + 1 - a.window) : 0;
    return KeyRange{std::min(begin, end), end};
  };
  Tensor& y = context.Output(0, query.dtype(), {s.batch, s.queries, q_size});
  WideOutput<C> out(context, y);
  Attend<C>(context.Threads(), s, options, q, keys, values, visible, masking, out.data());
  out.Store();
}

std::unique_ptr<Kernel> MakeGroupQueryAttention(const NodeSpec& node) {
  Require(node.output_count <= 3, ErrorCode::kUnsupported, "the output 'qk' of GroupQueryAttention is not supported");
  return MakeKernel([a = ReadAttributes(node)](KernelContext& context) {
    const Tensor& query = context.Input(0);
    RequireRank(query, 3, "the query");
    const bool packed = !context.HasInput(1);
    AttentionSizes s;
    s.batch = query.dim(0);
    s.heads = a.heads;
    s.key_heads = a.key_heads;
    s.queries = query.dim(1);
    s.width = s.value_width = WidthOf(query.dim(2), packed ? a.heads + 2 * a.key_heads : a.heads, "the query");
    for (size_t i : {size_t{1}, size_t{2}}) {
      const Shape wanted = {s.batch, s.queries, a.key_heads * s.width};
      Require(packed ? !context.HasInput(i) : context.Input(i).shape() == wanted, ErrorCode::kInvalidArgument,
              "key and value must both have shape ", wanted, ", or lie in the query");
    }
    Require(context.HasInput(3) == context.HasInput(4), ErrorCode::kInvalidArgument,
            "past_key and past_value come together");
    for (size_t i : {size_t{3}, size_t{4}}) {
      const Tensor* past = context.OptionalInput(i);
      Require(past == nullptr || (past->rank() == 4 && past->shape() == context.Input(3).shape() &&
                                  past->dim(0) == s.batch && past->dim(1) == a.key_heads && past->dim(3) == s.width),
              ErrorCode::kInvalidArgument, "past_key and past_value must be [batch, heads, past, width]");
    }
    Require(!context.HasInput(11) || context.Input(11).shape() == Shape{a.heads}, ErrorCode::kInvalidArgument,
            "head_sink must have one number for each head");
    Require(!a.rotate || (context.HasInput(7) && context.HasInput(8) && context.Input(7).rank() == 2),
            ErrorCode::kInvalidArgument, "do_rotary needs the matrices cos_cache and sin_cache");
    DispatchFloat(query.dtype(), "GroupQueryAttention",
                  [&](auto tag) { RunGroupQueryAttention<typename decltype(tag)::type>(context, a, s); });
  });
}

}  // namespace

void AddContribAttention(KernelTable& table) {
  table.Add(kMicrosoft, "Attention", {1}, &MakeAttention);
  table.Add(kMicrosoft, "GroupQueryAttention", {1}, &MakeGroupQueryAttention);
  table.Add(kMicrosoft, "MultiHeadAttention", {1}, &MakeMultiHeadAttention);
}

}  // namespace onnxforge::reference
