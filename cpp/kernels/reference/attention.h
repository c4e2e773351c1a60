#pragma once

#include <cstdint>

#include "onnxforge/kernels/kernel.h"

#include "reference/attention_core.h"

namespace onnxforge::reference {

/// What a node of ai.onnx.Attention says.
struct AttentionAttributes {
  int since_version = 0;
  int64_t heads = 0;  // of flat inputs
  int64_t key_heads = 0;
  bool causal = false;
  int64_t left = -1;  // keys before a query's place that it sees; -1 for all
  int64_t right = -1;
  int64_t mode = 0;  // of output 3
  bool has_scale = false;
  float scale = 0;
  float softcap = 0;
  DType precision = DType::kUndefined;  // of the softmax; kUndefined for that of the query

  explicit AttentionAttributes(const NodeSpec& node);
};

/// Rows of adjacent elements, by batch, head and place.
template <typename C>
struct HeadRows {
  C* data = nullptr;
  int64_t batch = 0, head = 0, row = 0;  // elements from one to the next

  C* At(int64_t b, int64_t h, int64_t place = 0) const { return data + b * batch + h * head + place * row; }
};

/// The tensors of a call, checked and as C; those of before are joined to the new ones.
template <typename C>
struct AttentionCall {
  AttentionSizes sizes;
  bool flat = false;
  HeadRows<const C> q, k, v;
  C scale = 1;
  C softcap = 0;
  bool causal = false;
  int64_t left = -1, right = -1;
  int64_t past = 0;
  const int64_t* counts = nullptr;  // by batch: the keys that are no padding; null where all are
  const C* mask = nullptr;          // added to scores; null for none
  HeadRows<const C> mask_rows;
  int64_t mask_key = 1;   // elements from key to key
  int64_t mask_keys = 0;  // those behind do not count

  /// Keys that the place of a query and the padding let it see.
  KeyRange Visible(int64_t b, int64_t query) const;
  Shape OutputShape() const;
  HeadRows<C> RowsOf(C* output) const;
};

/// Writes outputs 1 and 2, too. Fails with kInvalidArgument where shapes do not fit.
template <typename C>
AttentionCall<C> ReadAttentionCall(KernelContext& context, const AttentionAttributes& a);

}  // namespace onnxforge::reference
