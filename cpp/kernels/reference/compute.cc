#include "reference/compute.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace onnxforge::reference {
namespace {

using RealTypes = Join<Join<Numbers, TypeList<bool>>, Join<SmallFloats, SmallIntegers>>;

// What passes between reading one type and writing another, so that n types need n loops and not n².
constexpr int64_t kBlock = 256;

/// To float so that a second rounding to a narrower format gives what one rounding of `value` would: towards zero, with
/// the last bit set where something was lost (round to odd).
float RoundToOdd(double value) {
  const auto nearest = static_cast<float>(value);
  if (std::isnan(value) || static_cast<double>(nearest) == value) return nearest;
  float toward_zero = nearest;
  if (std::abs(static_cast<double>(nearest)) > std::abs(value)) toward_zero = std::nextafter(nearest, 0.0f);
  uint32_t bits;
  std::memcpy(&bits, &toward_zero, sizeof bits);
  bits |= 1;
  std::memcpy(&toward_zero, &bits, sizeof bits);
  return toward_zero;
}

/// Towards zero, modulo 2^64 from the signed range on; what is beyond int64 becomes its least value, as x86-64 does it.
int64_t Truncate(double value) {
  constexpr double kLimit = 9223372036854775808.0;
  return value >= -kLimit && value < kLimit ? static_cast<int64_t>(value) : std::numeric_limits<int64_t>::min();
}

template <typename T>
T IntegerFromReal(double value) {
  if constexpr (std::is_same_v<T, int64_t>) {
    return Truncate(value);
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    constexpr double kLimit = 9223372036854775808.0;
    return value >= kLimit && value < 2 * kLimit ? static_cast<uint64_t>(value - kLimit) + (uint64_t{1} << 63)
                                                 : static_cast<uint64_t>(Truncate(value));
  } else if constexpr (std::is_same_v<T, uint32_t>) {
    return static_cast<uint32_t>(Truncate(value));
  } else {
    // Through 32 bits: out of range is the least int32, of which narrower types take the low bits.
    const int32_t wide = value > -2147483649.0 && value < 2147483648.0 ? static_cast<int32_t>(value)
                                                                       : std::numeric_limits<int32_t>::min();
    return static_cast<T>(wide);
  }
}

template <typename T>
inline constexpr bool kIsSmallInteger =
    std::is_same_v<T, Int4> || std::is_same_v<T, UInt4> || std::is_same_v<T, Int2> || std::is_same_v<T, UInt2>;

/// The formats that may do otherwise than saturate.
template <typename T>
inline constexpr bool kIsFloat8 = std::is_same_v<T, Float8E4M3FN> || std::is_same_v<T, Float8E4M3FNUZ> ||
                                  std::is_same_v<T, Float8E5M2> || std::is_same_v<T, Float8E5M2FNUZ>;

template <typename T>
T FromReal(double value, const ConvertOptions& options) {
  if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else if constexpr (kIsSmallInteger<T>) {
    return T(Truncate(value));
  } else if constexpr (std::is_integral_v<T>) {
    return IntegerFromReal<T>(value);
  } else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    return static_cast<T>(value);
  } else if constexpr (std::is_same_v<T, Float8E8M0>) {
    return T::FromFloat(static_cast<float>(value), options.saturate, options.rounding);
  } else if constexpr (kIsFloat8<T>) {
    return T::FromFloat(RoundToOdd(value), options.saturate);
  } else {
    return T(RoundToOdd(value));
  }
}

template <typename T, typename I>
T FromInteger(I value, const ConvertOptions& options) {
  if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(value);
  } else if constexpr (kIsSmallInteger<T>) {
    return T(static_cast<int64_t>(value));
  } else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    return static_cast<T>(value);
  } else {
    return FromReal<T>(static_cast<double>(value), options);
  }
}

template <typename T>
inline constexpr bool kIsReal = !std::is_integral_v<T> && !kIsSmallInteger<T>;

/// The type in which values of T pass.
template <typename T>
using Staged =
    std::conditional_t<kIsReal<T>, double, std::conditional_t<std::is_same_v<T, uint64_t>, uint64_t, int64_t>>;

template <typename T>
auto Load(T x) {
  // Only the low bits count: arrays from outside may hold anything in the others.
  if constexpr (kIsSmallInteger<T>)
    return static_cast<Wide<T>>(T(static_cast<int64_t>(x)));
  else
    return static_cast<Wide<T>>(x);
}

template <typename S>
void WriteBlock(DType to, const S* staged, void* y, int64_t offset, int64_t n, const ConvertOptions& options) {
  Dispatch<RealTypes>(to, "conversion", [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = static_cast<T*>(y) + offset;
    for (int64_t i = 0; i < n; ++i) {
      if constexpr (std::is_same_v<S, double>) {
        out[i] = FromReal<T>(staged[i], options);
      } else {
        out[i] = FromInteger<T>(staged[i], options);
      }
    }
  });
}

}  // namespace

void ConvertElements(DType from, const void* x, DType to, void* y, int64_t n, const ConvertOptions& options) {
  if (from == to) {
    std::memcpy(y, x, static_cast<size_t>(n) * ElementSize(from));
    return;
  }
  Dispatch<RealTypes>(from, "conversion", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using S = Staged<T>;
    const T* in = static_cast<const T*>(x);
    if constexpr (std::is_integral_v<T>) {
      // What masks and indices become in front of arithmetic: rounded once, as by way of S.
      if (to == DType::kFloat32) {
        float* out = static_cast<float*>(y);
        for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(in[i]);
        return;
      }
    }
    S staged[kBlock];
    for (int64_t begin = 0; begin < n; begin += kBlock) {
      const int64_t count = std::min(kBlock, n - begin);
      for (int64_t i = 0; i < count; ++i) staged[i] = static_cast<S>(Load(in[begin + i]));
      WriteBlock(to, staged, y, begin, count, options);
    }
  });
}

Tensor ConvertedTo(KernelContext& context, const Tensor& t, DType dtype) {
  if (t.dtype() == dtype) return t;
  char* copy = context.Scratch<char>(static_cast<size_t>(t.elements()) * ElementSize(dtype));
  ConvertElements(t.dtype(), t.raw(), dtype, copy, t.elements());
  return Tensor::View(dtype, t.shape(), nullptr, copy);  // scratch memory outlives the kernel's use of the view
}

DType WideDType(DType dtype) { return dtype == DType::kFloat16 || dtype == DType::kBFloat16 ? DType::kFloat32 : dtype; }

void CopyElements(DType dtype, const void* x, int64_t x_offset, void* y, int64_t y_offset, int64_t n) {
  if (dtype == DType::kString) {
    std::copy_n(static_cast<const std::string*>(x) + x_offset, n, static_cast<std::string*>(y) + y_offset);
    return;
  }
  const auto size = static_cast<int64_t>(ElementSize(dtype));
  if (n > 0) {
    std::memcpy(static_cast<char*>(y) + y_offset * size, static_cast<const char*>(x) + x_offset * size,
                static_cast<size_t>(n * size));
  }
}

void FillElements(DType dtype, const void* value, void* y, int64_t y_offset, int64_t n) {
  if (dtype == DType::kString) {
    std::fill_n(static_cast<std::string*>(y) + y_offset, n, *static_cast<const std::string*>(value));
    return;
  }
  // Twice as much each time, then a page at a time: as fast as memory is copied, whatever the size of an element.
  constexpr size_t kPage = 4096;
  const size_t size = ElementSize(dtype);
  char* to = static_cast<char*>(y) + static_cast<size_t>(y_offset) * size;
  const size_t bytes = static_cast<size_t>(n) * size;
  if (bytes != 0) std::memcpy(to, value, size);
  for (size_t done = size; done < bytes;) {
    const size_t part = std::min({done, bytes - done, kPage});
    std::memcpy(to + done, to, part);
    done += part;
  }
}

}  // namespace onnxforge::reference
