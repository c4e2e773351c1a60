// Products of matrices of bytes, with exact sums. A 32-bit word holds four bytes of a row of A, or of a column of B,
// where the processor adds up four products at once (VNNI, the dot products of ARM), and two int16 everywhere else: the
// products of pairs of bytes that x86 has had for longer saturate.

#include "simd/byte_gemm.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "simd/processor.h"
#include "simd/row_pointers.h"
#include "simd/transpose.h"

// clang-format off: the order matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/byte_gemm.cc"
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

using D = hn::ScalableTag<int32_t>;
using V = hn::Vec<D>;
using DF = hn::ScalableTag<float>;
using D16 = hn::Repartition<int16_t, D>;
using DByte = hn::Repartition<uint8_t, D>;
using DByteOf16 = hn::Rebind<uint8_t, D16>;
using DByteOf32 = hn::Rebind<uint8_t, D>;

// As for float32: kMr rows by two vectors of sums.
#if (HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3) || HWY_ARCH_ARM_V7 || HWY_ARCH_WASM
constexpr size_t kMr = 6;
#else
constexpr size_t kMr = 12;
#endif

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
#define ONNXFORGE_QUADS 1
#define ONNXFORGE_QUADS_ALWAYS 0
#elif HWY_TARGET == HWY_NEON_BF16 || HWY_TARGET_IS_SVE
#define ONNXFORGE_QUADS 1
#define ONNXFORGE_QUADS_ALWAYS 1
#else
#define ONNXFORGE_QUADS 0
#define ONNXFORGE_QUADS_ALWAYS 0
#endif

size_t Nr() { return 2 * hn::Lanes(D()); }

constexpr size_t kVectorWords = hn::MaxLanes(D());
// Words of a row of A that are gathered at a time: kMr rows stay in the first-level cache.
constexpr size_t kPassWords = 512;
// From row to row of what is gathered; whole vectors may be stored at the end of a row.
constexpr size_t kRowWords = kPassWords + kVectorWords;
// Bytes of packed B that stay in the second-level cache while the rows of A go by.
constexpr size_t kPanelBytes = 512 * 1024;
// Columns of sums that are kept at a time.
constexpr size_t kSumColumns = 4 * kVectorWords > 256 ? 4 * kVectorWords : 256;

#if !ONNXFORGE_QUADS_ALWAYS
/// Two products of int16 to a sum.
struct Pairs {
  using T = int16_t;
  static constexpr size_t kGroup = 2;
  static constexpr bool kSignedA = false;

  static HWY_INLINE V MulAdd(V a, V b, V sum) {
    return hn::Add(sum, hn::WidenMulPairwiseAdd(D(), hn::BitCast(D16(), a), hn::BitCast(D16(), b)));
  }
  static V Ones() { return hn::Set(D(), 0x00010001); }

  /// Words that hold these signed bytes at one of their places, and zero at the others.
  static HWY_INLINE V At(hn::Vec<DByteOf32> bytes, size_t place) {
    const V wide = hn::PromoteTo(D(), hn::BitCast(hn::RebindToSigned<DByteOf32>(), bytes));
    return hn::ShiftLeftSame(hn::And(wide, hn::Set(D(), 0xFFFF)), static_cast<int>(16 * place));
  }

  /// Copies and widens numbers of A, or signed ones, as those of B are; may store whole vectors.
  template <class Number = uint8_t>
  static HWY_INLINE void Copy(const uint8_t* HWY_RESTRICT from, size_t count, uint8_t flip, T* HWY_RESTRICT to) {
    const DByteOf16 d;
    const hn::Rebind<Number, D16> number;
    const size_t lanes = hn::Lanes(d);
    const auto bits = hn::Set(d, flip);
    const auto widened = [&](hn::Vec<DByteOf16> bytes)
                             HWY_ATTR { return hn::PromoteTo(D16(), hn::BitCast(number, hn::Xor(bytes, bits))); };
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) hn::StoreU(widened(hn::LoadU(d, from + i)), D16(), to + i);
    if (i < count) hn::StoreU(widened(hn::LoadN(d, from + i, count - i)), D16(), to + i);
  }
};
#endif

#if ONNXFORGE_QUADS
/// Four products of bytes to a sum.
struct Quads {
  using T = uint8_t;
  static constexpr size_t kGroup = 4;
  static constexpr bool kSignedA = !HWY_ARCH_X86;

  static HWY_INLINE V MulAdd(V a, V b, V sum) {
#if HWY_ARCH_X86 && HWY_COMPILER_MSVC
    return V{_mm512_dpbusd_epi32(sum.raw, a.raw, b.raw)};
#elif HWY_ARCH_X86
    // By its name, because Highway has it in a target only that asks for much more than it.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
#else
    const hn::Repartition<int8_t, D> d;
    return hn::SumOfMulQuadAccumulate(D(), hn::BitCast(d, a), hn::BitCast(d, b), sum);
#endif
  }
  static V Ones() { return hn::Set(D(), 0x01010101); }

  static HWY_INLINE V At(hn::Vec<DByteOf32> bytes, size_t place) {
    return hn::ShiftLeftSame(hn::PromoteTo(D(), bytes), static_cast<int>(8 * place));
  }

  template <class Number = uint8_t>
  static HWY_INLINE void Copy(const uint8_t* HWY_RESTRICT from, size_t count, uint8_t flip, T* HWY_RESTRICT to) {
    const DByte d;
    const size_t lanes = hn::Lanes(d);
    const auto bits = hn::Set(d, flip);
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Xor(hn::LoadU(d, from + i), bits), d, to + i);
    if (i < count) hn::StoreU(hn::Xor(hn::LoadN(d, from + i, count - i), bits), d, to + i);
  }
};
#endif

// Sizeless vector types (SVE, RVV) cannot stand in arrays, so the sums are variables and the rows are written out.
#define ONNXFORGE_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/// sums[row][column] (= or +=) A · B for one panel of one vector or two. a: rows kRowWords apart.
template <class Math, size_t kRowCount, bool kWide>
HWY_INLINE void Multiply(const int32_t* HWY_RESTRICT a, size_t words, const int32_t* HWY_RESTRICT b, bool first,
                         int32_t* HWY_RESTRICT sums) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const size_t nr = 2 * lanes;
#define ONNXFORGE_START(i)                                                         \
  V c##i##l = hn::Zero(d), c##i##r = hn::Zero(d);                                  \
  if constexpr (kRowCount > i) {                                                   \
    if (!first) {                                                                  \
      c##i##l = hn::LoadU(d, sums + i * kSumColumns);                              \
      if constexpr (kWide) c##i##r = hn::LoadU(d, sums + i * kSumColumns + lanes); \
    }                                                                              \
  }
  ONNXFORGE_ROWS(ONNXFORGE_START)
#undef ONNXFORGE_START
  for (size_t w = 0; w < words; ++w, b += nr) {
    const V b0 = hn::Load(d, b);
    const V b1 = kWide ? hn::Load(d, b + lanes) : b0;
#define ONNXFORGE_STEP(i)                                        \
  if constexpr (kRowCount > i) {                                 \
    const V x = hn::Set(d, a[i * kRowWords + w]);                \
    c##i##l = Math::MulAdd(x, b0, c##i##l);                      \
    if constexpr (kWide) c##i##r = Math::MulAdd(x, b1, c##i##r); \
  }
    ONNXFORGE_ROWS(ONNXFORGE_STEP)
#undef ONNXFORGE_STEP
  }
#define ONNXFORGE_FINISH(i)                                                      \
  if constexpr (kRowCount > i) {                                                 \
    hn::StoreU(c##i##l, d, sums + i * kSumColumns);                              \
    if constexpr (kWide) hn::StoreU(c##i##r, d, sums + i * kSumColumns + lanes); \
  }
  ONNXFORGE_ROWS(ONNXFORGE_FINISH)
#undef ONNXFORGE_FINISH
}

/// One row times four panels: as many sums in flight as the unit needs, which one row and one panel are not.
template <class Math>
void MultiplyOneRow(const int32_t* HWY_RESTRICT a, size_t words, const int32_t* HWY_RESTRICT b, size_t panel_words,
                    bool first, int32_t* HWY_RESTRICT sums) {
  const D d;
  const size_t lanes = hn::Lanes(d);
#define ONNXFORGE_SUMS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define ONNXFORGE_START(i) V s##i = first ? hn::Zero(d) : hn::LoadU(d, sums + i * lanes);
  ONNXFORGE_SUMS(ONNXFORGE_START)
#undef ONNXFORGE_START
  for (size_t w = 0; w < words; ++w, b += 2 * lanes) {
    const V x = hn::Set(d, a[w]);
#define ONNXFORGE_STEP(i) s##i = Math::MulAdd(x, hn::Load(d, b + i / 2 * panel_words + i % 2 * lanes), s##i);
    ONNXFORGE_SUMS(ONNXFORGE_STEP)
#undef ONNXFORGE_STEP
  }
#define ONNXFORGE_FINISH(i) hn::StoreU(s##i, d, sums + i * lanes);
  ONNXFORGE_SUMS(ONNXFORGE_FINISH)
#undef ONNXFORGE_FINISH
#undef ONNXFORGE_SUMS
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
#undef ONNXFORGE_ROWS

/// The sum of the numbers that words of B hold.
template <class Math>
int32_t SumOfWords(const int32_t* from, size_t words) {
  const D d;
  V sum = hn::Zero(d);
  for (size_t w = 0; w < words; w += hn::Lanes(d)) {
    sum = Math::MulAdd(Math::Ones(), hn::LoadN(d, from + w, words - w), sum);
  }
  return hn::ReduceSum(d, sum);
}

/// One column, its elements in order; may write a vector more than its `words`. `swapped`: room for its bytes.
template <class Math>
void OrderColumn(const ByteMatrix& b, const uint8_t* column, size_t words, uint8_t* swapped, int32_t* ordered) {
  using T = typename Math::T;
  T* to = reinterpret_cast<T*>(ordered);
  if (b.taps > 1 && b.tap_stride == 1 && b.depth_stride == b.taps) {  // a filter
    TransposeBytes(column, b.depth, b.taps, swapped);
    Math::template Copy<int8_t>(swapped, b.taps * b.depth, b.flip, to);
    std::fill(to + b.taps * b.depth, reinterpret_cast<T*>(ordered + words), T{0});
    return;
  }
  for (size_t tap = 0; tap < b.taps; ++tap, to += b.depth) {
    const uint8_t* from = column + tap * b.tap_stride;
    if (b.depth_stride == 1) {
      Math::template Copy<int8_t>(from, b.depth, b.flip, to);
      continue;
    }
    for (size_t i = 0; i < b.depth; ++i) {
      to[i] = static_cast<T>(static_cast<int8_t>(from[i * b.depth_stride] ^ b.flip));
    }
  }
  std::fill(to, reinterpret_cast<T*>(ordered + words), T{0});
}

/// Panel `p` where the elements of a row do not lie next to each other, as in filters: a few columns are put in order,
/// then turned word by word.
template <class Math>
void PackColumns(const ByteMatrix& b, size_t p, size_t words, int32_t* panel, int32_t* sums) {
  constexpr size_t kColumns = 16;
  const size_t nr = Nr();
  const size_t columns = std::min(nr, b.columns - p * nr);
  if (columns < nr) std::memset(panel, 0, nr * words * sizeof(int32_t));
  std::vector<int32_t> ordered(kColumns * words + kVectorWords);
  std::vector<uint8_t> swapped(b.taps * b.depth);
  for (size_t begin = 0; begin < columns; begin += kColumns) {
    const size_t count = std::min(kColumns, columns - begin);
    for (size_t j = 0; j < count; ++j) {
      int32_t* column = ordered.data() + j * words;
      OrderColumn<Math>(b, b.data + (p * nr + begin + j) * b.column_stride, words, swapped.data(), column);
      sums[begin + j] = SumOfWords<Math>(column, words);
    }
    constexpr size_t kWords = 64;
    for (size_t w = 0; w < words; w += kWords) {
      TransposeRows(ordered.data() + w, words, count, std::min(kWords, words - w), panel + w * nr + begin, nr);
    }
  }
}

/// Panel `p` where the elements of a row lie next to each other, as in the right-hand side of a MatMul: the rows that
/// share a word are laid into it together.
template <class Math>
void PackRows(const ByteMatrix& b, size_t p, size_t words, int32_t* panel, int32_t* sums) {
  const D d;
  const DByteOf32 d8;
  const size_t lanes = hn::Lanes(d);
  const size_t columns = std::min(Nr(), b.columns - p * Nr());
  const auto flip = hn::Set(d8, b.flip);
  const uint8_t* first = b.data + p * Nr();
  size_t tap = 0, i = 0;
  V left_sums = hn::Zero(d);
  V right_sums = hn::Zero(d);
  for (size_t w = 0; w < words; ++w, panel += 2 * lanes) {
    V left = hn::Zero(d);
    V right = hn::Zero(d);
    for (size_t place = 0; place < Math::kGroup && tap < b.taps; ++place) {
      const uint8_t* from = first + tap * b.tap_stride + i * b.depth_stride;
      left = hn::Or(left, Math::At(hn::Xor(hn::LoadNOr(flip, d8, from, columns), flip), place));
      if (columns > lanes) {
        const auto bytes = hn::LoadNOr(flip, d8, from + lanes, columns - lanes);
        right = hn::Or(right, Math::At(hn::Xor(bytes, flip), place));
      }
      if (++i == b.depth) ++tap, i = 0;
    }
    hn::Store(left, d, panel);
    hn::Store(right, d, panel + lanes);
    left_sums = Math::MulAdd(Math::Ones(), left, left_sums);
    right_sums = Math::MulAdd(Math::Ones(), right, right_sums);
  }
  hn::StoreU(left_sums, d, sums);
  hn::StoreU(right_sums, d, sums + lanes);
}

template <class Math>
void PackB(const ByteMatrix& b, size_t panel_begin, size_t panel_end, void* packed, int32_t* column_sums) {
  const size_t nr = Nr();
  const size_t words = CeilDiv(b.taps * b.depth, Math::kGroup);
  for (size_t p = panel_begin; p < panel_end; ++p) {
    int32_t* panel = static_cast<int32_t*>(packed) + p * nr * words;
    int32_t* sums = column_sums + p * nr;
    std::fill_n(sums, nr, 0);
    if (b.column_stride == 1) {
      PackRows<Math>(b, p, words, panel, sums);
    } else {
      PackColumns<Math>(b, p, words, panel, sums);
    }
  }
}

/// Rows of A, a part of their depth at a time, in one place.
template <class Math>
class Gathered {
 public:
  using T = typename Math::T;

  Gathered(const ByteGemmCall& call, size_t row, size_t rows)
      : call_(call), rows_(rows), pointers_(call.a, call.a_stride, call.window, call.outside, row, rows) {
    std::fill_n(row_sums_, kMr, 0);
  }

  const int32_t* words() const { return words_; }
  int32_t row_sum(size_t i) const { return row_sums_[i]; }

  /// Elements [begin, end) of the rows.
  HWY_INLINE void Load(size_t begin, size_t end) {
    if (begin == end) return;
    auto* to = reinterpret_cast<T*>(words_);
    TapCursor tap(call_.window, begin / call_.depth);
    size_t from = begin % call_.depth;
    for (size_t k = begin; k < end; tap.Next(), from = 0) {
      const size_t count = std::min(call_.depth - from, end - k);
      for (size_t i = 0; i < rows_; ++i) {
        Math::Copy(pointers_.At(tap, i) + from, count, call_.flip, to + i * kRowWords * Math::kGroup + (k - begin));
      }
      k += count;
    }
    const size_t length = end - begin;
    const size_t words = CeilDiv(length, Math::kGroup);
    for (size_t i = 0; i < rows_; ++i) {
      T* row = to + i * kRowWords * Math::kGroup;
      std::memset(row + length, 0, (words * Math::kGroup - length) * sizeof(T));
      if (call_.result.b_zeros != nullptr) row_sums_[i] += SumOf(words_ + i * kRowWords, words);
    }
  }

 private:
  static int32_t SumOf(const int32_t* row, size_t words) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    V sum = hn::Zero(d);
    for (size_t w = 0; w < words; w += lanes) {
      sum = Math::MulAdd(hn::LoadN(d, row + w, std::min(lanes, words - w)), Math::Ones(), sum);
    }
    return hn::ReduceSum(d, sum);
  }

  const ByteGemmCall& call_;
  size_t rows_;
  RowPointers<uint8_t, kMr> pointers_;
  int32_t row_sums_[kMr];
  HWY_ALIGN int32_t words_[kMr * kRowWords];
};

HWY_INLINE hn::Vec<DF> LoadFloats(const float* from) { return hn::LoadU(DF(), from); }

/// What a vector of sums becomes where scales are finite, so that nothing is NaN: numbers this small are rounded,
/// halves to even, by adding 1.5 · 2²³, and then lie in the low bits.
struct RoundFinite {
  static constexpr float kAway = 12582912.0f;
  static constexpr int32_t kAwayBits = 0x4B400000;

  V operator()(hn::Vec<DF> clipped, hn::Vec<DF>, V zero) const {
    const D d;
    const V rounded = hn::BitCast(d, hn::Add(clipped, hn::Set(DF(), kAway)));
    return hn::Add(rounded, hn::Sub(zero, hn::Set(d, kAwayBits)));
  }
};

/// The same where `value` may be NaN, which becomes 0.
struct RoundAny {
  V operator()(hn::Vec<DF> clipped, hn::Vec<DF> value, V zero) const {
    const V whole = hn::Add(hn::NearestInt(clipped), zero);
    return hn::IfThenZeroElse(hn::RebindMask(D(), hn::IsNaN(value)), whole);
  }
};

/// A vector of columns of some rows, of which `count` are stored as bytes.
template <class Round>
HWY_INLINE void FinishByteColumns(const ByteResult& r, size_t rows, size_t column, size_t count, const int32_t* centres,
                                  const int32_t* HWY_RESTRICT sums, uint8_t* HWY_RESTRICT to) {
  const D d;
  const DF df;
  const DByteOf32 bytes;
  // The bounds before the zero point, so that what is out of range becomes an integer nowhere.
  const auto lo = hn::Set(df, static_cast<float>(r.lo - r.zero));
  const auto hi = hn::Set(df, static_cast<float>(r.hi - r.zero));
  const V zero = hn::Set(d, r.zero);
  const V base = hn::LoadU(d, r.base + column);
  const V b_zeros = r.b_zeros == nullptr ? hn::Zero(d) : hn::LoadU(d, r.b_zeros + column);
  const auto scales = hn::LoadU(df, r.scales + column);
  const bool centred = r.b_zeros != nullptr;
  const size_t stride = r.stride;
  const bool whole = count >= hn::Lanes(d);
  for (size_t i = 0; i < rows; ++i, sums += kSumColumns, to += stride) {
    V v = hn::Add(hn::LoadU(d, sums), base);
    if (centred) v = hn::Sub(v, hn::Mul(hn::Set(d, centres[i]), b_zeros));
    const auto value = hn::Mul(hn::ConvertTo(df, v), scales);
    const V rounded = Round()(hn::Min(hn::Max(value, lo), hi), value, zero);
    const auto low = hn::TruncateTo(bytes, hn::BitCast(hn::RebindToUnsigned<D>(), rounded));
    if (whole) {
      hn::StoreU(low, bytes, to);
    } else {
      hn::StoreN(low, bytes, to, count);
    }
  }
}

/// Rows of sums as bytes.
void FinishBytes(const ByteResult& r, size_t row, size_t rows, size_t column, size_t count, const int32_t* centres,
                 const int32_t* sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  uint8_t* to = static_cast<uint8_t*>(r.c) + row * r.stride + column;
  for (size_t j = 0; j < count; j += lanes) {
    if (hn::AllTrue(df, hn::IsFinite(hn::LoadU(df, r.scales + column + j)))) {
      FinishByteColumns<RoundFinite>(r, rows, column + j, count - j, centres, sums + j, to + j);
    } else {
      FinishByteColumns<RoundAny>(r, rows, column + j, count - j, centres, sums + j, to + j);
    }
  }
}

HWY_INLINE void StoreFloats(const ByteResult& r, V sums, size_t column, size_t count, float* to) {
  const DF df;
  auto value = hn::Mul(hn::ConvertTo(df, sums), LoadFloats(r.scales + column));
  if (r.bias != nullptr) value = hn::Add(value, LoadFloats(r.bias + column));
  value = hn::Min(hn::Set(df, r.most), hn::Max(hn::Set(df, r.least), value));  // this order keeps a NaN
  if (count >= hn::Lanes(df)) {
    hn::StoreU(value, df, to);
  } else {
    hn::StoreN(value, df, to, count);
  }
}

HWY_INLINE void StoreSums(V sums, size_t count, int32_t* to) {
  const D d;
  if (count >= hn::Lanes(d)) {
    hn::StoreU(sums, d, to);
  } else {
    hn::StoreN(sums, d, to, count);
  }
}

/// `count` columns of one row from `column` on, as int32 or float32.
void FinishWideRow(const ByteResult& r, size_t row, size_t column, size_t count, int32_t centre, const int32_t* sums) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const size_t at = row * r.stride + column;
  for (size_t j = 0; j < count; j += lanes) {
    V v = hn::Add(hn::LoadU(d, sums + j), hn::LoadU(d, r.base + column + j));
    if (r.b_zeros != nullptr) {
      v = hn::Sub(v, hn::Mul(hn::Set(d, centre), hn::LoadU(d, r.b_zeros + column + j)));
    }
    if (r.kind == ByteResult::Kind::kFloat32) {
      StoreFloats(r, v, column + j, count - j, static_cast<float*>(r.c) + at + j);
    } else {
      StoreSums(v, count - j, static_cast<int32_t*>(r.c) + at + j);
    }
  }
  if (r.kind != ByteResult::Kind::kFloat32 || !r.activation) return;
  float* stored = static_cast<float*>(r.c) + at;
  r.activation(stored, stored, count);
}

/// `count` columns from `column` on of rows whose sums lie kSumColumns apart; `centres` are what the zero points of B
/// are multiplied with. Sums may be read up to a whole vector.
void FinishRows(const ByteResult& r, size_t row, size_t rows, size_t column, size_t count, const int32_t* centres,
                const int32_t* sums) {
  if (r.kind == ByteResult::Kind::kByte) return FinishBytes(r, row, rows, column, count, centres, sums);
  for (size_t i = 0; i < rows; ++i) {
    FinishWideRow(r, row + i, column, count, centres[i], sums + i * kSumColumns);
  }
}

/// Panels [panel_begin, panel_end) times what was gathered.
template <class Math>
HWY_INLINE void MultiplyPanels(const int32_t* a, size_t rows, size_t words, const int32_t* b, size_t panel_words,
                               size_t panels, size_t columns, bool first, int32_t* sums) {
  const size_t nr = Nr();
  size_t p = 0;
  if (rows == 1) {
    for (; p + 4 <= panels; p += 4)
      MultiplyOneRow<Math>(a, words, b + p * panel_words, panel_words, first, sums + p * nr);
  }
  for (; p < panels; ++p) {
    const bool wide = columns - p * nr > nr / 2;
    WithRows(rows, [&](auto n) HWY_ATTR {
      if (wide) {
        Multiply<Math, decltype(n)::value, true>(a, words, b + p * panel_words, first, sums + p * nr);
      } else {
        Multiply<Math, decltype(n)::value, false>(a, words, b + p * panel_words, first, sums + p * nr);
      }
    });
  }
}

/// Some rows in panels that have room among the sums.
template <class Math>
void RunBlock(const ByteGemmCall& call, size_t row, size_t rows, size_t panel, size_t panels) {
  const size_t nr = Nr();
  const size_t panel_words = CeilDiv(call.k(), Math::kGroup) * nr;
  const int32_t* b = static_cast<const int32_t*>(call.b) + panel * panel_words;
  const size_t columns = std::min(call.n - panel * nr, panels * nr);
  HWY_ALIGN int32_t sums[kMr * kSumColumns];
  Gathered<Math> a(call, row, rows);
  constexpr size_t kPass = kPassWords * Math::kGroup;
  for (size_t begin = 0; begin == 0 || begin < call.k(); begin += kPass) {
    const size_t end = std::min(begin + kPass, call.k());
    a.Load(begin, end);
    MultiplyPanels<Math>(a.words(), rows, CeilDiv(end - begin, Math::kGroup), b + begin / Math::kGroup * nr,
                         panel_words, panels, columns, begin == 0, sums);
  }
  const auto depth_zero = static_cast<uint32_t>(call.k()) * static_cast<uint32_t>(call.result.a_zero);
  int32_t centres[kMr];
  for (size_t i = 0; i < rows; ++i) {
    centres[i] = static_cast<int32_t>(static_cast<uint32_t>(a.row_sum(i)) - depth_zero);
  }
  FinishRows(call.result, row, rows, panel * nr, columns, centres, sums);
}

template <class Math>
void Gemm(const ByteGemmCall& call, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  const RowBlocks blocks(row_end - row_begin, kMr);
  const size_t panel_bytes = std::max<size_t>(1, CeilDiv(call.k(), Math::kGroup)) * Nr() * sizeof(int32_t);
  const size_t group = std::min(kSumColumns / Nr(), std::max<size_t>(1, kPanelBytes / panel_bytes));
  for (size_t p = panel_begin; p < panel_end; p += group) {
    for (size_t block = 0; block < blocks.count; ++block) {
      RunBlock<Math>(call, row_begin + blocks.begin(block), blocks.size(block), p, std::min(group, panel_end - p));
    }
  }
}

/// Two taps of `count` channels as words.
HWY_INLINE V LoadPair(const uint8_t* first, const uint8_t* second, size_t count) {
  const DByteOf32 d;
  const auto load = [&](const uint8_t* from) HWY_ATTR {
    return hn::PromoteTo(D(), count >= hn::Lanes(d) ? hn::LoadU(d, from) : hn::LoadN(d, from, count));
  };
  return hn::Or(load(first), hn::ShiftLeft<16>(load(second)));
}

/// Output positions by pairs of taps: int16 has room for them whatever the zero points.
class DepthwiseRows {
 public:
  explicit DepthwiseRows(const ByteDepthwiseCall& call)
      : call_(call), padded_(CeilDiv(call.channels, hn::Lanes(D())) * hn::Lanes(D())) {
    if (call.taps > kTaps) return;
    const WindowRows& w = call.window;
    TapCursor at(&w, 0);
    for (size_t t = 0; t < call.taps; ++t, at.Next()) {
      offsets_[t] = (static_cast<size_t>(at.down) * w.width + static_cast<size_t>(at.right)) * w.pixel;
      reach_down_ = static_cast<size_t>(at.down);
      reach_right_ = std::max(reach_right_, static_cast<size_t>(at.right));
    }
  }

  void Run(size_t row_begin, size_t row_end) {
    const WindowRows& w = call_.window;
    size_t x = row_begin % w.out_w;
    size_t y = row_begin / w.out_w % w.out_h;
    const uint8_t* image = call_.input + row_begin / w.out_w / w.out_h * w.height * w.width * w.pixel;
    for (size_t row = row_begin; row < row_end;) {
      image_ = image;
      top_ = static_cast<ptrdiff_t>(y * w.stride_h) - static_cast<ptrdiff_t>(w.pad_top);
      left_ = static_cast<ptrdiff_t>(x * w.stride_w) - static_cast<ptrdiff_t>(w.pad_left);
      const size_t left_over = std::min(w.out_w - x, row_end - row);
      const size_t positions = call_.taps <= kTaps && left_over >= kPositions && IsInside(kPositions) ? kPositions : 1;
      positions == 1 ? RunRow(row) : RunPositions(row);
      row += positions;
      x += positions;
      if (x < w.out_w) continue;
      x = 0;
      if (++y < w.out_h) continue;
      y = 0;
      image += w.height * w.width * w.pixel;
    }
  }

 private:
  // Taps whose pointers are kept at a time; a multiple of two.
  static constexpr size_t kTaps = 32;
  // Neighbours that are computed together where all of their taps lie in the image.
  static constexpr size_t kPositions = 4;

  void RunRow(size_t row) {
    for (size_t c = 0; c < call_.channels; c += kSumColumns) {
      const size_t count = std::min(kSumColumns, call_.channels - c);
      for (size_t tap = 0; tap < call_.taps; tap += kTaps) {
        const size_t taps = std::min(kTaps, call_.taps - tap);
        if (c == 0 || call_.taps > kTaps) FindTaps(tap, taps);
        AddTaps(CeilDiv(taps, 2), c, count, call_.filter + tap * padded_ + 2 * c, tap == 0);
      }
      FinishRows(call_.result, row, 1, c, count, kNoCentres, sums_);
    }
  }

  void RunPositions(size_t row) {
    FindTaps(0, call_.taps);
    const size_t pairs = CeilDiv(call_.taps, 2);
    for (size_t c = 0; c < call_.channels; c += kSumColumns) {
      const size_t count = std::min(kSumColumns, call_.channels - c);
      if (call_.flip == 0) {
        AddTapsOfPositions<false>(pairs, c, count, call_.filter + 2 * c);
      } else {
        AddTapsOfPositions<true>(pairs, c, count, call_.filter + 2 * c);
      }
      FinishRows(call_.result, row, kPositions, c, count, kNoCentres, sums_);
    }
  }

  /// Whether all taps of this position and the next ones in its row lie in the image; asked only where there are few
  /// enough of them. Below 0 is beyond every extent, too.
  bool IsInside(size_t positions) const {
    const WindowRows& w = call_.window;
    const auto y = static_cast<size_t>(top_);
    const auto x = static_cast<size_t>(left_);
    const size_t last = x + (positions - 1) * w.stride_w;
    return y < w.height && x < w.width && y + reach_down_ < w.height && last + reach_right_ < w.width;
  }

  /// Where taps [tap, tap + taps) of this position lie.
  void FindTaps(size_t tap, size_t taps) {
    const WindowRows& w = call_.window;
    if (call_.taps <= kTaps && IsInside(1)) {
      const uint8_t* corner = image_ + (static_cast<size_t>(top_) * w.width + static_cast<size_t>(left_)) * w.pixel;
      for (size_t t = 0; t < taps; ++t) taps_[t] = corner + offsets_[t];
      if (taps % 2 != 0) taps_[taps] = corner;
      return;
    }
    TapCursor at(&w, tap);
    for (size_t t = 0; t < taps; ++t, at.Next()) {
      const ptrdiff_t y = top_ + at.down;
      const ptrdiff_t x = left_ + at.right;
      const bool inside = static_cast<size_t>(y) < w.height && static_cast<size_t>(x) < w.width;
      taps_[t] =
          inside ? image_ + (static_cast<size_t>(y) * w.width + static_cast<size_t>(x)) * w.pixel : call_.outside;
    }
    // The filter has zeros for the tap that an odd number lacks.
    if (taps % 2 != 0) taps_[taps] = taps_[0];
  }

  /// The sums of kPositions positions, kSumColumns apart. `flip`: whether there are bits to flip.
  template <bool kFlip>
  HWY_INLINE void AddTapsOfPositions(size_t pairs, size_t channel, size_t count, const int16_t* HWY_RESTRICT filter) {
    const D d;
    const V flip = hn::Set(d, call_.flip * 0x00010001);
    const size_t lanes = hn::Lanes(d);
    const size_t step = call_.window.stride_w * call_.window.pixel;
    const size_t stride = 2 * padded_;
    const auto add = [&](size_t c, size_t some) HWY_ATTR {
      V s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
      const uint8_t* const* from = taps_;
      const int16_t* weights = filter + 2 * c;
      for (size_t pair = 0; pair < pairs; ++pair, from += 2, weights += stride) {
        const uint8_t* one = from[0] + channel + c;
        const uint8_t* other = from[1] + channel + c;
        const auto weight = hn::LoadU(D16(), weights);
        const auto product = [&](size_t i) HWY_ATTR {
          V x = LoadPair(one + i * step, other + i * step, some);
          if constexpr (kFlip) x = hn::Xor(x, flip);
          return hn::WidenMulPairwiseAdd(d, hn::BitCast(D16(), x), weight);
        };
        s0 = hn::Add(s0, product(0));
        s1 = hn::Add(s1, product(1));
        s2 = hn::Add(s2, product(2));
        s3 = hn::Add(s3, product(3));
      }
      static_assert(kPositions == 4);
      int32_t* to = sums_ + c;
      hn::StoreU(s0, d, to);
      hn::StoreU(s1, d, to + kSumColumns);
      hn::StoreU(s2, d, to + 2 * kSumColumns);
      hn::StoreU(s3, d, to + 3 * kSumColumns);
    };
    size_t c = 0;
    for (; c + lanes <= count; c += lanes) add(c, lanes);
    if (c < count) add(c, count - c);
  }

  HWY_INLINE void AddTaps(size_t pairs, size_t channel, size_t count, const int16_t* HWY_RESTRICT filter, bool first) {
    const D d;
    const V flip = hn::Set(d, call_.flip * 0x00010001);
    const size_t stride = 2 * padded_;
    int32_t* HWY_RESTRICT sums = sums_;
    const size_t lanes = hn::Lanes(d);
    size_t c = 0;
    for (; c + 2 * lanes <= count; c += 2 * lanes) {
      V left = first ? hn::Zero(d) : hn::LoadU(d, sums + c);
      V right = first ? hn::Zero(d) : hn::LoadU(d, sums + c + lanes);
      const size_t at = channel + c;
      const uint8_t* const* from = taps_;
      const int16_t* weights = filter + 2 * c;
      for (size_t pair = 0; pair < pairs; ++pair, from += 2, weights += stride) {
        const uint8_t* one = from[0] + at;
        const uint8_t* other = from[1] + at;
        const V x = hn::Xor(LoadPair(one, other, lanes), flip);
        const V y = hn::Xor(LoadPair(one + lanes, other + lanes, lanes), flip);
        left = hn::Add(left, hn::WidenMulPairwiseAdd(d, hn::BitCast(D16(), x), hn::LoadU(D16(), weights)));
        right =
            hn::Add(right, hn::WidenMulPairwiseAdd(d, hn::BitCast(D16(), y), hn::LoadU(D16(), weights + 2 * lanes)));
      }
      hn::StoreU(left, d, sums + c);
      hn::StoreU(right, d, sums + c + lanes);
    }
    for (; c < count; c += lanes) {
      V sum = first ? hn::Zero(d) : hn::LoadU(d, sums + c);
      const size_t at = channel + c;
      const uint8_t* const* from = taps_;
      const int16_t* weights = filter + 2 * c;
      for (size_t pair = 0; pair < pairs; ++pair, from += 2, weights += stride) {
        const V x = hn::Xor(LoadPair(from[0] + at, from[1] + at, count - c), flip);
        sum = hn::Add(sum, hn::WidenMulPairwiseAdd(d, hn::BitCast(D16(), x), hn::LoadU(D16(), weights)));
      }
      hn::StoreU(sum, d, sums + c);
    }
  }

  const ByteDepthwiseCall& call_;
  size_t padded_;
  const uint8_t* image_ = nullptr;
  ptrdiff_t top_ = 0;
  ptrdiff_t left_ = 0;
  size_t offsets_[kTaps] = {};  // of the taps from the first one, where these are all
  size_t reach_down_ = 0;
  size_t reach_right_ = 0;
  const uint8_t* taps_[kTaps];
  static constexpr int32_t kNoCentres[kPositions] = {};
  HWY_ALIGN int32_t sums_[kPositions * kSumColumns];
};

void Depthwise(const ByteDepthwiseCall& call, size_t row_begin, size_t row_end) {
  DepthwiseRows(call).Run(row_begin, row_end);
}

template <class Math>
ByteGemmOps OpsOf() {
  return {Nr(), kMr, Math::kGroup, Math::kSignedA, hn::Lanes(D()), PackB<Math>, Gemm<Math>, Depthwise};
}

const ByteGemmOps* Ops([[maybe_unused]] bool dot_products) {
#if ONNXFORGE_QUADS
  static const ByteGemmOps quads = OpsOf<Quads>();
  if (dot_products || ONNXFORGE_QUADS_ALWAYS) return &quads;
#endif
#if !ONNXFORGE_QUADS_ALWAYS
  static const ByteGemmOps pairs = OpsOf<Pairs>();
  return &pairs;
#else
  return &quads;
#endif
}

#undef ONNXFORGE_QUADS
#undef ONNXFORGE_QUADS_ALWAYS

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace onnxforge::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace onnxforge::simd {

HWY_EXPORT(Ops);

const ByteGemmOps& ByteGemmOpsFor(int64_t target, bool dot_products) {
  return *ONNXFORGE_SIMD_FOR(Ops, target)(dot_products && HasVnni());
}

}  // namespace onnxforge::simd
#endif
