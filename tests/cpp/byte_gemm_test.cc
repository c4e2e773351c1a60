// Products of bytes with and without the instructions that not every processor of a target has, against sums in
// int64, on every target of this machine.

#include "simd/byte_gemm.h"

#include <algorithm>
#include <random>
#include <vector>

#include "check.h"
#include "simd/targets.h"

namespace onnxforge::simd {
namespace {

std::mt19937& Random() {
  static std::mt19937 engine(20261127);
  return engine;
}

/// The ends of the range among them, where the sum of two products is too much for int16.
std::vector<uint8_t> Bytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (uint8_t& b : bytes) {
    const unsigned draw = Random()() % 1024;
    b = static_cast<uint8_t>(draw < 256 ? draw : draw < 640 ? 0x7f : draw < 900 ? 0x80 : 0xff);
  }
  return bytes;
}

int64_t Value(uint8_t byte, bool is_signed) { return is_signed ? static_cast<int8_t>(byte) : byte; }

void TestProduct(const ByteGemmOps& ops, size_t m, size_t n, size_t k) {
  const std::vector<uint8_t> a = Bytes(m * k);
  const std::vector<uint8_t> b = Bytes(k * n);
  std::vector<int32_t> packed(ops.packed_bytes(k, n) / sizeof(int32_t) + 64);
  auto* aligned = reinterpret_cast<int32_t*>((reinterpret_cast<uintptr_t>(packed.data()) + 63) / 64 * 64);
  std::vector<int32_t> column_sums(ops.padded(n));
  ByteMatrix matrix;
  matrix.data = b.data();
  matrix.depth = k;
  matrix.columns = n;
  matrix.depth_stride = n;
  matrix.column_stride = 1;
  ops.pack_b(matrix, 0, CeilDiv(n, ops.nr), aligned, column_sums.data());

  std::vector<int32_t> c(m * n);
  std::vector<int32_t> base(ops.padded(n), 5);
  std::vector<int32_t> zeros(ops.padded(n), -3);
  ByteGemmCall call;
  call.m = m;
  call.n = n;
  call.depth = k;
  call.a = a.data();
  call.a_stride = k;
  call.b = aligned;
  call.result.c = c.data();
  call.result.stride = n;
  call.result.base = base.data();
  call.result.b_zeros = zeros.data();
  call.result.a_zero = 7;
  ops.gemm(call, 0, m, 0, CeilDiv(n, ops.nr));

  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      int64_t sum = 5;
      for (size_t p = 0; p < k; ++p) {
        const int64_t x = Value(a[i * k + p], ops.signed_a);
        sum += x * Value(b[p * n + j], true) + 3 * (x - 7);
      }
      CHECK(c[i * n + j] == static_cast<int32_t>(sum));
    }
  }
}

void TestEveryTarget() {
  for (const Target& target : SupportedTargets()) {
    for (const bool dot_products : {false, true}) {
      const ByteGemmOps& ops = ByteGemmOpsFor(target.bit, dot_products);
      TestProduct(ops, 1, 2 * ops.nr + 1, 4099);
      TestProduct(ops, 5 * ops.mr + 1, ops.nr + 3, 66);
      TestProduct(ops, 3, 11, 1);
    }
  }
}

}  // namespace
}  // namespace onnxforge::simd

int main() { return onnxforge::test::RunAll({{"EveryTarget", onnxforge::simd::TestEveryTarget}}); }
