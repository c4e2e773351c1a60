#include "reference/attention_core.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "reference/matrix.h"

namespace onnxforge::reference {
namespace {

/// The scores [begin, end) of a row as weights that add up to 1 (to less with a sink); the others as 0.
template <typename C>
void Softmax(C* scores, int64_t count, KeyRange keys, const C* sink) {
  C greatest = sink != nullptr ? *sink : -std::numeric_limits<C>::infinity();
  for (int64_t t = keys.begin; t < keys.end; ++t) greatest = std::max(greatest, scores[t]);
  std::fill(scores, scores + keys.begin, C{0});
  std::fill(scores + keys.end, scores + count, C{0});
  if (greatest == -std::numeric_limits<C>::infinity()) {  // nothing to see
    std::fill(scores + keys.begin, scores + keys.end, C{0});
    return;
  }
  C sum = sink != nullptr ? std::exp(*sink - greatest) : C{0};
  for (int64_t t = keys.begin; t < keys.end; ++t) sum += scores[t] = std::exp(scores[t] - greatest);
  for (int64_t t = keys.begin; t < keys.end; ++t) scores[t] /= sum;
}

}  // namespace

template <typename C>
void Attend(ThreadPool& threads, const AttentionSizes& s, const AttentionOptions<C>& options, const C* q, const C* k,
            const C* v, VisibleKeys visible, AdjustScores<C> adjust, C* out) {
  threads.ParallelFor(s.batch * s.heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<C> turned(static_cast<size_t>(s.width * s.keys));
    std::vector<C> scores(static_cast<size_t>(s.queries * s.keys));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.heads;
      const int64_t head = task % s.heads;
      const int64_t key_head = b * s.key_heads + head / (s.heads / s.key_heads);
      TransposeMatrix(k + key_head * s.keys * s.width, s.keys, s.width, turned.data());
      std::fill(scores.begin(), scores.end(), C{0});
      MultiplyAdd(s.queries, s.keys, s.width, q + task * s.queries * s.width, s.width, int64_t{1}, turned.data(),
                  s.keys, scores.data(), s.keys);
      for (int64_t i = 0; i < s.queries; ++i) {
        C* row = scores.data() + i * s.keys;
        for (int64_t t = 0; t < s.keys; ++t) {
          row[t] *= options.scale;
          if (options.softcap > 0) row[t] = options.softcap * std::tanh(row[t] / options.softcap);
        }
        adjust(b, head, i, row);
        Softmax(row, s.keys, visible(b, i), options.sinks == nullptr ? nullptr : options.sinks + head);
        std::fill_n(out + ((b * s.queries + i) * s.heads + head) * s.value_width, s.value_width, C{0});
      }
      MultiplyAdd(s.queries, s.value_width, s.keys, scores.data(), s.keys, int64_t{1},
                  v + key_head * s.keys * s.value_width, s.value_width,
                  out + (b * s.queries * s.heads + head) * s.value_width, s.heads * s.value_width);
    }
  });
}

template <typename C>
void SplitHeads(int64_t batch, int64_t heads, int64_t length, int64_t width, const HeadLayout& layout, const C* from,
                const C* bias, C* to) {
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t i = 0; i < length; ++i, to += width) {
        const C* at = from + (b * length + i) * layout.row + head * layout.step + layout.offset;
        for (int64_t d = 0; d < width; ++d) to[d] = at[d] + (bias == nullptr ? C{0} : bias[head * width + d]);
      }
    }
  }
}

template void Attend<float>(ThreadPool&, const AttentionSizes&, const AttentionOptions<float>&, const float*,
                            const float*, const float*, VisibleKeys, AdjustScores<float>, float*);
template void Attend<double>(ThreadPool&, const AttentionSizes&, const AttentionOptions<double>&, const double*,
                             const double*, const double*, VisibleKeys, AdjustScores<double>, double*);
template void SplitHeads<float>(int64_t, int64_t, int64_t, int64_t, const HeadLayout&, const float*, const float*,
                                float*);
template void SplitHeads<double>(int64_t, int64_t, int64_t, int64_t, const HeadLayout&, const double*, const double*,
                                 double*);

}  // namespace onnxforge::reference
