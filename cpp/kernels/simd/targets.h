#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace onnxforge::simd {

/// An instruction set that was compiled in and that this machine has.
struct Target {
  std::string name;  // Highway's: "AVX3", "AVX2", "SSE2", "NEON", …
  int64_t bit = 0;   // Highway's; a lower bit is a better target
};

/// Best first.
std::vector<Target> SupportedTargets();

}  // namespace onnxforge::simd
