#pragma once

#include <cstddef>
#include <cstdint>

#include "onnxforge/base/threads.h"

namespace onnxforge::simd {

/// to[batch, columns, rows] = from[batch, rows, columns] with its last two axes swapped, for elements of `bytes` bytes:
/// 4 or 1.
void TransposeMatrices(const void* from, size_t bytes, size_t batch, size_t rows, size_t columns, void* to,
                       ThreadPool& threads);

/// to[j · to_stride + i] = from[i · from_stride + j] for elements of four bytes; strides count elements. For what fits
/// into the first-level cache.
void TransposeWords(const void* from, size_t from_stride, size_t rows, size_t columns, void* to, size_t to_stride);

/// to[columns, rows] = from[rows, columns] with its axes swapped, for bytes.
void TransposeBytes(const uint8_t* from, size_t rows, size_t columns, uint8_t* to);

}  // namespace onnxforge::simd
