#include "simd/targets.h"

// clang-format off: the order matters
#include "simd/disabled_targets.h"
#include "hwy/highway.h"
#include "hwy/targets.h"
// clang-format on

#include "onnxforge/base/component_mark.h"
#include "onnxforge/kernels/table.h"

namespace onnxforge::simd {

std::vector<Target> SupportedTargets() {
  std::vector<Target> targets;
  for (int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
    const int64_t bit = rest & -rest;
    targets.push_back({hwy::TargetName(bit), bit});
  }
  return targets;
}

}  // namespace onnxforge::simd

namespace onnxforge {

const char* HighwayMark() {
  return ONNXFORGE_COMPONENT_MARK(
      "highway", ONNXFORGE_TEXT(HWY_MAJOR) "." ONNXFORGE_TEXT(HWY_MINOR) "." ONNXFORGE_TEXT(HWY_PATCH));
}

}  // namespace onnxforge
