#include "simd/processor.h"

#include "hwy/detect_compiler_arch.h"

#if HWY_ARCH_X86 && HWY_COMPILER_MSVC
#include <intrin.h>
#elif HWY_ARCH_X86
#include <cpuid.h>
#endif

namespace onnxforge::simd {
namespace {

/// ECX of CPUID's leaf 7; 0 where there is none.
unsigned ExtendedFeatures() {
#if HWY_ARCH_X86 && HWY_COMPILER_MSVC
  int registers[4] = {};
  __cpuid(registers, 0);
  if (registers[0] < 7) return 0;
  __cpuidex(registers, 7, 0);
  return static_cast<unsigned>(registers[2]);
#elif HWY_ARCH_X86
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 ? ecx : 0;
#else
  return 0;
#endif
}

}  // namespace

bool HasVnni() {
  static const bool has = (ExtendedFeatures() >> 11 & 1) != 0;
  return has;
}

}  // namespace onnxforge::simd
