#pragma once

namespace onnxforge::simd {

/// Whether this processor has the dot products of bytes that AVX-512 was given later (AVX512_VNNI). Highway knows them
/// as part of a target with much else in it, which the first processors that have them lack.
bool HasVnni();

}  // namespace onnxforge::simd
