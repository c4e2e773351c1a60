#include "simd/byte_product.h"

#include <algorithm>
#include <utility>

#include "simd/tasks.h"

namespace onnxforge::simd {
namespace {

constexpr uint8_t kSignBit = 0x80;

/// `to[matrix][column]`, at(i) being element `i` of a parameter that has `elements`.
template <typename T, typename At>
void Spread(size_t elements, size_t count, size_t n, size_t padded, T* to, const At& at) {
  const size_t column = elements == 1 ? 0 : 1;
  const size_t matrix = elements == count * n ? n * column : 0;
  for (size_t i = 0; i < count; ++i, to += padded) {
    for (size_t j = 0; j < n; ++j) to[j] = at(i * matrix + j * column);
    std::fill(to + n, to + padded, T{0});
  }
}

size_t Count(const Tensor& t) { return static_cast<size_t>(t.elements()); }

}  // namespace

int32_t ByteAt(const Tensor& t, int64_t i) {
  const uint8_t byte = BytesOf(t)[i];
  return t.dtype() == DType::kInt8 ? static_cast<int8_t>(byte) : byte;
}

LeftBytes::LeftBytes(const Tensor& a, const Tensor* zero_point, bool signed_a)
    : data(BytesOf(a)), flip((a.dtype() == DType::kInt8) == signed_a ? 0 : kSignBit) {
  if (zero_point != nullptr) outside = BytesOf(*zero_point)[0];
  const auto byte = static_cast<uint8_t>(outside ^ flip);
  zero = signed_a ? static_cast<int8_t>(byte) : byte;
}

size_t PackedBytes::Bytes(const ByteGemmOps& ops, size_t k, size_t n, size_t count) {
  return count * (ops.packed_bytes(k, n) + ops.padded(n) * sizeof(int32_t));
}

PackedBytes PackedBytes::Pack(const ByteGemmOps& ops, ByteMatrix first, size_t distance, size_t count, bool is_unsigned,
                              void* memory, ThreadPool& threads) {
  PackedBytes b;
  b.k = first.taps * first.depth;
  b.n = first.columns;
  b.padded = ops.padded(b.n);
  b.count = count;
  b.matrix_bytes = ops.packed_bytes(b.k, b.n);
  b.was_unsigned = is_unsigned;
  auto* packed = static_cast<char*>(memory);
  auto* sums = reinterpret_cast<int32_t*>(packed + count * b.matrix_bytes);
  b.packed = packed;
  b.column_sums = sums;
  first.flip = is_unsigned ? kSignBit : 0;
  const size_t panels = CeilDiv(b.n, ops.nr);
  const auto grain = static_cast<int64_t>(std::max(1.0, kMinTaskWork / (1.0 + static_cast<double>(b.k * ops.nr))));
  threads.ParallelFor(static_cast<int64_t>(count * panels), grain, [&](int64_t begin, int64_t end) {
    for (auto at = static_cast<size_t>(begin); at < static_cast<size_t>(end); ++at) {
      const size_t matrix = at / panels;
      ByteMatrix source = first;
      source.data += matrix * distance;
      ops.pack_b(source, at % panels, at % panels + 1, packed + matrix * b.matrix_bytes, sums + matrix * b.padded);
    }
  });
  return b;
}

PackedBytes PackedBytes::PackAhead(const NodeSpec& node, const ByteGemmOps& ops, const ByteMatrix& first,
                                   size_t distance, size_t count, bool is_unsigned) {
  Storage storage = node.AllocateWeights(Bytes(ops, first.taps * first.depth, first.columns, count));
  ThreadPool serial(1);
  PackedBytes b = Pack(ops, first, distance, count, is_unsigned, storage.get(), serial);
  b.storage = std::move(storage);
  return b;
}

ByteTerms::ByteTerms(KernelContext& context, const PackedBytes& b, const LeftBytes& a, const Tensor* bias,
                     const Tensor* b_zero)
    : n_(b.n), padded_(b.padded), count_(b.count), a_zero_(a.zero) {
  auto* base = context.Scratch<int32_t>(count_ * padded_);
  base_ = base;
  if (bias == nullptr) {
    std::fill_n(base, count_ * padded_, 0);
  } else {
    const int32_t* added = bias->data<int32_t>();
    Spread(Count(*bias), count_, n_, padded_, base, [&](size_t i) { return added[i]; });
  }
  const auto zero = static_cast<uint32_t>(a.zero);
  for (size_t j = 0; j < count_ * padded_; ++j) {
    base[j] = static_cast<int32_t>(static_cast<uint32_t>(base[j]) - zero * static_cast<uint32_t>(b.column_sums[j]));
  }
  const int32_t shift = b.was_unsigned ? kSignBit : 0;
  const size_t zeros = b_zero == nullptr ? 1 : Count(*b_zero);
  const auto zero_at = [&](size_t i) {
    return (b_zero == nullptr ? 0 : ByteAt(*b_zero, static_cast<int64_t>(i))) - shift;
  };
  bool any = false;
  for (size_t i = 0; i < zeros; ++i) any = any || zero_at(i) != 0;
  if (!any) return;
  auto* b_zeros = context.Scratch<int32_t>(count_ * padded_);
  Spread(zeros, count_, n_, padded_, b_zeros, zero_at);
  b_zeros_ = b_zeros;
}

void ByteTerms::SetScales(KernelContext& context, float a, const Tensor& b, const float* y) {
  const float* scales = b.data<float>();
  auto* to = context.Scratch<float>(count_ * padded_);
  Spread(Count(b), count_, n_, padded_, to, [&](size_t i) {
    const float product = a * scales[i];
    return y == nullptr ? product : product / *y;
  });
  scales_ = to;
}

void ByteTerms::SetBias(KernelContext& context, const Tensor& bias) {
  const float* added = bias.data<float>();
  auto* to = context.Scratch<float>(count_ * padded_);
  Spread(Count(bias), count_, n_, padded_, to, [&](size_t i) { return added[i]; });
  bias_ = to;
}

ByteResult ByteTerms::Of(ByteResult result, size_t i) const {
  const size_t at = i * padded_;
  result.base = base_ + at;
  result.b_zeros = b_zeros_ == nullptr ? nullptr : b_zeros_ + at;
  result.a_zero = a_zero_;
  result.scales = scales_ == nullptr ? nullptr : scales_ + at;
  result.bias = bias_ == nullptr ? nullptr : bias_ + at;
  return result;
}

void SetByteKind(ByteResult& result, const Tensor& y_zero) {
  const bool is_signed = y_zero.dtype() == DType::kInt8;
  result.kind = ByteResult::Kind::kByte;
  result.zero = ByteAt(y_zero, 0);
  result.lo = is_signed ? -128 : 0;
  result.hi = is_signed ? 127 : 255;
}

}  // namespace onnxforge::simd
