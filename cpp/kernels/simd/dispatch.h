#pragma once

// How the implementation for one target is chosen. Included after hwy/foreach_target.h and used in the HWY_ONCE part.

#include <cstdint>

#include "hwy/highway.h"

namespace onnxforge::simd {

/// The targets that may be chosen when a tier names `target` (0: the best there is): it, and all this machine has below
/// it. They are asked for once: a virtual machine takes microseconds to answer.
inline int64_t TargetsUpTo(int64_t target) {
  static const int64_t supported = hwy::SupportedTargets();  // a lower bit is a better target
  return target == 0 ? supported : supported & ~(target - 1);
}

}  // namespace onnxforge::simd

/// The implementation of an HWY_EXPORTed function for a tier's target.
#define ONNXFORGE_SIMD_FOR(FUNCTION, target)                         \
  ([](int64_t onnxforge_target) {                                    \
    hwy::ChosenTarget chosen;                                        \
    chosen.Update(::onnxforge::simd::TargetsUpTo(onnxforge_target)); \
    return HWY_DISPATCH_TABLE(FUNCTION)[chosen.GetIndex()];          \
  }(target))
