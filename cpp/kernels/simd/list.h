#pragma once

#include "onnxforge/kernels/table.h"

namespace onnxforge::simd {

// One line per operator file, in alphabetical order.
#define ONNXFORGE_SIMD_FILES(X) \
  X(Attention)                  \
  X(BinaryMath)                 \
  X(ByteConv)                   \
  X(ByteMatMul)                 \
  X(ChannelsLast)               \
  X(Concat)                     \
  X(Conv)                       \
  X(ConvTranspose)              \
  X(MatMul)                     \
  X(Normalization)              \
  X(Quantize)                   \
  X(Recurrent)                  \
  X(Reduce)                     \
  X(Softmax)                    \
  X(Transpose)                  \
  X(Trees)                      \
  X(UnaryMath)

#define ONNXFORGE_DECLARE(Name) void Add##Name(KernelTable& table);
ONNXFORGE_SIMD_FILES(ONNXFORGE_DECLARE)
#undef ONNXFORGE_DECLARE

inline void AddAll(KernelTable& table) {
#define ONNXFORGE_ADD(Name) Add##Name(table);
  ONNXFORGE_SIMD_FILES(ONNXFORGE_ADD)
#undef ONNXFORGE_ADD
}

}  // namespace onnxforge::simd
