#pragma once

#include "onnxforge/kernels/table.h"

namespace onnxforge::reference {

// Every operator family, in alphabetical order: family X is x.cc, which defines AddX.
#define ONNXFORGE_REFERENCE_FAMILIES(FAMILY) \
  FAMILY(Activations)                        \
  FAMILY(AffineGrid)                         \
  FAMILY(ArgReduce)                          \
  FAMILY(Attention)                          \
  FAMILY(BinaryMath)                         \
  FAMILY(Cast)                               \
  FAMILY(Clip)                               \
  FAMILY(Concat)                             \
  FAMILY(Constant)                           \
  FAMILY(ContribAttention)                   \
  FAMILY(Conv)                               \
  FAMILY(Cumulative)                         \
  FAMILY(DeformConv)                         \
  FAMILY(Dropout)                            \
  FAMILY(Einsum)                             \
  FAMILY(Expand)                             \
  FAMILY(Gather)                             \
  FAMILY(ImageDecoder)                       \
  FAMILY(Inverse)                            \
  FAMILY(Matmul)                             \
  FAMILY(MatmulNbits)                        \
  FAMILY(MaxRoiPool)                         \
  FAMILY(MlFeatures)                         \
  FAMILY(MlLabels)                           \
  FAMILY(MlLinear)                           \
  FAMILY(MlSvm)                              \
  FAMILY(MlTrees)                            \
  FAMILY(Normalization)                      \
  FAMILY(Optimizers)                         \
  FAMILY(Pad)                                \
  FAMILY(Pool)                               \
  FAMILY(Quantize)                           \
  FAMILY(QuantizedLinear)                    \
  FAMILY(Random)                             \
  FAMILY(Recurrent)                          \
  FAMILY(Reduce)                             \
  FAMILY(RegexFullMatch)                     \
  FAMILY(Resize)                             \
  FAMILY(Scatter)                            \
  FAMILY(Select)                             \
  FAMILY(Sequence)                           \
  FAMILY(Shape)                              \
  FAMILY(Signal)                             \
  FAMILY(Slice)                              \
  FAMILY(Softmax)                            \
  FAMILY(StringNormalizer)                   \
  FAMILY(Text)                               \
  FAMILY(TfidfVectorizer)                    \
  FAMILY(Transpose)                          \
  FAMILY(UnaryMath)                          \
  FAMILY(VariadicMath)                       \
  FAMILY(Views)                              \
  FAMILY(Vision)                             \
  FAMILY(Where)

#define ONNXFORGE_DECLARE(Family) void Add##Family(KernelTable& table);
ONNXFORGE_REFERENCE_FAMILIES(ONNXFORGE_DECLARE)
#undef ONNXFORGE_DECLARE

inline void AddAll(KernelTable& table) {
#define ONNXFORGE_ADD(Family) Add##Family(table);
  ONNXFORGE_REFERENCE_FAMILIES(ONNXFORGE_ADD)
#undef ONNXFORGE_ADD
}

}  // namespace onnxforge::reference
