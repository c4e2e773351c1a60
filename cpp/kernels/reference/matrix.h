#pragma once

#include <algorithm>
#include <cstdint>

#include "onnxforge/base/threads.h"

namespace onnxforge::reference {

/// C[m, n] += A[m, k] · B[k, n]. A has a step per row and per column, the columns of B and C are adjacent. Sums are
/// taken in parts of kDepth, which keeps both B in the cache and the rounding error of long sums down. For integers use
/// unsigned T: their arithmetic is modulo the width.
template <typename T>
void MultiplyAdd(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, int64_t a_column, const T* b,
                 int64_t b_row, T* c, int64_t c_row) {
  constexpr int64_t kRows = 4;
  constexpr int64_t kColumns = 128;
  constexpr int64_t kDepth = 256;
  T sums[kRows][kColumns];
  for (int64_t k0 = 0; k0 < k; k0 += kDepth) {
    const int64_t k1 = std::min(k, k0 + kDepth);
    for (int64_t j0 = 0; j0 < n; j0 += kColumns) {
      const int64_t columns = std::min(kColumns, n - j0);
      for (int64_t i0 = 0; i0 < m; i0 += kRows) {
        const int64_t rows = std::min(kRows, m - i0);
        for (int64_t r = 0; r < rows; ++r) std::fill_n(sums[r], columns, T{0});
        for (int64_t kk = k0; kk < k1; ++kk) {
          const T* b_at = b + kk * b_row + j0;
          for (int64_t r = 0; r < rows; ++r) {
            const T factor = a[(i0 + r) * a_row + kk * a_column];
            T* sum = sums[r];
            for (int64_t j = 0; j < columns; ++j) sum[j] += factor * b_at[j];
          }
        }
        for (int64_t r = 0; r < rows; ++r) {
          T* c_at = c + (i0 + r) * c_row + j0;
          for (int64_t j = 0; j < columns; ++j) c_at[j] += sums[r][j];
        }
      }
    }
  }
}

/// The same, split over the threads by rows, or by columns where there are few rows.
template <typename T>
void ParallelMultiplyAdd(ThreadPool& threads, int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row,
                         int64_t a_column, const T* b, int64_t b_row, T* c, int64_t c_row) {
  constexpr int64_t kWork = 65536;  // multiplications that are worth a thread
  if (m >= n) {
    threads.ParallelFor(m, kWork / std::max<int64_t>(1, n * k) + 1, [&](int64_t begin, int64_t end) {
      MultiplyAdd(end - begin, n, k, a + begin * a_row, a_row, a_column, b, b_row, c + begin * c_row, c_row);
    });
  } else {
    threads.ParallelFor(n, kWork / std::max<int64_t>(1, m * k) + 1, [&](int64_t begin, int64_t end) {
      MultiplyAdd(m, end - begin, k, a, a_row, a_column, b + begin, b_row, c + begin, c_row);
    });
  }
}

/// to[columns, rows] = the transpose of from[rows, columns].
template <typename T>
void TransposeMatrix(const T* from, int64_t rows, int64_t columns, T* to) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  }
}

}  // namespace onnxforge::reference
