// TransposeWords() by vectors as wide as the target has them. Included once per target, as Highway's own files are.

#include <cstddef>

#include "simd/transpose.h"

#if defined(ONNXFORGE_SIMD_TRANSPOSE_ROWS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ONNXFORGE_SIMD_TRANSPOSE_ROWS_INL
#undef ONNXFORGE_SIMD_TRANSPOSE_ROWS_INL
#else
#define ONNXFORGE_SIMD_TRANSPOSE_ROWS_INL
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace onnxforge::simd {
namespace HWY_NAMESPACE {
namespace {

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
/// The first four columns of as many rows as a vector has words.
template <typename T>
HWY_INLINE void TransposeFour(const T* HWY_RESTRICT from, size_t stride, T* HWY_RESTRICT to, size_t to_stride) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<T> d;
  const hn::BlockDFromD<decltype(d)> block;
  const hn::Repartition<hwy::MakeWide<T>, decltype(d)> wide;
  // Block b of vector r is row 4 · b + r: what changes places within blocks is then where it belongs.
  const auto load = [&](size_t r) HWY_ATTR {
    auto v = hn::ResizeBitCast(d, hn::LoadU(block, from + r * stride));
    v = hn::InsertBlock<1>(v, hn::LoadU(block, from + (4 + r) * stride));
#if HWY_TARGET <= HWY_AVX3
    v = hn::InsertBlock<2>(v, hn::LoadU(block, from + (8 + r) * stride));
    v = hn::InsertBlock<3>(v, hn::LoadU(block, from + (12 + r) * stride));
#endif
    return v;
  };
  const auto r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
  const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, r0, r1));
  const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, r0, r1));
  const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, r2, r3));
  const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, low01, low23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23)), d, to + to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, high01, high23)), d, to + 2 * to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23)), d, to + 3 * to_stride);
}
#endif

/// to[j · to_stride + i] = from[i · from_stride + j] for float or int32_t.
template <typename T>
void TransposeRows(const T* HWY_RESTRICT from, size_t from_stride, size_t rows, size_t columns, T* HWY_RESTRICT to,
                   size_t to_stride) {
  size_t i = 0;
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  const size_t lanes = hwy::HWY_NAMESPACE::Lanes(hwy::HWY_NAMESPACE::ScalableTag<T>());
  const size_t fours = columns / 4 * 4;
  for (; i + lanes <= rows; i += lanes) {
    const T* first = from + i * from_stride;
    for (size_t j = 0; j < fours; j += 4) TransposeFour(first + j, from_stride, to + j * to_stride + i, to_stride);
    for (size_t j = fours; j < columns; ++j) {
      for (size_t r = 0; r < lanes; ++r) to[j * to_stride + i + r] = first[r * from_stride + j];
    }
  }
#endif
  if (i < rows) TransposeWords(from + i * from_stride, from_stride, rows - i, columns, to + i, to_stride);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace onnxforge::simd
HWY_AFTER_NAMESPACE();

#endif
