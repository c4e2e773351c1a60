#pragma once

#include <cstdint>
#include <random>

#include "onnxforge/kernels/table.h"

namespace onnxforge::reference {

/// The attribute `seed` of a random operator. With it, a run draws what NumPy's RandomState(seed) draws (the values
/// that the standard's own tests expect); without it, each run draws afresh.
class Seed {
 public:
  explicit Seed(const NodeSpec& node);
  std::mt19937 Engine() const;

 private:
  bool given_;
  uint32_t value_ = 0;
};

/// In [0, 1), with 53 random bits.
double UniformReal(std::mt19937& engine);

}  // namespace onnxforge::reference
