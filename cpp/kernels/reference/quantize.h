#pragma once

#include "onnxforge/base/dtype.h"

namespace onnxforge::reference {

/// To the nearest integer, halves to even, whatever the process's rounding mode.
double RoundToEven(double x);

struct QuantizedRange {
  double least = 0;
  double greatest = 0;
};

/// What an integer type to quantise to can hold.
QuantizedRange RangeOf(DType dtype);

/// `value` within the range; NaN becomes 0.
double Saturate(double value, QuantizedRange range);

}  // namespace onnxforge::reference
