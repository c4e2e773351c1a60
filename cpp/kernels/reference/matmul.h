#pragma once

#include <cstdint>

#include "onnxforge/base/shape.h"
#include "onnxforge/base/threads.h"

namespace onnxforge::reference {

/// How NumPy's matmul reads two shapes: a vector is a row or a column, leading axes are broadcast batches.
struct MatMulShapes {
  Shape output;
  Shape batch;    // broadcast
  Shape a_batch;  // strides in matrices, per batch axis; 0 where repeated
  Shape b_batch;
  int64_t m = 1;
  int64_t n = 1;
  int64_t k = 0;
};

MatMulShapes MatMulShapesOf(const Shape& a, const Shape& b);

/// y (set to 0 first) = a · b. Instantiated for float, double, uint32_t and uint64_t.
template <typename T>
void MatMulBatches(ThreadPool& threads, const MatMulShapes& shapes, const T* a, const T* b, T* y);

}  // namespace onnxforge::reference
