#pragma once

// Which instruction sets are compiled. Included by every file of this tier before any Highway header.
//
// Each target costs compile time and wheel size, so targets that bring these kernels nothing over a neighbour are left
// out: SSSE3 and SSE4 against SSE2; Ice Lake, Zen 4, Sapphire Rapids and AVX10 against AVX-512, which differ from it in
// instructions for bytes, float16 and bfloat16.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR | HWY_AVX10_2)
