#pragma once

#include <algorithm>
#include <cmath>

namespace onnxforge::reference::activation {

// The formulas that both the activation operators and the gates of recurrent layers use. T is float or double.

template <typename T>
T Sigmoid(T x) {
  // exp of a negative number only: no overflow on either side.
  if (x >= T{0}) return T{1} / (T{1} + std::exp(-x));
  const T e = std::exp(x);
  return e / (T{1} + e);
}

template <typename T>
T HardSigmoid(T x, T alpha, T beta) {
  const T y = alpha * x + beta;
  return y < T{0} ? T{0} : y > T{1} ? T{1} : y;
}

template <typename T>
T Softplus(T x) {
  return std::max(x, T{0}) + std::log1p(std::exp(-std::abs(x)));
}

template <typename T>
T Softsign(T x) {
  return x / (T{1} + std::abs(x));
}

template <typename T>
T LeakyRelu(T x, T alpha) {
  return x < T{0} ? alpha * x : x;
}

template <typename T>
T ThresholdedRelu(T x, T alpha) {
  return x > alpha ? x : T{0};
}

template <typename T>
T Elu(T x, T alpha) {
  return x < T{0} ? alpha * std::expm1(x) : x;
}

}  // namespace onnxforge::reference::activation
