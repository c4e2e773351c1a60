#pragma once

#include <cstdint>

#include "onnxforge/base/threads.h"

namespace onnxforge::reference {

/// The sizes of scaled dot-product attention. Each key head serves heads / key_heads query heads.
struct AttentionSizes {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t key_heads = 0;
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t width = 0;        // of a query and a key
  int64_t value_width = 0;  // of a value
};

/// The keys [begin, end) that a query sees.
struct KeyRange {
  int64_t begin = 0;
  int64_t end = 0;
};

/// One row of scores, to be adjusted in place: added to, or left alone.
template <typename C>
using AdjustScores = FunctionRef<void(int64_t batch, int64_t head, int64_t query, C* scores)>;
using VisibleKeys = FunctionRef<KeyRange(int64_t batch, int64_t query)>;

template <typename C>
struct AttentionOptions {
  C scale = 1;
  C softcap = 0;             // of the scaled scores, before they are adjusted; 0 for none
  const C* sinks = nullptr;  // by head: a score that takes part in the softmax and has no value
};

/// out[batch, queries, heads, value_width] = softmax(q · kᵀ · scale …) · v, for q[batch, heads, queries, width],
/// k[batch, key_heads, keys, width] and v[batch, key_heads, keys, value_width].
template <typename C>
void Attend(ThreadPool& threads, const AttentionSizes& sizes, const AttentionOptions<C>& options, const C* q,
            const C* k, const C* v, VisibleKeys visible, AdjustScores<C> adjust, C* out);

/// Where the elements of head n at position s of batch b begin in a tensor that holds them: row · (b · length + s) +
/// step · n + offset.
struct HeadLayout {
  int64_t row = 0;
  int64_t step = 0;
  int64_t offset = 0;
};

/// to[batch, heads, length, width] = from, which lies as `layout` says, + bias[heads · width] (null: none).
template <typename C>
void SplitHeads(int64_t batch, int64_t heads, int64_t length, int64_t width, const HeadLayout& layout, const C* from,
                const C* bias, C* to);

}  // namespace onnxforge::reference
