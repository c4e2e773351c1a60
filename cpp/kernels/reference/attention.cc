// Attention of ai.onnx (Vaswani et al., "Attention Is All You Need", 3.2). The standard's function body cannot be
// expanded in its place: it takes an extent of 0 for one to be copied, and multiplies weights with values of another
// type.
#include "reference/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "reference/compute.h"
#include "reference/list.h"
#include "reference/matrix.h"

namespace onnxforge::reference {
namespace {

constexpr int kPadsMasks = 24;              // the version from which on a mask may have fewer keys
constexpr int64_t kFar = int64_t{1} << 40;  // more keys than there can be

template <typename C>
constexpr C kNothing = -std::numeric_limits<C>::infinity();

/// [batch, heads, length, width] of a tensor that is so, or is flat: [batch, length, heads · width].
struct HeadShape {
  int64_t batch, heads, length, width;
};

HeadShape HeadShapeOf(const Tensor& t, int64_t heads, const char* name) {
  if (t.rank() == 4) return {t.dim(0), t.dim(1), t.dim(2), t.dim(3)};
  Require(heads > 0 && t.dim(2) % heads == 0, ErrorCode::kInvalidArgument, name, " has ", t.dim(2),
          " features, which are no ", heads, " heads");
  return {t.dim(0), heads, t.dim(1), t.dim(2) / heads};
}

template <typename C>
HeadRows<C> RowsIn(C* data, const HeadShape& s, bool flat) {
  if (flat) return {data, s.length * s.heads * s.width, s.width, s.heads * s.width};
  return {data, s.heads * s.length * s.width, s.length * s.width, s.width};
}

/// Output `index`, [batch, key heads, past + length, width], of what was there and what is new; scratch where that is
/// not asked for.
Tensor Joined(KernelContext& context, size_t index, const Tensor& now, const HeadShape& s, const Tensor* before) {
  const int64_t past = before == nullptr ? 0 : before->dim(2);
  const Shape shape = {s.batch, s.heads, past + s.length, s.width};
  const size_t element = ElementSize(now.dtype());
  Tensor joined = context.HasOutput(index)
                      ? context.Output(index, now.dtype(), shape)
                      : Tensor::View(now.dtype(), shape, nullptr,
                                     context.Scratch<char>(static_cast<size_t>(shape.elements()) * element));
  const size_t row = static_cast<size_t>(s.width) * element;
  const auto old = static_cast<size_t>(past) * row;
  const auto rows = RowsIn(static_cast<const char*>(now.raw()), {s.batch, s.heads, s.length, static_cast<int64_t>(row)},
                           now.rank() == 3);
  const char* from = before == nullptr ? nullptr : static_cast<const char*>(before->raw());
  char* to = static_cast<char*>(joined.raw());
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t head = 0; head < s.heads; ++head) {
      to = std::copy_n(from, old, to);
      if (from != nullptr) from += old;
      for (int64_t i = 0; i < s.length; ++i) to = std::copy_n(rows.At(b, head, i), row, to);
    }
  }
  return joined;
}

void RequirePast(const Tensor* before, const HeadShape& s, int64_t past, const char* name) {
  Require(before == nullptr || before->shape() == Shape{s.batch, s.heads, past, s.width}, ErrorCode::kInvalidArgument,
          name, " has shape ", before == nullptr ? Shape{} : before->shape(), ", and ",
          Shape{s.batch, s.heads, past, s.width}, " is expected");
}

template <typename C>
void ReadMask(KernelContext& context, const AttentionAttributes& a, const Tensor& mask, AttentionCall<C>& call) {
  const AttentionSizes& s = call.sizes;
  const bool truths = mask.dtype() == DType::kBool;
  const int64_t wanted[] = {s.batch, s.heads, s.queries, s.keys};
  int64_t extents[] = {1, 1, 1, 1};
  bool fits = mask.rank() <= 4;
  for (size_t i = 0; fits && i < mask.rank(); ++i) {
    const size_t axis = 4 - mask.rank() + i;
    extents[axis] = mask.dim(i);
    const bool shorter = axis == 3 && a.since_version >= kPadsMasks && extents[axis] <= s.keys;
    fits = extents[axis] == wanted[axis] || extents[axis] == 1 || shorter;
  }
  Require(fits, ErrorCode::kInvalidArgument, "the mask has shape ", mask.shape(), " for ", s.batch, " batches, ",
          s.heads, " heads, ", s.queries, " queries and ", s.keys, " keys");
  // What is one number for all keys is padded, too, from that version on, unless it has no axis of keys.
  const bool for_all = extents[3] == 1 && (a.since_version < kPadsMasks || mask.rank() == 0);
  call.mask_key = for_all ? 0 : 1;
  call.mask_keys = for_all ? s.keys : extents[3];
  call.mask_rows.row = extents[2] == 1 ? 0 : extents[3];
  call.mask_rows.head = extents[1] == 1 ? 0 : extents[2] * extents[3];
  call.mask_rows.batch = extents[0] == 1 ? 0 : extents[1] * extents[2] * extents[3];
  if (truths) {
    C* added = context.Scratch<C>(static_cast<size_t>(mask.elements()));
    const bool* seen = mask.data<bool>();
    for (int64_t i = 0; i < mask.elements(); ++i) added[i] = seen[i] ? C{0} : kNothing<C>;
    call.mask = added;
  } else {
    call.mask = ReadAs<C>(context, mask);
  }
  call.mask_rows.data = call.mask;
}

template <typename C>
void AddMask(const AttentionCall<C>& call, int64_t b, int64_t head, int64_t query, KeyRange keys, C* scores) {
  if (call.mask == nullptr) return;
  const C* added = call.mask_rows.At(b, head, query);
  const int64_t end = std::clamp(call.mask_keys, keys.begin, keys.end);
  for (int64_t t = keys.begin; t < end; ++t) scores[t] += added[t * call.mask_key];
  std::fill(scores + end, scores + keys.end, kNothing<C>);
}

/// Scores as weights that add up to 1, or as zeros where nothing counts.
template <typename C>
void Softmax(C* scores, int64_t count) {
  C greatest = kNothing<C>;
  for (int64_t t = 0; t < count; ++t) greatest = std::max(greatest, scores[t]);
  if (greatest == kNothing<C>) {
    std::fill_n(scores, count, C{0});
    return;
  }
  C sum = 0;
  for (int64_t t = 0; t < count; ++t) sum += scores[t] = std::exp(scores[t] - greatest);
  for (int64_t t = 0; t < count; ++t) scores[t] /= sum;
}

template <typename C>
void Run(KernelContext& context, const AttentionAttributes& a) {
  const AttentionCall<C> call = ReadAttentionCall<C>(context, a);
  const AttentionSizes& s = call.sizes;
  const DType dtype = context.Input(0).dtype();
  WideOutput<C> out(context, context.Output(0, dtype, call.OutputShape()));
  const HeadRows<C> y = call.RowsOf(out.data());
  Tensor* shown = context.HasOutput(3) ? &context.Output(3, dtype, {s.batch, s.heads, s.queries, s.keys}) : nullptr;
  C* stages = shown == nullptr ? nullptr : context.Scratch<C>(static_cast<size_t>(shown->elements()));
  context.Threads().ParallelFor(s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<C> turned(static_cast<size_t>(s.width * s.keys));
    std::vector<C> scores(static_cast<size_t>(s.queries * s.keys));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.heads;
      const int64_t head = task % s.heads;
      const int64_t key_head = head / (s.heads / s.key_heads);
      for (int64_t t = 0; t < s.keys; ++t) {
        const C* key = call.k.At(b, key_head, t);
        for (int64_t d = 0; d < s.width; ++d) turned[static_cast<size_t>(d * s.keys + t)] = key[d];
      }
      std::fill(scores.begin(), scores.end(), C{0});
      MultiplyAdd(s.queries, s.keys, s.width, call.q.At(b, head), call.q.row, int64_t{1}, turned.data(), s.keys,
                  scores.data(), s.keys);
      for (int64_t i = 0; i < s.queries; ++i) {
        C* row = scores.data() + i * s.keys;
        C* stage = stages == nullptr ? nullptr : stages + (task * s.queries + i) * s.keys;
        const auto show = [&](int64_t mode) {
          if (stage != nullptr && a.mode == mode) std::copy_n(row, s.keys, stage);
        };
        for (int64_t t = 0; t < s.keys; ++t) row[t] *= call.scale;
        show(0);
        for (int64_t t = 0; call.softcap != 0 && t < s.keys; ++t)
          row[t] = call.softcap * std::tanh(row[t] / call.softcap);
        show(1);
        const KeyRange keys = call.Visible(b, i);
        std::fill(row, row + keys.begin, kNothing<C>);
        std::fill(row + keys.end, row + s.keys, kNothing<C>);
        AddMask(call, b, head, i, keys, row);
        show(2);
        Softmax(row, s.keys);
        show(3);
        std::fill_n(y.At(b, head, i), s.value_width, C{0});
      }
      MultiplyAdd(s.queries, s.value_width, s.keys, scores.data(), s.keys, int64_t{1}, call.v.At(b, key_head),
                  call.v.row, y.At(b, head), y.row);
    }
  });
  out.Store();
  if (shown != nullptr) ConvertElements(kDTypeOf<C>, stages, dtype, shown->raw(), shown->elements());
}

std::unique_ptr<Kernel> MakeAttention(const NodeSpec& node) {
  return MakeKernel([a = AttentionAttributes(node)](KernelContext& context) {
    const bool exact = a.precision == DType::kFloat64;
    DispatchFloat(exact ? a.precision : context.Input(0).dtype(), "Attention",
                  [&](auto tag) { Run<typename decltype(tag)::type>(context, a); });
  });
}

}  // namespace

AttentionAttributes::AttentionAttributes(const NodeSpec& node) : since_version(node.since_version) {
  const Attributes& given = node.attributes;
  heads = given.Int("q_num_heads", 0);
  key_heads = given.Int("kv_num_heads", 0);
  causal = given.Int("is_causal", 0) != 0;
  left = std::clamp<int64_t>(given.Int("left_window_size", -1), -1, kFar);
  right = std::clamp<int64_t>(given.Int("right_window_size", -1), -1, kFar);
  mode = given.Int("qk_matmul_output_mode", 0);
  has_scale = given.Has("scale");
  scale = given.Float("scale", 0);
  softcap = given.Float("softcap", 0);
  precision = static_cast<DType>(given.Int("softmax_precision", static_cast<int64_t>(DType::kUndefined)));
  Require(mode >= 0 && mode <= 3, ErrorCode::kInvalidModel, "qk_matmul_output_mode is ", mode);
  const DType known[] = {DType::kUndefined, DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16};
  Require(std::find(std::begin(known), std::end(known), precision) != std::end(known), ErrorCode::kInvalidModel,
          "softmax_precision is ", given.Int("softmax_precision", 0), ", which is no type of ONNX for real numbers");
}

template <typename C>
KeyRange AttentionCall<C>::Visible(int64_t b, int64_t query) const {
  const int64_t count = counts == nullptr ? sizes.keys : std::clamp<int64_t>(counts[b], 0, kFar);
  const int64_t all = std::min(count, sizes.keys);
  const int64_t place = (counts == nullptr ? past : count - sizes.queries) + query;
  int64_t end = causal ? std::min(all, place + 1) : all;
  if (right >= 0) end = std::min(end, place + right + 1);
  end = std::max<int64_t>(end, 0);
  return {left < 0 ? 0 : std::clamp<int64_t>(place - left, 0, end), end};
}

template <typename C>
Shape AttentionCall<C>::OutputShape() const {
  if (flat) return {sizes.batch, sizes.queries, sizes.heads * sizes.value_width};
  return {sizes.batch, sizes.heads, sizes.queries, sizes.value_width};
}

template <typename C>
HeadRows<C> AttentionCall<C>::RowsOf(C* output) const {
  return RowsIn(output, {sizes.batch, sizes.heads, sizes.queries, sizes.value_width}, flat);
}

template <typename C>
AttentionCall<C> ReadAttentionCall(KernelContext& context, const AttentionAttributes& a) {
  const Tensor& q = context.Input(0);
  const Tensor& k = context.Input(1);
  const Tensor& v = context.Input(2);
  Require((q.rank() == 3 || q.rank() == 4) && k.rank() == q.rank() && v.rank() == q.rank(), ErrorCode::kInvalidArgument,
          "Q, K and V have shapes ", q.shape(), ", ", k.shape(), " and ", v.shape(),
          ": [batch, heads, length, width], or [batch, length, features], is expected of all three");
  const HeadShape of_q = HeadShapeOf(q, a.heads, "Q");
  const HeadShape of_k = HeadShapeOf(k, a.key_heads, "K");
  const HeadShape of_v = HeadShapeOf(v, a.key_heads, "V");
  Require(of_k.batch == of_q.batch && of_v.batch == of_q.batch && of_k.heads == of_v.heads &&
              of_k.length == of_v.length && of_k.width == of_q.width,
          ErrorCode::kInvalidArgument, "Q, K and V have shapes ", q.shape(), ", ", k.shape(), " and ", v.shape(),
          ", which do not fit together");
  Require(of_k.heads > 0 ? of_q.heads % of_k.heads == 0 : of_q.heads == 0, ErrorCode::kInvalidArgument, of_q.heads,
          " heads of queries cannot share ", of_k.heads, " heads of keys");
  AttentionCall<C> call;
  call.flat = q.rank() == 3;
  call.q = RowsIn(ReadAs<C>(context, q), of_q, call.flat);
  const Tensor* past_k = context.OptionalInput(4);
  const Tensor* past_v = context.OptionalInput(5);
  Require((past_k == nullptr) == (past_v == nullptr), ErrorCode::kInvalidArgument,
          "of past_key and past_value only one is given");
  Require(past_k == nullptr || past_k->rank() == 4, ErrorCode::kInvalidArgument, "past_key has shape ",
          past_k == nullptr ? Shape{} : past_k->shape(), ": [batch, heads, length, width] is expected");
  call.past = past_k == nullptr ? 0 : past_k->dim(2);
  RequirePast(past_k, of_k, call.past, "past_key");
  RequirePast(past_v, of_v, call.past, "past_value");
  const auto with_past = [&](size_t output, const Tensor& now, const HeadShape& shape, const Tensor* before) {
    if (before == nullptr && !context.HasOutput(output)) return RowsIn(ReadAs<C>(context, now), shape, call.flat);
    const Tensor joined = Joined(context, output, now, shape, before);
    return RowsIn(ReadAs<C>(context, joined), {shape.batch, shape.heads, call.past + shape.length, shape.width}, false);
  };
  call.k = with_past(1, k, of_k, past_k);
  call.v = with_past(2, v, of_v, past_v);
  call.sizes = {of_q.batch, of_q.heads, std::max<int64_t>(of_k.heads, 1), of_q.length, call.past + of_k.length,
                of_q.width, of_v.width};
  if (const Tensor* counts = context.OptionalInput(6)) {
    Require(past_k == nullptr && counts->shape() == Shape{of_q.batch}, ErrorCode::kInvalidArgument,
            "nonpad_kv_seqlen has shape ", counts->shape(), " for ", of_q.batch,
            " batches, and goes with no past_key and past_value");
    call.counts = counts->data<int64_t>();
  }
  call.scale = a.has_scale ? static_cast<C>(a.scale) : C{1} / std::sqrt(static_cast<C>(of_q.width));
  call.softcap = static_cast<C>(a.softcap);
  call.causal = a.causal;
  call.left = a.left;
  call.right = a.right;
  if (const Tensor* mask = context.OptionalInput(3)) ReadMask(context, a, *mask, call);
  return call;
}

template struct AttentionCall<float>;
template struct AttentionCall<double>;
template AttentionCall<float> ReadAttentionCall<float>(KernelContext&, const AttentionAttributes&);
template AttentionCall<double> ReadAttentionCall<double>(KernelContext&, const AttentionAttributes&);

void AddAttention(KernelTable& table) { table.Add("", "Attention", {23, 24, 25}, &MakeAttention); }

}  // namespace onnxforge::reference
