#include "simd/gemm.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

// clang-format off: the order matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/gemm.cc"
#include "simd/disabled_targets.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "simd/dispatch.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace onnxforge::simd {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// A register block is kMr rows by two vectors: 24 sums and three operands in 32 registers, 12 and three in 16.
#if (HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3) || HWY_ARCH_ARM_V7 || HWY_ARCH_WASM
constexpr size_t kMr = 6;
#else
constexpr size_t kMr = 12;
#endif

size_t Nr() { return 2 * hn::Lanes(D()); }

// Depth of one pass over a panel: kDepth × nr floats of B stay in the first-level cache while the rows of A go by.
constexpr size_t kDepth = 256;
// Rows of A that stay in the second-level cache (with kDepth columns) while the panels go by.
constexpr size_t kRows = 240;

// Sizeless vector types (SVE, RVV) cannot stand in arrays, so the sums are variables and the rows are written out.
#define ONNXFORGE_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

struct PackedRows {  // A as [k][rows]
  template <size_t kRowCount>
  static HWY_INLINE float At(const float* a, size_t /*stride*/, size_t row, size_t k) {
    return a[k * kRowCount + row];
  }
};

struct PlainRows {  // A as it came
  template <size_t kRowCount>
  static HWY_INLINE float At(const float* a, size_t stride, size_t row, size_t k) {
    return a[row * stride + k];
  }
};

struct PanelColumns {
  const float* b;
  size_t nr;
  HWY_INLINE const float* Row(size_t k) const { return b + k * nr; }
};

struct OffsetColumns {
  const float* b;
  const ptrdiff_t* offsets;
  HWY_INLINE const float* Row(size_t k) const { return b + offsets[k]; }
};

/// sums[rows][nr] (= or +=) A[rows, depth] · B[depth, nr], where `out(row, v0, v1)` takes the result and `in(row)`
/// starts it.
template <size_t kRowCount, class A, class B, class In, class Out>
HWY_INLINE void Multiply(const float* HWY_RESTRICT a, size_t a_stride, const B& b, size_t depth, const In& in,
                         const Out& out) {
  const D d;
  const size_t lanes = hn::Lanes(d);
#define ONNXFORGE_START(i)                        \
  V c##i##l = hn::Zero(d), c##i##r = hn::Zero(d); \
  if constexpr (kRowCount > i) in(i, c##i##l, c##i##r);
  ONNXFORGE_ROWS(ONNXFORGE_START)
#undef ONNXFORGE_START
  for (size_t k = 0; k < depth; ++k) {
    const float* HWY_RESTRICT row = b.Row(k);
    const V b0 = hn::LoadU(d, row);
    const V b1 = hn::LoadU(d, row + lanes);
#define ONNXFORGE_STEP(i)                                                 \
  if constexpr (kRowCount > i) {                                          \
    const V x = hn::Set(d, A::template At<kRowCount>(a, a_stride, i, k)); \
    c##i##l = hn::MulAdd(x, b0, c##i##l);                                 \
    c##i##r = hn::MulAdd(x, b1, c##i##r);                                 \
  }
    ONNXFORGE_ROWS(ONNXFORGE_STEP)
#undef ONNXFORGE_STEP
  }
#define ONNXFORGE_FINISH(i) \
  if constexpr (kRowCount > i) out(i, c##i##l, c##i##r);
  ONNXFORGE_ROWS(ONNXFORGE_FINISH)
#undef ONNXFORGE_FINISH
}

/// Calls `f(std::integral_constant<size_t, rows>)` for 1 ≤ rows ≤ kMr.
template <class F>
HWY_INLINE void WithRows(size_t rows, const F& f) {
  switch (rows) {
#define ONNXFORGE_CASE(i)                                                     \
  case i + 1:                                                                 \
    if constexpr (i < kMr) return f(std::integral_constant<size_t, i + 1>()); \
    break;
    ONNXFORGE_ROWS(ONNXFORGE_CASE)
#undef ONNXFORGE_CASE
    default:
      break;
  }
}

void PackTransposed(const float* HWY_RESTRICT b, size_t b_stride, size_t k, size_t columns, float* HWY_RESTRICT out) {
  const size_t nr = Nr();
  for (size_t j = 0; j < columns; ++j) {
    for (size_t i = 0; i < k; ++i) out[i * nr + j] = b[j * b_stride + i];
  }
  for (size_t j = columns; j < nr; ++j) {
    for (size_t i = 0; i < k; ++i) out[i * nr + j] = 0.0f;
  }
}

void PackRows(const float* HWY_RESTRICT b, size_t b_stride, size_t k, size_t columns, float* HWY_RESTRICT out) {
  const size_t nr = Nr();
  for (size_t i = 0; i < k; ++i) {
    std::memcpy(out + i * nr, b + i * b_stride, columns * sizeof(float));
    std::fill(out + i * nr + columns, out + (i + 1) * nr, 0.0f);
  }
}

void PackB(const float* b, size_t b_stride, bool transposed, size_t k, size_t n, size_t panel_begin, size_t panel_end,
           float* packed) {
  const size_t nr = Nr();
  for (size_t p = panel_begin; p < panel_end; ++p) {
    const size_t columns = std::min(nr, n - p * nr);
    float* out = packed + p * nr * k;
    if (transposed) {
      PackTransposed(b + p * nr * b_stride, b_stride, k, columns, out);
    } else {
      PackRows(b + p * nr, b_stride, k, columns, out);
    }
  }
}

/// Applies an epilogue to one row of a block and stores its `columns` ≤ nr columns.
class GemmStore {
 public:
  GemmStore(const GemmCall& call, size_t row, size_t column, size_t columns, bool last)
      : e_(call.epilogue),
        c_(call.c + row * call.c_stride + column),
        stride_(call.c_stride),
        row_(row),
        column_(column),
        columns_(columns),
        last_(last) {}

  HWY_INLINE void operator()(size_t i, V left, V right) const {
    const D d;
    const size_t lanes = hn::Lanes(d);
    float* HWY_RESTRICT to = c_ + i * stride_;
    Store(last_ ? Finish(i, 0, left) : left, to, columns_);
    if (columns_ > lanes) Store(last_ ? Finish(i, lanes, right) : right, to + lanes, columns_ - lanes);
  }

  /// The sums of the depth blocks before this one.
  HWY_INLINE void Load(size_t i, V& left, V& right) const {
    const D d;
    const size_t lanes = hn::Lanes(d);
    const float* HWY_RESTRICT from = c_ + i * stride_;
    left = LoadUpTo(from, columns_);
    right = columns_ > lanes ? LoadUpTo(from + lanes, columns_ - lanes) : hn::Zero(d);
  }

 private:
  static HWY_INLINE V LoadUpTo(const float* from, size_t count) {
    const D d;
    return count >= hn::Lanes(d) ? hn::LoadU(d, from) : hn::LoadN(d, from, count);
  }

  static HWY_INLINE void Store(V v, float* to, size_t count) {
    const D d;
    if (count >= hn::Lanes(d)) {
      hn::StoreU(v, d, to);
    } else {
      hn::StoreN(v, d, to, count);
    }
  }

  HWY_INLINE V Finish(size_t i, size_t offset, V v) const {
    const D d;
    const size_t count = columns_ - offset;
    v = hn::Mul(v, hn::Set(d, e_.alpha));
    if (e_.row_bias != nullptr) v = hn::Add(v, hn::Set(d, e_.row_bias[row_ + i]));
    if (e_.col_bias != nullptr) v = hn::Add(v, LoadUpTo(e_.col_bias + column_ + offset, count));
    if (e_.residual != nullptr) {
      v = hn::Add(v, LoadUpTo(e_.residual + (row_ + i) * e_.residual_stride + column_ + offset, count));
    }
    // This order of operands keeps a NaN of v: Min and Max return the second one when they cannot compare.
    return hn::Min(hn::Set(d, e_.hi), hn::Max(hn::Set(d, e_.lo), v));
  }

  const Epilogue& e_;
  float* c_;
  size_t stride_;
  size_t row_;
  size_t column_;
  size_t columns_;
  bool last_;
};

/// One row times four panels: as many sums in flight as the multiply-add unit needs, which one row and one panel are
/// not.
void MultiplyOneRow(const GemmCall& call, size_t row, size_t panel_begin, size_t panel_end) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const size_t nr = Nr();
  const float* HWY_RESTRICT a = call.a + row * call.a_stride;
  size_t p = panel_begin;
  for (; p + 4 <= panel_end; p += 4) {
    const size_t step = nr * call.k;
    const float* HWY_RESTRICT b = call.b + p * step;
    V s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
    V s4 = hn::Zero(d), s5 = hn::Zero(d), s6 = hn::Zero(d), s7 = hn::Zero(d);
    for (size_t k = 0; k < call.k; ++k, b += nr) {
      const V x = hn::Set(d, a[k]);
      s0 = hn::MulAdd(x, hn::LoadU(d, b), s0);
      s1 = hn::MulAdd(x, hn::LoadU(d, b + lanes), s1);
      s2 = hn::MulAdd(x, hn::LoadU(d, b + step), s2);
      s3 = hn::MulAdd(x, hn::LoadU(d, b + step + lanes), s3);
      s4 = hn::MulAdd(x, hn::LoadU(d, b + 2 * step), s4);
      s5 = hn::MulAdd(x, hn::LoadU(d, b + 2 * step + lanes), s5);
      s6 = hn::MulAdd(x, hn::LoadU(d, b + 3 * step), s6);
      s7 = hn::MulAdd(x, hn::LoadU(d, b + 3 * step + lanes), s7);
    }
    const auto store = [&](size_t panel, V left, V right) HWY_ATTR {
      const size_t column = panel * nr;
      GemmStore(call, row, column, std::min(nr, call.n - column), true)(0, left, right);
    };
    store(p, s0, s1);
    store(p + 1, s2, s3);
    store(p + 2, s4, s5);
    store(p + 3, s6, s7);
  }
  for (; p < panel_end; ++p) {
    const size_t column = p * nr;
    const GemmStore store(call, row, column, std::min(nr, call.n - column), true);
    Multiply<1, PlainRows>(
        a, 0, PanelColumns{call.b + p * nr * call.k, nr}, call.k, [](size_t, V&, V&) HWY_ATTR {}, store);
  }
}

void MultiplyBlock(const GemmCall& call, size_t row, size_t rows, size_t panel, size_t k, size_t depth) {
  const size_t nr = Nr();
  const size_t column = panel * nr;
  const GemmStore store(call, row, column, std::min(nr, call.n - column), k + depth == call.k);
  const PanelColumns b{call.b + panel * nr * call.k + k * nr, nr};
  const float* a = call.a + row * call.a_stride + k;
  const bool first = k == 0;
  const auto load = [&](size_t i, V& left, V& right) HWY_ATTR {
    if (!first) store.Load(i, left, right);
  };
  WithRows(rows,
           [&](auto n) HWY_ATTR { Multiply<decltype(n)::value, PlainRows>(a, call.a_stride, b, depth, load, store); });
}

void Gemm(const GemmCall& call, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  if (row_end == row_begin + 1) return MultiplyOneRow(call, row_begin, panel_begin, panel_end);
  for (size_t r0 = row_begin; r0 < row_end; r0 += kRows) {
    const size_t r1 = std::min(r0 + kRows, row_end);
    const RowBlocks blocks(r1 - r0, kMr);
    size_t k = 0;
    do {  // once with depth 0 when k is 0: the epilogue of a sum of nothing
      const size_t depth = std::min(kDepth, call.k - k);
      for (size_t p = panel_begin; p < panel_end; ++p) {
        for (size_t b = 0; b < blocks.count; ++b) {
          MultiplyBlock(call, r0 + blocks.begin(b), blocks.size(b), p, k, depth);
        }
      }
      k += depth;
    } while (k < call.k);
  }
}

/// Copies those of `count` positions from `position` on that are output, leaving out the gaps between output rows.
void ScatterRow(const float* HWY_RESTRICT from, size_t position, size_t count, const ConvCall& call,
                float* HWY_RESTRICT channel) {
  const size_t end = position + count;
  while (position < end) {
    const size_t row = position / call.row_stride;
    const size_t x = position % call.row_stride;
    const size_t next = std::min(end, (row + 1) * call.row_stride);
    if (x < call.row_width) {
      const size_t width = std::min(next - position, call.row_width - x);
      std::memcpy(channel + row * call.row_width + x, from, width * sizeof(float));
    }
    from += next - position;
    position = next;
  }
}

/// Takes the sums of one tile: to the partial sums, or, after the last depth block, to the output.
class ConvStore {
 public:
  ConvStore(const ConvCall& call, size_t channel, size_t tile, bool last)
      : call_(call),
        channel_(channel),
        position_(tile * Nr()),
        partial_stride_(CeilDiv(call.positions, Nr()) * Nr()),
        last_(last),
        dense_(call.row_stride == call.row_width) {}

  HWY_INLINE void operator()(size_t i, V left, V right) const {
    const D d;
    const size_t lanes = hn::Lanes(d);
    if (!last_) {
      float* HWY_RESTRICT to = Partial(i);
      hn::StoreU(left, d, to);
      hn::StoreU(right, d, to + lanes);
      return;
    }
    const V bias = hn::Set(d, call_.bias == nullptr ? 0.0f : call_.bias[channel_ + i]);
    const V lo = hn::Set(d, call_.lo);
    const V hi = hn::Set(d, call_.hi);
    left = hn::Min(hi, hn::Max(lo, hn::Add(left, bias)));
    right = hn::Min(hi, hn::Max(lo, hn::Add(right, bias)));
    float* channel = call_.output + (channel_ + i) * call_.output_stride;
    const size_t count = std::min(2 * lanes, call_.positions - position_);
    if (dense_ && count == 2 * lanes) {
      hn::StoreU(left, d, channel + position_);
      hn::StoreU(right, d, channel + position_ + lanes);
      return;
    }
    HWY_ALIGN float tile[2 * hn::MaxLanes(D())];
    hn::StoreU(left, d, tile);
    hn::StoreU(right, d, tile + lanes);
    ScatterRow(tile, position_, count, call_, channel);
  }

  HWY_INLINE void Load(size_t i, V& left, V& right) const {
    const D d;
    const float* HWY_RESTRICT from = Partial(i);
    left = hn::LoadU(d, from);
    right = hn::LoadU(d, from + hn::Lanes(d));
  }

 private:
  HWY_INLINE float* Partial(size_t i) const { return call_.partial + (channel_ + i) * partial_stride_ + position_; }

  const ConvCall& call_;
  size_t channel_;
  size_t position_;
  size_t partial_stride_;
  bool last_;
  bool dense_;
};

void Conv(const ConvCall& call, size_t block_begin, size_t block_end, size_t tile_begin, size_t tile_end) {
  const RowBlocks blocks(call.out_channels, kMr);
  size_t k = 0;
  do {
    const size_t depth = std::min(kConvDepth, call.k - k);
    const bool first = k == 0;
    const bool last = k + depth == call.k;
    for (size_t block = block_begin; block < block_end; ++block) {
      const size_t channel = blocks.begin(block);
      const size_t rows = blocks.size(block);
      const float* weights = call.weights + channel * call.k + k * rows;
      for (size_t tile = tile_begin; tile < tile_end; ++tile) {
        const ConvStore store(call, channel, tile, last);
        const OffsetColumns b{call.input + (tile - call.first_tile) * Nr(), call.offsets + k};
        const auto load = [&](size_t i, V& left, V& right) HWY_ATTR {
          if (!first) store.Load(i, left, right);
        };
        WithRows(rows,
                 [&](auto n) HWY_ATTR { Multiply<decltype(n)::value, PackedRows>(weights, 0, b, depth, load, store); });
      }
    }
    k += depth;
  } while (k < call.k);
}

/// `lanes` input columns that are `stride` apart.
template <size_t kStride>
HWY_INLINE V LoadStrided(const float* from) {
  const D d;
  if constexpr (kStride == 1) {
    return hn::LoadU(d, from);
  } else {
    V even, odd;
    hn::LoadInterleaved2(d, from, even, odd);
    return even;
  }
}

template <size_t kStride>
void DepthwiseRows(const DepthwiseCall& call) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const V bias = hn::Set(d, call.bias);
  const V lo = hn::Set(d, call.lo);
  const V hi = hn::Set(d, call.hi);
  for (size_t y = 0; y < call.out_h; ++y) {
    const float* HWY_RESTRICT top = call.plane + y * call.stride_h * call.plane_stride;
    float* HWY_RESTRICT out = call.output + y * call.out_w;
    for (size_t x = 0; x < call.out_w; x += lanes) {
      V sum = bias;
      const float* HWY_RESTRICT weight = call.filter;
      for (size_t ky = 0; ky < call.kernel_h; ++ky) {
        const float* HWY_RESTRICT row = top + ky * call.dilation_h * call.plane_stride + x * kStride;
        for (size_t kx = 0; kx < call.kernel_w; ++kx) {
          sum = hn::MulAdd(hn::Set(d, *weight++), LoadStrided<kStride>(row + kx * call.dilation_w), sum);
        }
      }
      sum = hn::Min(hi, hn::Max(lo, sum));
      if (x + lanes <= call.out_w) {
        hn::StoreU(sum, d, out + x);
      } else {
        hn::StoreN(sum, d, out + x, call.out_w - x);
      }
    }
  }
}

void DepthwiseAnyStride(const DepthwiseCall& call) {
  for (size_t y = 0; y < call.out_h; ++y) {
    const float* top = call.plane + y * call.stride_h * call.plane_stride;
    for (size_t x = 0; x < call.out_w; ++x) {
      float sum = call.bias;
      const float* weight = call.filter;
      for (size_t ky = 0; ky < call.kernel_h; ++ky) {
        const float* row = top + ky * call.dilation_h * call.plane_stride + x * call.stride_w;
        for (size_t kx = 0; kx < call.kernel_w; ++kx) sum += *weight++ * row[kx * call.dilation_w];
      }
      call.output[y * call.out_w + x] = std::min(call.hi, std::max(call.lo, sum));
    }
  }
}

void Depthwise(const DepthwiseCall& call) {
  switch (call.stride_w) {
    case 1:
      return DepthwiseRows<1>(call);
    case 2:
      return DepthwiseRows<2>(call);
    default:
      return DepthwiseAnyStride(call);
  }
}

const GemmOps* Ops() {
  static const GemmOps ops{Nr(), kMr, PackB, Gemm, Conv, Depthwise};
  return &ops;
}

#undef ONNXFORGE_ROWS

}  // namespace HWY_NAMESPACE
}  // namespace onnxforge::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace onnxforge::simd {

HWY_EXPORT(Ops);

const GemmOps& GemmOpsFor(int64_t target) { return *ONNXFORGE_SIMD_FOR(Ops, target)(); }

}  // namespace onnxforge::simd
#endif
