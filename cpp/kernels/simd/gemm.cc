#include "simd/gemm.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "simd/row_pointers.h"

// clang-format off: the order matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/gemm.cc"
#include "simd/disabled_targets.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "simd/dispatch.h"
#include "simd/transpose_rows-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace onnxforge::simd {
namespace HWY_NAMESPACE {
namespace {  // the same names stand for other things in other files

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

// Depth of one pass: kMr rows of A stay in the first-level cache while the panels go by.
constexpr size_t kDepth = 512;
// Floats of packed B that stay in the second-level cache while the rows of A go by.
constexpr size_t kPanelFloats = 128 * 1024;
// Taps of one pass: bounds the pointers that are kept at a time.
constexpr size_t kTaps = 32;

// Sizeless vector types (SVE, RVV) cannot stand in arrays, so the sums are variables and the rows are written out.
#define ONNXFORGE_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/// One pass over a part of the depth: taps [tap, tap + taps), of each the elements [begin, begin + depth).
struct Pass {
  size_t tap, taps, begin, depth;
};

/// sums[rows][2 vectors, or 1] (= or +=) A · B over one pass, where `in(row, v0, v1)` starts the sums and
/// `out(row, v0, v1)` takes them. rows: [taps][kMr], where each tap of each row begins.
template <size_t kRowCount, bool kWide, class In, class Out>
HWY_INLINE void Multiply(const float* const* HWY_RESTRICT rows, size_t taps, size_t depth, const float* HWY_RESTRICT b,
                         const In& in, const Out& out) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const size_t nr = 2 * lanes;
#define ONNXFORGE_START(i)                        \
  V c##i##l = hn::Zero(d), c##i##r = hn::Zero(d); \
  if constexpr (kRowCount > i) in(i, c##i##l, c##i##r);
  ONNXFORGE_ROWS(ONNXFORGE_START)
#undef ONNXFORGE_START
  for (size_t tap = 0; tap < taps; ++tap, rows += kMr) {
    // One byte offset that counts up to 0 is all the loop needs besides the pointers, of which twelve leave few
    // registers.
    const auto bytes = static_cast<ptrdiff_t>(depth * sizeof(float));
#define ONNXFORGE_POINTER(i) const char* a##i = reinterpret_cast<const char*>(rows[i < kRowCount ? i : 0]) + bytes;
    ONNXFORGE_ROWS(ONNXFORGE_POINTER)
#undef ONNXFORGE_POINTER
    for (ptrdiff_t at = -bytes; at != 0; at += static_cast<ptrdiff_t>(sizeof(float)), b += nr) {
      const V b0 = hn::Load(d, b);
      const V b1 = kWide ? hn::Load(d, b + lanes) : b0;
#define ONNXFORGE_STEP(i)                                               \
  if constexpr (kRowCount > i) {                                        \
    const V x = hn::Set(d, *reinterpret_cast<const float*>(a##i + at)); \
    c##i##l = hn::MulAdd(x, b0, c##i##l);                               \
    if constexpr (kWide) c##i##r = hn::MulAdd(x, b1, c##i##r);          \
  }
      ONNXFORGE_ROWS(ONNXFORGE_STEP)
#undef ONNXFORGE_STEP
    }
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
  constexpr size_t kBlock = 16;  // a cache line of each row of b at a time
  const size_t nr = Nr();
  for (size_t begin = 0; begin < k; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, k);
    TransposeRows(b + begin, b_stride, columns, end - begin, out + begin * nr, nr);
    for (size_t i = begin; i < end && columns < nr; ++i) std::fill(out + i * nr + columns, out + (i + 1) * nr, 0.0f);
  }
}

HWY_INLINE V LoadUpTo(const float* from, size_t count) {
  const D d;
  return count >= hn::Lanes(d) ? hn::LoadU(d, from) : hn::LoadN(d, from, count);
}

HWY_INLINE void StoreUpTo(V v, float* to, size_t count) {
  const D d;
  if (count >= hn::Lanes(d)) {
    hn::StoreU(v, d, to);
  } else {
    hn::StoreN(v, d, to, count);
  }
}

/// `panels` panels at a time, so that what is read of a row lies together.
void PackRows(const float* HWY_RESTRICT b, size_t b_stride, size_t k, size_t columns, size_t panels,
              float* HWY_RESTRICT out) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const size_t nr = Nr();
  for (size_t i = 0; i < k; ++i, b += b_stride, out += nr) {
    float* to = out;
    for (size_t p = 0; p < panels; ++p, to += nr * k) {
      const float* from = b + p * nr;
      const size_t count = std::min(nr, columns - p * nr);
      const size_t right = count > lanes ? count - lanes : 0;
      hn::StoreU(LoadUpTo(from, count), d, to);
      hn::StoreU(right == 0 ? hn::Zero(d) : LoadUpTo(from + lanes, right), d, to + lanes);
    }
  }
}

void PackB(const float* b, size_t b_stride, bool transposed, size_t k, size_t n, size_t panel_begin, size_t panel_end,
           float* packed) {
  constexpr size_t kPanels = 4;
  const size_t nr = Nr();
  const size_t step = transposed ? 1 : kPanels;
  for (size_t p = panel_begin; p < panel_end; p += step) {
    float* out = packed + p * nr * k;
    if (transposed) {
      PackTransposed(b + p * nr * b_stride, b_stride, k, std::min(nr, n - p * nr), out);
    } else {
      PackRows(b + p * nr, b_stride, k, n - p * nr, std::min(kPanels, panel_end - p), out);
    }
  }
}

/// This order of operands keeps a NaN of v: Min and Max return the second one when they cannot compare.
HWY_INLINE V Clip(V v, const Epilogue& e) {
  const D d;
  return hn::Min(hn::Set(d, e.hi), hn::Max(hn::Set(d, e.lo), v));
}

/// What cannot be done in registers, to n results that have just been stored.
HWY_INLINE void FinishStored(const Epilogue& e, float* HWY_RESTRICT c, const float* residual, size_t n) {
  const D d;
  if (e.activation) e.activation(c, c, n);
  if (e.HasPost()) {
    const V scale = hn::Set(d, e.post_scale);
    const V shift = hn::Set(d, e.post_shift);
    for (size_t j = 0; j < n; j += hn::Lanes(d)) {
      StoreUpTo(hn::MulAdd(LoadUpTo(c + j, n - j), scale, shift), c + j, n - j);
    }
  }
  if (!e.residual_last) return;
  for (size_t j = 0; j < n; j += hn::Lanes(d)) {
    StoreUpTo(hn::Add(LoadUpTo(c + j, n - j), LoadUpTo(residual + j, n - j)), c + j, n - j);
  }
}

/// Takes the sums of one block: its `columns` ≤ nr columns, with the epilogue after the last pass.
class GemmStore {
 public:
  GemmStore(const GemmCall& call, size_t row, size_t column, bool last)
      : e_(call.epilogue),
        c_(call.c + row * call.c_stride + column),
        stride_(call.c_stride),
        row_(row),
        column_(column),
        columns_(std::min(Nr(), call.n - column)),
        last_(last),
        residual_(call.epilogue.residual_last ? nullptr : call.epilogue.residual),
        plain_(columns_ == Nr() && call.epilogue.row_bias == nullptr && call.epilogue.alpha == 1.0f) {}

  bool wide() const { return columns_ > hn::Lanes(D()); }

  HWY_INLINE void operator()(size_t i, V left, V right) const {
    const D d;
    const size_t lanes = hn::Lanes(d);
    float* HWY_RESTRICT to = c_ + i * stride_;
    if (plain_) return StorePlain(i, left, right, to);
    StoreUpTo(last_ ? Finish(i, 0, left) : left, to, columns_);
    if (wide()) StoreUpTo(last_ ? Finish(i, lanes, right) : right, to + lanes, columns_ - lanes);
  }

  /// The sums of the passes before this one.
  HWY_INLINE void Load(size_t i, V& left, V& right) const {
    const D d;
    const size_t lanes = hn::Lanes(d);
    const float* HWY_RESTRICT from = c_ + i * stride_;
    left = LoadUpTo(from, columns_);
    right = wide() ? LoadUpTo(from + lanes, columns_ - lanes) : hn::Zero(d);
  }

  /// The same where all columns are there and only a bias per column and a residual may have to be added.
  HWY_INLINE void StorePlain(size_t i, V left, V right, float* HWY_RESTRICT to) const {
    const D d;
    const size_t lanes = hn::Lanes(d);
    if (last_) {
      if (e_.col_bias != nullptr) {
        left = hn::Add(left, hn::LoadU(d, e_.col_bias + column_));
        right = hn::Add(right, hn::LoadU(d, e_.col_bias + column_ + lanes));
      }
      if (residual_ != nullptr) {
        const float* HWY_RESTRICT residual = residual_ + (row_ + i) * e_.residual_stride + column_;
        left = hn::Add(left, hn::LoadU(d, residual));
        right = hn::Add(right, hn::LoadU(d, residual + lanes));
      }
      left = Clip(left, e_);
      right = Clip(right, e_);
    }
    hn::StoreU(left, d, to);
    hn::StoreU(right, d, to + lanes);
  }

  void FinishRows(size_t rows) const {
    if (!last_ || !e_.TouchesStored()) return;
    for (size_t i = 0; i < rows; ++i) {
      const float* residual =
          e_.residual == nullptr ? nullptr : e_.residual + (row_ + i) * e_.residual_stride + column_;
      FinishStored(e_, c_ + i * stride_, residual, columns_);
    }
  }

 private:
  HWY_INLINE V Finish(size_t i, size_t offset, V v) const {
    const D d;
    const size_t count = columns_ - offset;
    v = hn::Mul(v, hn::Set(d, e_.alpha));
    if (e_.row_bias != nullptr) v = hn::Add(v, hn::Set(d, e_.row_bias[row_ + i]));
    if (e_.col_bias != nullptr) v = hn::Add(v, LoadUpTo(e_.col_bias + column_ + offset, count));
    if (residual_ != nullptr) {
      v = hn::Add(v, LoadUpTo(residual_ + (row_ + i) * e_.residual_stride + column_ + offset, count));
    }
    return Clip(v, e_);
  }

  const Epilogue& e_;
  float* c_;
  size_t stride_;
  size_t row_;
  size_t column_;
  size_t columns_;
  bool last_;
  const float* residual_;
  bool plain_;
};

/// One row times four panels: as many sums in flight as the multiply-add unit needs, which one row and one panel are
/// not.
void MultiplyOneRow(const GemmCall& call, size_t row, size_t panel_begin, size_t panel_end) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const size_t nr = Nr();
  const float* a = call.a + row * call.a_stride;
  size_t p = panel_begin;
  const auto store = [&](size_t panel, V left, V right) HWY_ATTR {
    const GemmStore to(call, row, panel * nr, true);
    to(0, left, right);
    to.FinishRows(1);
  };
  for (; p + 4 <= panel_end; p += 4) {
    const size_t step = nr * call.depth;
    const float* HWY_RESTRICT b = call.b + p * step;
    V s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
    V s4 = hn::Zero(d), s5 = hn::Zero(d), s6 = hn::Zero(d), s7 = hn::Zero(d);
    for (size_t k = 0; k < call.depth; ++k, b += nr) {
      const V x = hn::Set(d, a[k]);
      s0 = hn::MulAdd(x, hn::Load(d, b), s0);
      s1 = hn::MulAdd(x, hn::Load(d, b + lanes), s1);
      s2 = hn::MulAdd(x, hn::Load(d, b + step), s2);
      s3 = hn::MulAdd(x, hn::Load(d, b + step + lanes), s3);
      s4 = hn::MulAdd(x, hn::Load(d, b + 2 * step), s4);
      s5 = hn::MulAdd(x, hn::Load(d, b + 2 * step + lanes), s5);
      s6 = hn::MulAdd(x, hn::Load(d, b + 3 * step), s6);
      s7 = hn::MulAdd(x, hn::Load(d, b + 3 * step + lanes), s7);
    }
    store(p, s0, s1);
    store(p + 1, s2, s3);
    store(p + 2, s4, s5);
    store(p + 3, s6, s7);
  }
  for (; p < panel_end; ++p) {
    Multiply<1, true>(
        &a, 1, call.depth, call.b + p * nr * call.depth, [](size_t, V&, V&) HWY_ATTR {},
        [&](size_t, V left, V right) HWY_ATTR { store(p, left, right); });
  }
}

/// sums[0, n) = a[k] · b[k, n]: four rows of b at a time go by, and the sums stay in the first-level cache. Each sum
/// adds in the order in which one of a panel does.
void SumRows(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, size_t b_stride, size_t k, size_t n,
             float* HWY_RESTRICT sums) {
  const D d;
  constexpr size_t kColumns = 2048;
  for (size_t begin = 0; begin < n; begin += kColumns) {
    const size_t end = std::min(n, begin + kColumns);
    std::fill(sums + begin, sums + end, 0.0f);
    size_t i = 0;
    for (; i + 4 <= k; i += 4) {
      const float* HWY_RESTRICT row = b + i * b_stride;
      const V a0 = hn::Set(d, a[i]), a1 = hn::Set(d, a[i + 1]), a2 = hn::Set(d, a[i + 2]), a3 = hn::Set(d, a[i + 3]);
      for (size_t j = begin; j < end; j += hn::Lanes(d)) {
        const size_t count = end - j;
        V sum = hn::MulAdd(a0, LoadUpTo(row + j, count), LoadUpTo(sums + j, count));
        sum = hn::MulAdd(a1, LoadUpTo(row + b_stride + j, count), sum);
        sum = hn::MulAdd(a2, LoadUpTo(row + 2 * b_stride + j, count), sum);
        StoreUpTo(hn::MulAdd(a3, LoadUpTo(row + 3 * b_stride + j, count), sum), sums + j, count);
      }
    }
    for (; i < k; ++i) {
      const V x = hn::Set(d, a[i]);
      for (size_t j = begin; j < end; j += hn::Lanes(d)) {
        const size_t count = end - j;
        StoreUpTo(hn::MulAdd(x, LoadUpTo(b + i * b_stride + j, count), LoadUpTo(sums + j, count)), sums + j, count);
      }
    }
  }
}

/// sums[0, n) = a[k] · b[n, k]ᵀ, four rows of b at a time.
void SumColumns(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, size_t b_stride, size_t k, size_t n,
                float* HWY_RESTRICT sums) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t j = 0;
  for (; j + 4 <= n; j += 4) {
    const float* HWY_RESTRICT row = b + j * b_stride;
    V s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
    V t0 = hn::Zero(d), t1 = hn::Zero(d), t2 = hn::Zero(d), t3 = hn::Zero(d);
    size_t i = 0;
    for (; i + 2 * lanes <= k; i += 2 * lanes) {
      const V x = hn::LoadU(d, a + i), y = hn::LoadU(d, a + i + lanes);
      s0 = hn::MulAdd(x, hn::LoadU(d, row + i), s0);
      t0 = hn::MulAdd(y, hn::LoadU(d, row + i + lanes), t0);
      s1 = hn::MulAdd(x, hn::LoadU(d, row + b_stride + i), s1);
      t1 = hn::MulAdd(y, hn::LoadU(d, row + b_stride + i + lanes), t1);
      s2 = hn::MulAdd(x, hn::LoadU(d, row + 2 * b_stride + i), s2);
      t2 = hn::MulAdd(y, hn::LoadU(d, row + 2 * b_stride + i + lanes), t2);
      s3 = hn::MulAdd(x, hn::LoadU(d, row + 3 * b_stride + i), s3);
      t3 = hn::MulAdd(y, hn::LoadU(d, row + 3 * b_stride + i + lanes), t3);
    }
    for (; i < k; i += lanes) {
      const V x = LoadUpTo(a + i, k - i);
      s0 = hn::MulAdd(x, LoadUpTo(row + i, k - i), s0);
      s1 = hn::MulAdd(x, LoadUpTo(row + b_stride + i, k - i), s1);
      s2 = hn::MulAdd(x, LoadUpTo(row + 2 * b_stride + i, k - i), s2);
      s3 = hn::MulAdd(x, LoadUpTo(row + 3 * b_stride + i, k - i), s3);
    }
    sums[j] = hn::ReduceSum(d, hn::Add(s0, t0));
    sums[j + 1] = hn::ReduceSum(d, hn::Add(s1, t1));
    sums[j + 2] = hn::ReduceSum(d, hn::Add(s2, t2));
    sums[j + 3] = hn::ReduceSum(d, hn::Add(s3, t3));
  }
  for (; j < n; ++j) {
    V sum = hn::Zero(d);
    for (size_t i = 0; i < k; i += lanes) {
      sum = hn::MulAdd(LoadUpTo(a + i, k - i), LoadUpTo(b + j * b_stride + i, k - i), sum);
    }
    sums[j] = hn::ReduceSum(d, sum);
  }
}

/// One row times a B that is not packed: what is read once is not worth being packed first.
void MultiplyOneRowUnpacked(const GemmCall& call, size_t row, size_t panel_begin, size_t panel_end) {
  const size_t nr = Nr();
  const size_t column = panel_begin * nr;
  const size_t columns = std::min(panel_end * nr, call.n) - column;
  const float* a = call.a + row * call.a_stride;
  float* sums = call.c + row * call.c_stride + column;
  if (call.b_transposed) {
    SumColumns(a, call.b + column * call.b_stride, call.b_stride, call.depth, columns, sums);
  } else {
    SumRows(a, call.b + column, call.b_stride, call.depth, columns, sums);
  }
  for (size_t p = panel_begin; p < panel_end; ++p) {
    const GemmStore store(call, row, p * nr, true);
    V left = hn::Zero(D()), right = hn::Zero(D());
    store.Load(0, left, right);
    store(0, left, right);
    store.FinishRows(1);
  }
}

/// Where the rows of a block begin.
RowPointers<float, kMr> PointersOf(const GemmCall& call, size_t row, size_t count) {
  const float* zeros = call.window == nullptr ? nullptr : call.window->zeros;
  return {call.a, call.a_stride, call.window, zeros, row, count};
}

/// Whether rows lie so far apart that those of a block fall into the same few sets of the first-level cache.
bool RowsCollide(const GemmCall& call) {
  const size_t distance = call.window == nullptr ? call.a_stride : call.window->pixel * call.window->stride_w;
  return distance % 256 == 0;
}

/// Copies what a pass reads of a block of rows to one place, and makes the pointers point there.
void Gather(const Pass& pass, size_t rows, float* HWY_RESTRICT to, const float** pointers) {
  constexpr size_t kStride = kDepth + 16;
  for (size_t t = 0; t < pass.taps; ++t, pointers += kMr) {
    for (size_t i = 0; i < rows; ++i) {
      float* row = to + i * kStride + t * pass.depth;
      std::memcpy(row, pointers[i], pass.depth * sizeof(float));
      pointers[i] = row;
    }
  }
}

/// A pass of some rows through some panels.
void RunPass(const GemmCall& call, const Pass& pass, const RowBlocks& blocks, size_t row_begin, size_t panel_begin,
             size_t panel_end) {
  const size_t nr = Nr();
  const bool first = pass.tap == 0 && pass.begin == 0;
  const bool last = pass.tap + pass.taps == call.taps && pass.begin + pass.depth == call.depth;
  const float* b = call.b + (pass.tap * call.depth + pass.begin) * nr;
  const float* pointers[kTaps * kMr];
  const bool gather = panel_end - panel_begin > 1 && RowsCollide(call);
  HWY_ALIGN float gathered[kMr * (kDepth + 16)];
  for (size_t block = 0; block < blocks.count; ++block) {
    const size_t row = row_begin + blocks.begin(block);
    const size_t rows = blocks.size(block);
    PointersOf(call, row, rows).Fill(pass.tap, pass.taps, pass.begin, pointers);
    if (gather) Gather(pass, rows, gathered, pointers);
    for (size_t p = panel_begin; p < panel_end; ++p) {
      const GemmStore store(call, row, p * nr, last);
      const float* panel = b + p * nr * call.k();
      const auto load = [&](size_t i, V& left, V& right) HWY_ATTR {
        if (!first) store.Load(i, left, right);
      };
      WithRows(rows, [&](auto n) HWY_ATTR {
        if (store.wide()) {
          Multiply<decltype(n)::value, true>(pointers, pass.taps, pass.depth, panel, load, store);
        } else {
          Multiply<decltype(n)::value, false>(pointers, pass.taps, pass.depth, panel, load, store);
        }
      });
      store.FinishRows(rows);
    }
  }
}

/// Calls `f(pass)` for the passes that make up the whole depth; once with depth 0 where there is none: the epilogue of
/// a sum of nothing.
template <class F>
void ForEachPass(const GemmCall& call, const F& f) {
  if (call.depth >= kDepth || call.k() == 0) {
    const size_t pieces = std::max<size_t>(1, CeilDiv(call.depth, kDepth));
    for (size_t tap = 0; tap < call.taps; ++tap) {
      for (size_t i = 0; i < pieces; ++i) {
        const size_t begin = call.depth * i / pieces;
        f(Pass{tap, 1, begin, call.depth * (i + 1) / pieces - begin});
      }
    }
    return;
  }
  const size_t taps = std::min(kTaps, kDepth / call.depth);
  for (size_t tap = 0; tap < call.taps; tap += taps) {
    f(Pass{tap, std::min(taps, call.taps - tap), 0, call.depth});
  }
}

void Gemm(const GemmCall& call, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  if (call.b_stride != 0) return MultiplyOneRowUnpacked(call, row_begin, panel_begin, panel_end);
  if (row_end == row_begin + 1 && call.window == nullptr) {
    return MultiplyOneRow(call, row_begin, panel_begin, panel_end);
  }
  const RowBlocks blocks(row_end - row_begin, kMr);
  ForEachPass(call, [&](const Pass& pass) {
    const size_t group = std::max<size_t>(1, kPanelFloats / (Nr() * std::max<size_t>(1, pass.taps * pass.depth)));
    for (size_t p = panel_begin; p < panel_end; p += group) {
      RunPass(call, pass, blocks, row_begin, p, std::min(p + group, panel_end));
    }
  });
}

/// `kPositions` output positions of two vectors of channels, or one.
template <size_t kPositions, class In, class Out>
HWY_INLINE void DepthwiseBlock(const float* const* HWY_RESTRICT rows, size_t taps, size_t channel,
                               const float* HWY_RESTRICT filter, size_t channels, size_t count, const In& in,
                               const Out& out) {
  const D d;
  static_assert(kPositions <= 6);
#define ONNXFORGE_DEPTHWISE(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define ONNXFORGE_START(i) V c##i = in();
  ONNXFORGE_DEPTHWISE(ONNXFORGE_START)
#undef ONNXFORGE_START
  if (count >= hn::Lanes(d)) {
    for (size_t tap = 0; tap < taps; ++tap, rows += kMr, filter += channels) {
      const V w = hn::LoadU(d, filter + channel);
#define ONNXFORGE_STEP(i) \
  if constexpr (kPositions > i) c##i = hn::MulAdd(w, hn::LoadU(d, rows[i] + channel), c##i);
      ONNXFORGE_DEPTHWISE(ONNXFORGE_STEP)
#undef ONNXFORGE_STEP
    }
  } else {
    for (size_t tap = 0; tap < taps; ++tap, rows += kMr, filter += channels) {
      const V w = hn::LoadN(d, filter + channel, count);
#define ONNXFORGE_STEP(i) \
  if constexpr (kPositions > i) c##i = hn::MulAdd(w, hn::LoadN(d, rows[i] + channel, count), c##i);
      ONNXFORGE_DEPTHWISE(ONNXFORGE_STEP)
#undef ONNXFORGE_STEP
    }
  }
#define ONNXFORGE_FINISH(i) \
  if constexpr (kPositions > i) out(i, c##i);
  ONNXFORGE_DEPTHWISE(ONNXFORGE_FINISH)
#undef ONNXFORGE_FINISH
#undef ONNXFORGE_DEPTHWISE
}

/// Up to six positions, all channels. The taps are taken a few at a time, with the sums kept in the output between.
template <size_t kPositions>
void DepthwiseRows(const DepthwiseCall& call, const GemmCall& rows_of, size_t row) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const Epilogue& e = call.epilogue;
  const float* residual = e.residual_last ? nullptr : e.residual;
  const float* pointers[kTaps * kMr];
  float* HWY_RESTRICT output = call.output + row * call.channels;
  const RowPointers<float, kMr> row_pointers = PointersOf(rows_of, row, kPositions);
  for (size_t tap = 0; tap < call.taps; tap += kTaps) {
    const size_t taps = std::min(kTaps, call.taps - tap);
    row_pointers.Fill(tap, taps, 0, pointers);
    const bool last = tap + taps == call.taps;
    for (size_t c = 0; c < call.channels; c += lanes) {
      const size_t count = std::min(lanes, call.channels - c);
      const auto in = [&]() HWY_ATTR {
        return tap != 0 || e.col_bias == nullptr ? hn::Zero(d) : LoadUpTo(e.col_bias + c, count);
      };
      const auto out = [&](size_t i, V v) HWY_ATTR {
        float* to = output + i * call.channels + c;
        if (tap != 0) v = hn::Add(v, LoadUpTo(to, count));
        if (last && residual != nullptr) v = hn::Add(v, LoadUpTo(residual + (row + i) * call.channels + c, count));
        StoreUpTo(last ? Clip(v, e) : v, to, count);
      };
      DepthwiseBlock<kPositions>(pointers, taps, c, call.filter + tap * call.channels, call.channels, count, in, out);
    }
  }
  if (!e.TouchesStored()) return;
  const size_t n = kPositions * call.channels;
  FinishStored(e, output, e.residual == nullptr ? nullptr : e.residual + row * call.channels, n);
}

void Depthwise(const DepthwiseCall& call, size_t row_begin, size_t row_end) {
  GemmCall rows_of;
  rows_of.a = call.input;
  rows_of.window = &call.window;
  constexpr size_t kPositions = 6;
  size_t row = row_begin;
  for (; row + kPositions <= row_end; row += kPositions) DepthwiseRows<kPositions>(call, rows_of, row);
  for (; row < row_end; ++row) DepthwiseRows<1>(call, rows_of, row);
}

// Winograd's F(2 × 2, 3 × 3): four outputs of a 3 × 3 filter from 16 products instead of 36. The 16 planes hold one
// element of the turned tiles each. (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.)

/// Bᵀ · x for four vectors.
HWY_INLINE void TurnInput(V& x0, V& x1, V& x2, V& x3) {
  const V sum = hn::Add(x1, x2);
  const V difference = hn::Sub(x2, x1);
  const V last = hn::Sub(x1, x3);
  x0 = hn::Sub(x0, x2);
  x1 = sum;
  x2 = difference;
  x3 = last;
}

// Filters are turned once, in double where there are vectors of that: rounded once.
#if HWY_HAVE_FLOAT64
using DTurn = hn::Repartition<double, D>;
HWY_INLINE hn::Vec<DTurn> LoadToTurn(const float* from) {
  const DTurn d;
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, DTurn>(), from));
}
HWY_INLINE void StoreTurned(hn::Vec<DTurn> v, float* to) {
  const hn::Rebind<float, DTurn> d;
  hn::StoreU(hn::DemoteTo(d, v), d, to);
}
#else
using DTurn = D;
HWY_INLINE V LoadToTurn(const float* from) { return hn::LoadU(D(), from); }
HWY_INLINE void StoreTurned(V v, float* to) { hn::StoreU(v, D(), to); }
#endif

/// (G · x)₁ and (G · x)₂; the outer two are x₀ and x₂.
HWY_INLINE void TurnFilter(hn::Vec<DTurn> x0, hn::Vec<DTurn> x1, hn::Vec<DTurn> x2, hn::Vec<DTurn>& sum,
                           hn::Vec<DTurn>& difference) {
  const auto half = hn::Set(DTurn(), 0.5);
  sum = hn::Mul(hn::Add(hn::Add(x0, x1), x2), half);
  difference = hn::Mul(hn::Add(hn::Sub(x0, x1), x2), half);
}

/// G · g · Gᵀ of one channel of a panel's columns: nine rows of nr floats to a row of 16 planes.
void WinogradFilter(const float* taps, float* to, size_t plane) {
  const DTurn d;
  using T = hn::TFromD<DTurn>;
  const size_t lanes = hn::Lanes(d);
  const size_t nr = Nr();
  HWY_ALIGN T turned[12 * hn::MaxLanes(d)];
  for (size_t j = 0; j < nr; j += lanes) {
    hn::Vec<DTurn> sum, difference;
    for (size_t x = 0; x < 3; ++x) {
      const auto x0 = LoadToTurn(taps + x * nr + j), x1 = LoadToTurn(taps + (3 + x) * nr + j);
      const auto x2 = LoadToTurn(taps + (6 + x) * nr + j);
      TurnFilter(x0, x1, x2, sum, difference);
      hn::Store(x0, d, turned + x * lanes);
      hn::Store(sum, d, turned + (3 + x) * lanes);
      hn::Store(difference, d, turned + (6 + x) * lanes);
      hn::Store(x2, d, turned + (9 + x) * lanes);
    }
    for (size_t y = 0; y < 4; ++y) {
      const T* row = turned + 3 * y * lanes;
      const auto x0 = hn::Load(d, row), x2 = hn::Load(d, row + 2 * lanes);
      TurnFilter(x0, hn::Load(d, row + lanes), x2, sum, difference);
      float* out = to + 4 * y * plane + j;
      StoreTurned(x0, out);
      StoreTurned(sum, out + plane);
      StoreTurned(difference, out + 2 * plane);
      StoreTurned(x2, out + 3 * plane);
    }
  }
}

/// One tile: 4 × 4 pixels of `channels` to row `to` of 16 planes.
void WinogradInput(const float* const* pixels, size_t channels, float* to, size_t plane) {
  const D d;
  for (size_t c = 0; c < channels; c += hn::Lanes(d)) {
    const size_t count = channels - c;
    HWY_ALIGN float columns[16 * hn::MaxLanes(d)];
    const size_t lanes = hn::Lanes(d);
    for (size_t x = 0; x < 4; ++x) {
      V x0 = LoadUpTo(pixels[x] + c, count), x1 = LoadUpTo(pixels[4 + x] + c, count);
      V x2 = LoadUpTo(pixels[8 + x] + c, count), x3 = LoadUpTo(pixels[12 + x] + c, count);
      TurnInput(x0, x1, x2, x3);
      hn::Store(x0, d, columns + x * lanes);
      hn::Store(x1, d, columns + (4 + x) * lanes);
      hn::Store(x2, d, columns + (8 + x) * lanes);
      hn::Store(x3, d, columns + (12 + x) * lanes);
    }
    for (size_t y = 0; y < 4; ++y) {
      const float* row = columns + 4 * y * lanes;
      V x0 = hn::Load(d, row), x1 = hn::Load(d, row + lanes);
      V x2 = hn::Load(d, row + 2 * lanes), x3 = hn::Load(d, row + 3 * lanes);
      TurnInput(x0, x1, x2, x3);
      float* out = to + 4 * y * plane + c;
      StoreUpTo(x0, out, count);
      StoreUpTo(x1, out + plane, count);
      StoreUpTo(x2, out + 2 * plane, count);
      StoreUpTo(x3, out + 3 * plane, count);
    }
  }
}

/// One tile: row `from` of 16 planes to 2 × 2 output pixels, of which those that are null are not there.
void WinogradOutput(const float* from, size_t plane, const Epilogue& e, float* const* pixels,
                    const float* const* residuals, size_t channels) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  for (size_t c = 0; c < channels; c += lanes) {
    const size_t count = channels - c;
    const V bias = e.col_bias == nullptr ? hn::Zero(d) : LoadUpTo(e.col_bias + c, count);
    HWY_ALIGN float rows[8 * hn::MaxLanes(d)];  // Aᵀ · planes: 2 × 4
    for (size_t x = 0; x < 4; ++x) {
      const float* at = from + x * plane + c;
      const V x1 = LoadUpTo(at + 4 * plane, count), x2 = LoadUpTo(at + 8 * plane, count);
      hn::Store(hn::Add(LoadUpTo(at, count), hn::Add(x1, x2)), d, rows + x * lanes);
      hn::Store(hn::Sub(hn::Sub(x1, x2), LoadUpTo(at + 12 * plane, count)), d, rows + (4 + x) * lanes);
    }
    for (size_t y = 0; y < 2; ++y) {
      const float* row = rows + 4 * y * lanes;
      const V x1 = hn::Load(d, row + lanes), x2 = hn::Load(d, row + 2 * lanes);
      const V left = hn::Add(hn::Load(d, row), hn::Add(x1, x2));
      const V right = hn::Sub(hn::Sub(x1, x2), hn::Load(d, row + 3 * lanes));
      for (size_t x = 0; x < 2; ++x) {
        if (pixels[2 * y + x] == nullptr) continue;
        V v = hn::Add(x == 0 ? left : right, bias);
        if (residuals != nullptr && !e.residual_last) v = hn::Add(v, LoadUpTo(residuals[2 * y + x] + c, count));
        StoreUpTo(Clip(v, e), pixels[2 * y + x] + c, count);
      }
    }
  }
  if (!e.TouchesStored()) return;
  for (size_t i = 0; i < 4; ++i) {
    if (pixels[i] != nullptr) FinishStored(e, pixels[i], residuals == nullptr ? nullptr : residuals[i], channels);
  }
}

const GemmOps* Ops() {
  static const GemmOps ops{Nr(), kMr, PackB, Gemm, Depthwise, WinogradFilter, WinogradInput, WinogradOutput};
  return &ops;
}

#undef ONNXFORGE_ROWS

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace onnxforge::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace onnxforge::simd {

HWY_EXPORT(Ops);

const GemmOps& GemmOpsFor(int64_t target) { return *ONNXFORGE_SIMD_FOR(Ops, target)(); }

}  // namespace onnxforge::simd
#endif
