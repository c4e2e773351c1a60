#include "simd/byte_rows.h"

#include <algorithm>

// clang-format off: the order matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/byte_rows.cc"
#include "simd/disabled_targets.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "simd/dispatch.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace onnxforge::simd {
namespace HWY_NAMESPACE {
namespace {  // the same names stand for other things in other files

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using DInt = hn::RebindToSigned<D>;
using DByte = hn::Rebind<uint8_t, D>;
using DInt8 = hn::Rebind<int8_t, D>;

HWY_INLINE V Real(const uint8_t* from, size_t count, const ByteGrid& g) {
  const DByte d;
  const auto bytes = count >= hn::Lanes(d) ? hn::LoadU(d, from) : hn::LoadN(d, from, count);
  const auto whole = g.is_signed ? hn::PromoteTo(DInt(), hn::BitCast(DInt8(), bytes)) : hn::PromoteTo(DInt(), bytes);
  return hn::Mul(hn::ConvertTo(D(), hn::Sub(whole, hn::Set(DInt(), g.zero))), hn::Set(D(), g.scale));
}

HWY_INLINE void StoreByte(V x, const ByteGrid& g, size_t count, uint8_t* to) {
  const D d;
  const V quotient = hn::Div(x, hn::Set(d, g.scale));
  // The bounds before the zero point, so that what is out of range becomes an integer nowhere.
  const V lo = hn::Set(d, static_cast<float>(g.lo - g.zero));
  const V hi = hn::Set(d, static_cast<float>(g.hi - g.zero));
  const auto whole = hn::Add(hn::NearestInt(hn::Min(hn::Max(quotient, lo), hi)), hn::Set(DInt(), g.zero));
  const auto kept = hn::IfThenZeroElse(hn::RebindMask(DInt(), hn::IsNaN(quotient)), whole);
  const auto bytes = hn::TruncateTo(DByte(), hn::BitCast(hn::RebindToUnsigned<DInt>(), kept));
  if (count >= hn::Lanes(d)) {
    hn::StoreU(bytes, DByte(), to);
  } else {
    hn::StoreN(bytes, DByte(), to, count);
  }
}

HWY_INLINE V LoadUpTo(const float* from, size_t count) {
  const D d;
  return count >= hn::Lanes(d) ? hn::LoadU(d, from) : hn::LoadN(d, from, count);
}

// The grids are copied before the loops: for all the compiler knows, the bytes that are stored could be what they are
// made of.

void Quantize(const float* x, const ByteGrid& given, size_t n, uint8_t* y) {
  const ByteGrid grid = given;
  for (size_t i = 0; i < n; i += hn::Lanes(D())) StoreByte(LoadUpTo(x + i, n - i), grid, n - i, y + i);
}

void Dequantize(const uint8_t* x, const ByteGrid& grid, size_t n, float* y) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(Real(x + i, lanes, grid), d, y + i);
  if (i < n) hn::StoreN(Real(x + i, n - i, grid), d, y + i, n - i);
}

void AddBytes(const uint8_t* a, const ByteGrid& a_given, const uint8_t* b, const ByteGrid& b_given, size_t n,
              uint8_t* y, const ByteGrid& y_given) {
  const ByteGrid a_grid = a_given;
  const ByteGrid b_grid = b_given;
  const ByteGrid y_grid = y_given;
  for (size_t i = 0; i < n; i += hn::Lanes(D())) {
    StoreByte(hn::Add(Real(a + i, n - i, a_grid), Real(b + i, n - i, b_grid)), y_grid, n - i, y + i);
  }
}

void Range(const float* x, size_t n, float* least, float* greatest) {
  const D d;
  V lo = hn::Set(d, *least);
  V hi = hn::Set(d, *greatest);
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    // What is left over is filled with a number that is in the range already.
    const size_t count = n - i;
    V v = LoadUpTo(x + i, count);
    if (count < hn::Lanes(d)) v = hn::IfThenElse(hn::FirstN(d, count), v, hn::Set(d, *least));
    lo = hn::IfThenElse(hn::Lt(v, lo), v, lo);
    hi = hn::IfThenElse(hn::Gt(v, hi), v, hi);
  }
  *least = hn::ReduceMin(d, lo);
  *greatest = hn::ReduceMax(d, hi);
}

void MaxOf(const uint8_t* const* rows, size_t count, bool is_signed, size_t n, uint8_t* y) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  // As unsigned numbers: those below 0 become the lower half.
  const auto flip = hn::Set(d, static_cast<uint8_t>(is_signed ? 0x80 : 0));
  for (size_t i = 0; i < n; i += lanes) {
    const size_t rest = std::min(lanes, n - i);
    auto best = hn::Zero(d);
    for (size_t r = 0; r < count; ++r) {
      const uint8_t* from = rows[r] + i;
      best = hn::Max(best, hn::Xor(rest == lanes ? hn::LoadU(d, from) : hn::LoadN(d, from, rest), flip));
    }
    hn::StoreN(hn::Xor(best, flip), d, y + i, rest);
  }
}

const ByteRowOps* Ops() {
  static const ByteRowOps ops{Quantize, Dequantize, AddBytes, Range, MaxOf};
  return &ops;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace onnxforge::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace onnxforge::simd {

HWY_EXPORT(Ops);

const ByteRowOps& ByteRowOpsFor(int64_t target) { return *ONNXFORGE_SIMD_FOR(Ops, target)(); }

}  // namespace onnxforge::simd
#endif
